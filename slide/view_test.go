package slide_test

import (
	"bytes"
	"context"
	"image"
	"math"
	"strings"
	"testing"

	"microtome/internal/raster"
	"microtome/slide"
	"microtome/slide/slidetest"

	"pgregory.net/rapid"
)

type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func read(t tester, v *slide.View, r image.Rectangle) []byte {
	t.Helper()
	pix := make([]byte, 3*r.Dx()*r.Dy())
	if err := v.Read(context.Background(), pix, r); err != nil {
		t.Fatal(err)
	}
	return pix
}

// A drawn slide, its edges continued by hand: letters stand for pixels.
func TestReadMirrors(t *testing.T) {
	picture := []string{
		"abc",
		"def",
	}
	want := strings.Join([]string{
		"bcbabcbabc",
		"efedefedef",
		"bcbabcbabc",
		"efedefedef",
	}, "\n")
	letters := func(_, x, y int) [3]byte { return [3]byte{picture[y][x], 0, 0} }
	v, err := slide.New(slidetest.NewFake(letters, image.Pt(3, 2), image.Pt(2, 2), 1), slide.Config{CacheBytes: 1 << 10}).AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	r := image.Rect(-3, -2, 7, 2)
	var got strings.Builder
	for i, pixel := range read(t, v, r) {
		if i > 0 && i%(3*r.Dx()) == 0 {
			got.WriteByte('\n')
		}
		if i%3 == 0 {
			got.WriteByte(pixel)
		}
	}
	if got.String() != want {
		t.Errorf("around the slide are\n%s\nwant\n%s", got.String(), want)
	}
}

// drawView draws a slide of noise and a view of it: a level as it is, or resampled.
func drawView(t *rapid.T) *slide.View {
	between := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
	size := image.Pt(between(1, 70, "width"), between(1, 70, "height"))
	block := image.Pt(between(1, 40, "block width"), between(1, 40, "block height"))
	s := slide.New(slidetest.NewFake(slidetest.Noise, size, block, 1, 2, 4), slide.Config{CacheBytes: int64(between(0, 20_000, "cache"))})
	if rapid.Bool().Draw(t, "resampled") {
		v, err := s.AtMPP(rapid.Float64Range(0.05, 3).Draw(t, "mpp"), 0.25)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v, err := s.AtLevel(between(0, 2, "level"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func drawRect(t *rapid.T, size image.Point) image.Rectangle {
	x := rapid.IntRange(-3*size.X-5, 3*size.X+5).Draw(t, "x")
	y := rapid.IntRange(-3*size.Y-5, 3*size.Y+5).Draw(t, "y")
	return image.Rect(x, y, x+rapid.IntRange(1, 60).Draw(t, "dx"), y+rapid.IntRange(1, 60).Draw(t, "dy"))
}

// A pixel depends on its coordinates alone: any rectangle of any view is cut from the whole, mirrored.
func TestReadOfAnyRectangle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t)
		size := v.Size()
		whole := read(t, v, image.Rectangle{Max: size})
		r := drawRect(t, size)
		got := read(t, v, r)
		for i := 0; i < len(got); i += 3 {
			x, y := r.Min.X+i/3%r.Dx(), r.Min.Y+i/3/r.Dx()
			at := 3 * (raster.Reflect(y, size.Y)*size.X + raster.Reflect(x, size.X))
			if !bytes.Equal(got[i:i+3], whole[at:at+3]) {
				t.Fatalf("pixel (%d, %d) read with %v is %v, of the whole it is %v", x, y, r, got[i:i+3], whole[at:at+3])
			}
		}
	})
}

func TestConstantStaysConstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		colour := [3]byte(rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, "colour"))
		size := image.Pt(rapid.IntRange(1, 90).Draw(t, "width"), rapid.IntRange(1, 90).Draw(t, "height"))
		fake := slidetest.NewFake(func(_, _, _ int) [3]byte { return colour }, size, image.Pt(16, 16), 1)
		v, err := slide.New(fake, slide.Config{CacheBytes: 1 << 20}).AtMPP(rapid.Float64Range(0.04, 60).Draw(t, "mpp"), 0.25)
		if err != nil {
			t.Fatal(err)
		}
		pix := read(t, v, drawRect(t, v.Size()))
		for ; len(pix) > 0; pix = pix[3:] {
			if [3]byte(pix) != colour {
				t.Fatalf("%v became %v", colour, pix[:3])
			}
		}
	})
}

