package sink

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drawOverlay writes an overlay of a drawing over a grey slide of size, and reads the PNG back as rows:
// a dot where the slide shows, a lower case letter where it is tinted and an upper case one on a line,
// a being label 1.
func drawOverlay(t *testing.T, mask string, size image.Point) string {
	t.Helper()
	pix, w, h := parseDrawing(mask)
	grey := color.RGBA{200, 200, 200, 255}
	slide := image.NewRGBA(image.Rectangle{Max: size}.Add(image.Pt(5, 7))) // a crop does not begin at 0
	for i := range slide.Pix {
		slide.Pix[i] = []byte{200, 200, 200, 255}[i%4]
	}
	img := readOverlay(t, slide, &Overview{Size: image.Pt(w, h), Pix: pix}, nil)
	name := map[color.RGBA]byte{grey: '.'}
	for label := byte(1); label < 8; label++ {
		name[ColorOf(label)] = 'A' + label - 1
		name[blended(grey, ColorOf(label), 90)] = 'a' + label - 1
	}
	var rows []string
	for y := range size.Y {
		var row strings.Builder
		for x := range size.X {
			c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
			if name[c] == 0 {
				t.Fatalf("pixel (%d, %d) is %v", x, y, c)
			}
			row.WriteByte(name[c])
		}
		rows = append(rows, row.String())
	}
	return strings.Join(rows, "|")
}

// readOverlay writes an overlay and reads the PNG back.
func readOverlay(t *testing.T, slide *image.RGBA, mask *Overview, outline *image.Alpha) image.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "overlay.png")
	drawn := *slide // it is drawn on
	drawn.Pix = bytes.Clone(slide.Pix)
	if err := WriteOverlay(Disk, path, &drawn, mask, outline); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if size := slide.Rect.Size(); img.Bounds() != (image.Rectangle{Max: size}) {
		t.Fatalf("the overlay is %v, want %v", img.Bounds(), size)
	}
	return img
}

// TestOverlayShows: the edge of tissue and what was unread can be told from glass, tissue of either kind
// and the dark of fluorescence; the edge lies below labels, and is nowhere else.
func TestOverlayShows(t *testing.T) {
	const w, h = 24, 16
	differs := func(a, b color.Color) int {
		x, y := color.RGBAModel.Convert(a).(color.RGBA), color.RGBAModel.Convert(b).(color.RGBA)
		return max(abs(int(x.R)-int(y.R)), abs(int(x.G)-int(y.G)), abs(int(x.B)-int(y.B)))
	}
	for name, under := range map[string]color.RGBA{
		"glass": {244, 243, 245, 255}, "pink tissue": {214, 150, 190, 255}, "pale tissue": {226, 214, 226, 255},
		"violet tissue": {90, 60, 130, 255}, "dark": {2, 2, 4, 255}, "blue fluorescence": {20, 30, 90, 255},
	} {
		slide := image.NewRGBA(image.Rect(3, 4, 3+w, 4+h))
		for i := range slide.Pix {
			slide.Pix[i] = []byte{under.R, under.G, under.B, 255}[i%4]
		}
		mask := &Overview{Size: image.Pt(w, h), Pix: make([]byte, w*h)}
		for i := range mask.Pix {
			switch x, y := i%w, i/w; {
			case x >= 12 && y >= 4:
				mask.Pix[i] = Unread
			case x < 4 && y >= 4:
				mask.Pix[i] = 1
			}
		}
		outline := image.NewAlpha(image.Rect(-1, -1, w-1, h-1)) // as wide, from elsewhere
		for x := range w {
			outline.SetAlpha(x-1, 1, color.Alpha{255})
			outline.SetAlpha(x-1, 4-1, color.Alpha{255}) // the first row of the labels
		}
		img, plain := readOverlay(t, slide, mask, outline), readOverlay(t, slide, mask, nil)
		var dark, light int
		for y := range h {
			for x := range w {
				c, without := img.At(x, y), plain.At(x, y)
				switch {
				case y == 2:
					if d := differs(c, under); d < 40 {
						t.Errorf("%s: the edge of tissue differs by %d only", name, d)
					}
				case y == 4 && mask.Pix[y*w+x] == 1:
					if c != without || differs(c, ColorOf(1)) > 0 {
						t.Errorf("%s: the edge of tissue covers that of a label", name)
					}
				case y != 4 && c != without:
					t.Fatalf("%s: pixel (%d, %d) changes with the outline", name, x, y)
				}
				if x >= 13 && x < w-1 && y >= 5 && y < h-1 {
					if (x+y)%8 < 4 {
						dark = differs(c, under)
					} else {
						light = differs(c, under)
					}
				}
			}
		}
		if abs(dark-light) < 15 {
			t.Errorf("%s: no stripes are seen where it is unread: %d and %d from what is below", name, dark, light)
		}
	}
	if err := WriteOverlay(Disk, filepath.Join(t.TempDir(), "a.png"), image.NewRGBA(image.Rect(0, 0, 3, 2)), NewOverview(image.Pt(3, 2), 256, 9), image.NewAlpha(image.Rect(0, 0, 2, 2))); err == nil {
		t.Error("an outline of another size is drawn")
	}
}

func abs(v int) int { return max(v, -v) }

