package train

import (
	"bytes"
	"image"
	"image/color"
	"testing"

	"microtome/internal/raster"
)

var (
	white = color.RGBA{255, 255, 255, 255}
	black = color.RGBA{0, 0, 0, 255}
)

func plain(w, h int, c color.RGBA) raster.RGB {
	m := raster.NewRGB(w, h)
	for i := range w * h {
		set(m, i, c)
	}
	return m
}

// bounds returns the smallest rectangle around a colour.
func bounds(m image.Image, c color.RGBA) (r image.Rectangle) {
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			if at(m, x, y) == c {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

func TestSheetPutsPicturesInTheirCells(t *testing.T) {
	a, b, c := color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}, color.RGBA{0, 0, 255, 255}
	s := &sheet{edge: 60, headings: []string{"one", "two"}, hottest: 2, rows: []row{
		{"first", []raster.RGB{plain(60, 60, a), plain(7, 4, b)}},
		{"second", []raster.RGB{plain(1, 60, c)}},
	}}
	m := pictureOf(t, func(w *bytes.Buffer) error { return s.write(w) })
	if want := image.Rect(0, 0, 8+2*68, 16+20+2*88+12+20+8); m.Bounds() != want {
		t.Fatalf("the sheet is %v, want %v", m.Bounds(), want)
	}
	for _, p := range []struct {
		c    color.RGBA
		want image.Rectangle
	}{
		{a, image.Rect(8, 56, 68, 116)},
		{b, image.Rect(76+26, 56+28, 76+33, 56+32)}, // in the middle of its cell
		{c, image.Rect(8+29, 144, 8+30, 204)},
	} {
		if got := bounds(m, p.c); got != p.want {
			t.Errorf("%v is in %v, want %v", p.c, got, p.want)
		}
	}
	for x := range 60 { // the scale stands under the last column
		if got, want := at(m, 76+x, 212), heat(float64(x)/59); got != want {
			t.Errorf("column %d of the scale is %v, want %v", x, got, want)
		}
	}
	for _, text := range []image.Rectangle{
		image.Rect(8, 8, 30, 28), image.Rect(76, 8, 98, 28), image.Rect(8, 36, 50, 56), image.Rect(8, 124, 50, 144), // headings, rows
		image.Rect(76, 224, 83, 244), image.Rect(129, 224, 136, 244), // 0 and 2
	} {
		if n := pixels(m, text, black); n < 5 {
			t.Errorf("%d black pixels in %v: no text", n, text)
		}
	}
}

func pixels(m image.Image, r image.Rectangle, c color.RGBA) (n int) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if at(m, x, y) == c {
				n++
			}
		}
	}
	return n
}

func TestLongTextStaysInItsColumn(t *testing.T) {
	s := &sheet{edge: 20, headings: []string{"a heading wider than the column", ""}}
	m := pictureOf(t, func(w *bytes.Buffer) error { return s.write(w) })
	if n := pixels(m, image.Rect(28, 0, m.Bounds().Dx(), 28), white); n != (m.Bounds().Dx()-28)*28 {
		t.Error("the heading runs into the next column")
	}
}

func TestHeatRises(t *testing.T) {
	light := func(c color.RGBA) float64 { return 0.2126*float64(c.R) + 0.7152*float64(c.G) + 0.0722*float64(c.B) }
	for i := range 1000 {
		a, b := heat(float64(i)/1000), heat(float64(i+1)/1000)
		if light(b) < light(a)-1 {
			t.Fatalf("%v after %v at %d/1000", b, a, i)
		}
	}
	for i, c := range inferno {
		if got := heat(float64(i) / 8); got != c {
			t.Errorf("%d/8: %v, want %v", i, got, c)
		}
	}
	nan := float32(0)
	nan /= nan
	m := heatMap([]float32{-1, 0, nan, 1, 2, 4, 9}, 7, 1, 4)
	for x, want := range []color.RGBA{inferno[0], inferno[0], inferno[0], inferno[2], inferno[4], inferno[8], inferno[8]} {
		if p := m.At(x, 0); (color.RGBA{p[0], p[1], p[2], 255}) != want {
			t.Errorf("value %d: %v, want %v", x, p, want)
		}
	}
}