// naive resamples pixel (x, y) of a view with a triangle, in floats, straight from its definition.
func naive(level []byte, size image.Point, scale float64, x, y int) (rgb [3]float64) {
	radius := max(1, scale)
	cx, cy := (float64(x)+0.5)*scale-0.5, (float64(y)+0.5)*scale-0.5
	total := 0.0
	for j := int(cy - radius - 1); j <= int(cy+radius+1); j++ {
		for i := int(cx - radius - 1); i <= int(cx+radius+1); i++ {
			w := max(0, 1-math.Abs(float64(i)-cx)/radius) * max(0, 1-math.Abs(float64(j)-cy)/radius)
			total += w
			for c := range rgb {
				rgb[c] += w * float64(level[3*(raster.Reflect(j, size.Y)*size.X+raster.Reflect(i, size.X))+c])
			}
		}
	}
	for c := range rgb {
		rgb[c] /= total
	}
	return rgb
}

func TestResamplingIsATriangle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := image.Pt(rapid.IntRange(1, 60).Draw(t, "width"), rapid.IntRange(1, 60).Draw(t, "height"))
		s := slide.New(slidetest.NewFake(slidetest.Noise, size, image.Pt(16, 16), 1), slide.Config{CacheBytes: 1 << 20})
		v, err := s.AtMPP(rapid.Float64Range(0.06, 2).Draw(t, "mpp"), 0.25)
		if err != nil {
			t.Fatal(err)
		}
		level := slidetest.Picture(slidetest.Noise, 0, image.Rectangle{Max: size})
		full := image.Rectangle{Max: v.Size()}
		got := read(t, v, full)
		for y := range full.Dy() {
			for x := range full.Dx() {
				want := naive(level, size, v.Scale(), x, y)
				for c := range want {
					if d := math.Abs(want[c] - float64(got[3*(y*full.Dx()+x)+c])); d > 0.75 {
						t.Fatalf("scale %.4f: channel %d of (%d, %d) is %d, should be %.2f", v.Scale(), c, x, y, got[3*(y*full.Dx()+x)+c], want[c])
					}
				}
			}
		}
	})
}

func TestAtMPP(t *testing.T) {
	fake := slidetest.NewFake(slidetest.Noise, image.Pt(4000, 2000), image.Pt(64, 64), 1, 2, 3.37, 8) // 0.25, 0.5, 0.84, 2 µm
	s := slide.New(fake, slide.Config{CacheBytes: 1 << 20})
	for _, c := range []struct {
		mpp, own float64
		level    int
		scale    float64
		size     image.Point
		is       float64
	}{
		{mpp: 0.25, level: 0, scale: 1, size: image.Pt(4000, 2000), is: 0.25},
		{mpp: 0.255, level: 0, scale: 1, size: image.Pt(4000, 2000), is: 0.25},        // 2.0 % off: as it is
		{mpp: 0.2451, level: 0, scale: 1, size: image.Pt(4000, 2000), is: 0.25},       // 2.0 %
		{mpp: 0.256, level: 0, scale: 1.024, size: image.Pt(3906, 1953), is: 0.256},   // 2.3 %
		{mpp: 0.244, level: 0, scale: 0.976, size: image.Pt(4098, 2049), is: 0.244},   // finer than all
		{mpp: 0.1, level: 0, scale: 0.4, size: image.Pt(10000, 5000), is: 0.1},        // enlarged
		{mpp: 0.505, level: 1, scale: 1, size: image.Pt(2000, 1000), is: 0.5},         // level 1
		{mpp: 0.48, level: 0, scale: 1.92, size: image.Pt(2083, 1042), is: 0.48},      // just finer than level 1
		{mpp: 0.8425, level: 1, scale: 1.685, size: image.Pt(1187, 593), is: 0.8425},  // never level 2: OpenSlide's pixels of it do not join
		{mpp: 1.5, level: 1, scale: 3, size: image.Pt(667, 333), is: 1.5},             // nor from it
		{mpp: 4, level: 3, scale: 2, size: image.Pt(250, 125), is: 4},                 // coarser than all
		{mpp: 0.5, own: 0.5, level: 0, scale: 1, size: image.Pt(4000, 2000), is: 0.5}, // --mpp overrides
		{mpp: 50, level: 3, scale: 25, size: image.Pt(20, 10), is: 50},                // far coarser
	} {
		v, err := s.AtMPP(c.mpp, c.own)
		if err != nil {
			t.Errorf("%g µm: %v", c.mpp, err)
			continue
		}
		if v.Level() != c.level || math.Abs(v.Scale()/c.scale-1) > 1e-6 || v.Size() != c.size || math.Abs(v.MPP()/c.is-1) > 1e-9 {
			t.Errorf("%g µm (own %g): level %d × %g, %v at %g µm; want level %d × %g, %v at %g", c.mpp, c.own,
				v.Level(), v.Scale(), v.Size(), v.MPP(), c.level, c.scale, c.size, c.is)
		}
	}
	for _, mpp := range []float64{0, -1, math.NaN(), math.Inf(1), 1e-9, 1e6} { // 256 times finer or coarser at most
		if _, err := s.AtMPP(mpp, 0); err == nil {
			t.Errorf("%g µm: no error", mpp)
		}
	}
	nameless := slide.New(noMPP{fake}, slide.Config{})
	if _, err := nameless.AtMPP(0.5, 0); err == nil || !strings.Contains(err.Error(), "--mpp") {
		t.Errorf("without a pixel size: %v", err)
	}
	if v, err := nameless.AtMPP(0.5, 0.25); err != nil || v.Level() != 1 {
		t.Errorf("with a pixel size given: %v", err)
	}
	if v, err := nameless.AtLevel(1); err != nil || v.MPP() != 0 {
		t.Errorf("by level, without a pixel size: %v", err)
	}
}