func TestOverlayDrawings(t *testing.T) {
	for _, c := range []struct {
		name, mask string
		size       image.Point
		want       string
	}{
		{"nothing", ".... ....", image.Pt(4, 2), "....|...."},
		{"a region has a line inside its edge", "...... .1111. .1111. .1111. ......", image.Pt(6, 5), "......|.AAAA.|.AaaA.|.AAAA.|......"},
		{"the edge of the slide is no edge", "111 111 111", image.Pt(3, 3), "aaa|aaa|aaa"},
		{"two labels that touch", "1122 1122", image.Pt(4, 2), "aABb|aABb"},
		{"a single pixel", "... .3. ...", image.Pt(3, 3), "...|.C.|..."},
		{"enlarged", ".1 .1", image.Pt(6, 4), "...Aaa|...Aaa|...Aaa|...Aaa"},
		{"reduced", "..11 ..11 22.. 22..", image.Pt(2, 2), ".A|B."},
		{"one pixel", "4", image.Pt(1, 1), "d"},
		{"one pixel of background", ".", image.Pt(1, 1), "."},
		{"a mask of one pixel over a picture", "1", image.Pt(3, 2), "aaa|aaa"},
	} {
		if got := drawOverlay(t, c.mask, c.size); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestOverlayOfLongSlides(t *testing.T) {
	for _, size := range []image.Point{{1, 5000}, {5000, 1}, {3, 4097}} {
		o := NewOverview(size, 256, 1600)
		p := NewPyramid(size, 256, Majority, o)
		if err := p.Write(image.Rectangle{Max: size}, size.X, bytes.Repeat([]byte{2}, size.X*size.Y)); err != nil {
			t.Fatal(err)
		}
		if long := max(o.Size.X, o.Size.Y); long > 1600 || long < 800 || min(o.Size.X, o.Size.Y) < 1 {
			t.Errorf("%v: the overview is %v", size, o.Size)
		}
		if !bytes.Equal(o.Pix, bytes.Repeat([]byte{2}, o.Size.X*o.Size.Y)) {
			t.Errorf("%v: the overview has other labels", size)
		}
		for _, picture := range []image.Point{o.Size, {1, 1}, {1, 1600}, {1600, 1}} {
			if err := WriteOverlay(Disk, filepath.Join(t.TempDir(), "overlay.png"), image.NewRGBA(image.Rectangle{Max: picture}), o, nil); err != nil {
				t.Errorf("%v over %v: %v", picture, size, err)
			}
		}
	}
}

func TestOverlayFails(t *testing.T) {
	dir := t.TempDir()
	err := WriteOverlay(Disk, filepath.Join(dir, "overlay.png"), image.NewRGBA(image.Rectangle{}), NewOverview(image.Pt(1, 1), 256, 100), nil)
	if err == nil {
		t.Error("a picture without pixels was written")
	}
	if got := left(t, dir); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

// TestOverviewKeepsOneLevel of all that it gets.
func TestOverviewKeepsOneLevel(t *testing.T) {
	for _, c := range []struct {
		size image.Point
		edge int
		want image.Point
	}{
		{image.Pt(100, 60), 1600, image.Pt(100, 60)},
		{image.Pt(1000, 701), 1600, image.Pt(1000, 701)},
		{image.Pt(1000, 701), 999, image.Pt(500, 351)},
		{image.Pt(1000, 701), 250, image.Pt(250, 176)},
		{image.Pt(1000, 701), 10, image.Pt(63, 44)}, // the last level: no smaller one is there
	} {
		o := NewOverview(c.size, 64, c.edge)
		if o.Size != c.want {
			t.Errorf("%v in %d: %v, want %v", c.size, c.edge, o.Size, c.want)
		}
		pix := make([]byte, c.size.X*c.size.Y)
		for i := range pix {
			pix[i] = byte(i / 7 % 5)
		}
		p := NewPyramid(c.size, 64, Majority, o)
		if err := p.Write(image.Rectangle{Max: c.size}, c.size.X, pix); err != nil {
			t.Fatal(err)
		}
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
		for s := c.size; s != o.Size; s = image.Pt((s.X+1)/2, (s.Y+1)/2) {
			pix = naiveReduce(pix, s.X, s.Y, naiveMajority)
		}
		if !bytes.Equal(o.Pix, pix) {
			t.Errorf("%v in %d: other labels", c.size, c.edge)
		}
	}
}

func TestColorOf(t *testing.T) {
	if ColorOf(0).A != 0 {
		t.Error("background is not clear")
	}
	seen := map[color.RGBA]bool{}
	for label := 1; label < len(Colors); label++ {
		c := ColorOf(byte(label))
		if c.A != 255 || seen[c] {
			t.Errorf("label %d has colour %v", label, c)
		}
		seen[c] = true
	}
	if ColorOf(8) != ColorOf(1) || ColorOf(254) != ColorOf(254-7*36) {
		t.Error("colours do not begin again after the last")
	}
	if c := ColorOf(Unread); c.A != 255 || seen[c] {
		t.Errorf("unread has colour %v", c)
	}
}

// blended is part/255 of b over a.
func blended(a, b color.RGBA, part int) color.RGBA {
	pixel := []byte{a.R, a.G, a.B, a.A}
	lay(pixel, b, part)
	return color.RGBA{pixel[0], pixel[1], pixel[2], pixel[3]}
}
