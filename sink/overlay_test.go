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
	path := filepath.Join(t.TempDir(), "overlay.png")
	if err := WriteOverlay(Disk, path, slide, &Overview{Size: image.Pt(w, h), Pix: pix}); err != nil {
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
	if img.Bounds() != (image.Rectangle{Max: size}) {
		t.Fatalf("the overlay is %v, want %v", img.Bounds(), size)
	}
	name := map[color.RGBA]byte{grey: '.'}
	for label := byte(1); label < 8; label++ {
		name[ColorOf(label)] = 'A' + label - 1
		name[blend(grey, ColorOf(label), 90)] = 'a' + label - 1
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
			if err := WriteOverlay(Disk, filepath.Join(t.TempDir(), "overlay.png"), image.NewRGBA(image.Rectangle{Max: picture}), o); err != nil {
				t.Errorf("%v over %v: %v", picture, size, err)
			}
		}
	}
}

func TestOverlayFails(t *testing.T) {
	dir := t.TempDir()
	err := WriteOverlay(Disk, filepath.Join(dir, "overlay.png"), image.NewRGBA(image.Rectangle{}), NewOverview(image.Pt(1, 1), 256, 100))
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
	if ColorOf(8) != ColorOf(1) || ColorOf(255) != ColorOf(255-7*36) {
		t.Error("colours do not begin again after the last")
	}
}