type noMPP struct{ *slidetest.Fake }

func (n noMPP) Info() slide.Info {
	info := n.Fake.Info()
	info.MPP, info.MPPX, info.MPPY = 0, 0, 0
	return info
}

// The scanned area is planted off the corner, as MRXS has it; its pixels are those of the whole slide.
//
//	+--------------+
//	|              |
//	|     +----+   |
//	|     |    |   |
//	+-----+----+---+
func TestBounds(t *testing.T) {
	planted := image.Rect(401, 203, 803, 600)
	inside := func(_, x, y int) [3]byte {
		if image.Pt(x, y).In(planted) {
			return [3]byte{1, 1, 1}
		}
		return [3]byte{9, 9, 9}
	}
	s := slide.New(slidetest.NewFake(inside, image.Pt(1000, 600), image.Pt(64, 64), 1, 2, 4).WithBounds(planted), slide.Config{CacheBytes: 1 << 20})
	at := func(v *slide.View, err error) *slide.View {
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		view *slide.View
		want image.Rectangle
	}{
		{at(s.AtLevel(0)), planted},
		{at(s.AtLevel(1)), image.Rect(200, 101, 402, 300)},
		{at(s.AtLevel(2)), image.Rect(100, 50, 201, 150)},
		{at(s.AtMPP(0.75, 0)), image.Rect(133, 67, 268, 200)}, // thirds
		{at(s.AtMPP(0.125, 0)), image.Rect(802, 406, 1606, 1200)},
	} {
		if got := c.view.Bounds(); got != c.want {
			t.Errorf("level %d × %g: bounds %v, want %v", c.view.Level(), c.view.Scale(), got, c.want)
		}
	}
	v := at(s.AtLevel(0))
	for _, value := range read(t, v, v.Bounds()) {
		if value != 1 {
			t.Fatal("the scanned area has a pixel from outside it")
		}
	}
}

func TestThumbnail(t *testing.T) {
	s := slide.New(slidetest.NewFake(slidetest.Smooth, image.Pt(900, 300), image.Pt(64, 64), 1, 2), slide.Config{CacheBytes: 1 << 20})
	im, err := s.Thumbnail(t.Context(), 300)
	if err != nil {
		t.Fatal(err)
	}
	if im.Rect.Max != image.Pt(300, 100) {
		t.Errorf("thumbnail of %v", im.Rect)
	}
	if tiny, err := s.Thumbnail(t.Context(), 1); err != nil || tiny.Rect.Max != image.Pt(1, 1) {
		t.Errorf("of one pixel: %v", err)
	}
	if full, err := s.Thumbnail(t.Context(), 5000); err != nil || full.Rect.Max != image.Pt(900, 300) {
		t.Errorf("of more pixels than there are: %v", err)
	}
	for _, x := range []int{3, 150, 290} { // level 1 has twice the thumbnail's pixels, less a half
		want := slidetest.Smooth(1, x*3/2, 75)
		got := im.RGBAAt(x, 50)
		if d := int(got.R) - int(want[0]); got.A != 255 || d < -6 || d > 6 {
			t.Errorf("at %d is %v, want about %v", x, got, want)
		}
	}
}
