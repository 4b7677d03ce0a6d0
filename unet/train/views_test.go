package train

import (
	"bytes"
	"image"
	"image/color"
	"strconv"
	"testing"

	"microtome/internal/raster"
)

// block fills a rectangle with an instance.
func block(l raster.Labels, n uint32, r image.Rectangle) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			l.Pix[y*l.W+x] = n
		}
	}
}

// One object that is found a pixel off, one that is missed, one that is not there, and one that is found, but not by half.
func fourObjects() view {
	v := view{"four", plain(40, 30, color.RGBA{200, 200, 200, 255}), raster.NewLabels(40, 30), raster.NewLabels(40, 30), make([]float32, 40*30)}
	block(v.truth, 7, image.Rect(2, 2, 10, 10))
	block(v.found, 1, image.Rect(3, 2, 11, 10))
	block(v.truth, 3, image.Rect(20, 2, 26, 8))
	block(v.found, 2, image.Rect(2, 20, 8, 26))
	block(v.truth, 9, image.Rect(20, 20, 28, 26))
	block(v.found, 3, image.Rect(20, 20, 24, 26)) // exactly half: no match
	for i, n := range v.found.Pix {
		if n > 0 {
			v.prob[i] = 1
		}
	}
	return v
}

func TestViewsColourMatchedMissedAndFalse(t *testing.T) {
	s := newPreviews([]view{fourObjects()}, 40)
	m := pictureOf(t, func(w *bytes.Buffer) error { return s.write(w) })
	grey := color.RGBA{200, 200, 200, 255}
	for _, p := range []struct {
		what   string
		column int
		x, y   int
		c      color.RGBA
	}{
		{"image", 0, 2, 2, grey},
		{"truth", 1, 2, 2, truthColor},
		{"inside of truth", 1, 5, 5, grey},
		{"truth", 1, 20, 2, truthColor},
		{"truth", 1, 27, 25, truthColor},
		{"nothing in truth", 1, 2, 20, grey},
		{"matched", 2, 3, 2, matchedColor},
		{"matched", 2, 10, 9, matchedColor},
		{"inside of matched", 2, 5, 5, grey},
		{"truth of what is matched", 2, 2, 5, grey},
		{"missed", 2, 20, 2, missedColor},
		{"missed", 2, 25, 7, missedColor},
		{"false", 2, 2, 20, falseColor},
		{"half of an object", 2, 20, 20, falseColor},
		{"the object that is half found", 2, 27, 25, missedColor},
		{"probability 1", 3, 5, 5, inferno[8]},
		{"probability 0", 3, 30, 5, inferno[0]},
	} {
		at0 := s.cell(0, p.column, 40, 30)
		if got := at(m, at0.X+p.x, at0.Y+p.y); got != p.c {
			t.Errorf("%s at (%d, %d) is %v, want %v", p.what, p.x, p.y, got, p.c)
		}
	}
	if want := "four at (0, 0), whole image: 1 found, 2 missed, 2 false"; s.rows[0].text != want {
		t.Errorf("%q, want %q", s.rows[0].text, want)
	}
}

// An object that the crop cuts is judged by all of it.
func TestMatchesAreOfTheWholeImage(t *testing.T) {
	v := view{"cut", plain(40, 10, white), raster.NewLabels(40, 10), raster.NewLabels(40, 10), make([]float32, 400)}
	block(v.truth, 1, image.Rect(0, 2, 14, 6))
	block(v.found, 1, image.Rect(0, 2, 9, 6))   // over a half, but nothing beyond column 10, where the crop begins:
	block(v.truth, 2, image.Rect(10, 8, 11, 9)) // it holds three centres
	block(v.truth, 3, image.Rect(14, 8, 15, 9)) // and is as near
	block(v.truth, 4, image.Rect(18, 8, 19, 9)) // to the middle as that allows
	s := newPreviews([]view{v}, 10)
	if s.rows[0].cells[2].W != 10 {
		t.Fatalf("%d px wide", s.rows[0].cells[2].W)
	}
	if want := "cut at (10, 0), whole image: 1 found, 3 missed, 0 false"; s.rows[0].text != want {
		t.Errorf("%q, want %q", s.rows[0].text, want)
	}
	if p := s.rows[0].cells[2].At(0, 2); p[1] != 255 {
		t.Errorf("the matched object is %v in the crop, as if it were missed", p)
	}
}

func TestBusiestPlace(t *testing.T) {
	l := raster.NewLabels(100, 60)
	if got := busiest(l, 20); !got.Eq(image.Rect(40, 20, 60, 40)) {
		t.Errorf("nothing anywhere: %v, want the middle", got)
	}
	for i := range uint32(3) {
		x := 90 + 3*int(i)
		block(l, 5+i, image.Rect(x, 55, x+2, 58))
	}
	block(l, 1, image.Rect(0, 0, 40, 40)) // large, but one
	if got := busiest(l, 20); !image.Rect(90, 55, 98, 58).In(got) || got.Dx() != 20 || got.Dy() != 20 {
		t.Errorf("three in a corner: %v", got)
	}
	if got := busiest(l, 70); got.Dx() != 70 || got.Dy() != 60 || got.Max.X != 100 {
		t.Errorf("lower than the square: %v", got)
	}
	if got := busiest(l, 200); !got.Eq(image.Rect(0, 0, 100, 60)) {
		t.Errorf("smaller than the square: %v", got)
	}
}

func TestPreviewsOfManyAndNoImages(t *testing.T) {
	m := pictureOf(t, func(w *bytes.Buffer) error { return drawPreviews(w, nil) })
	if m.Bounds().Dx() != 8+4*328 || m.Bounds().Dx() > 1600 {
		t.Errorf("without images: %v", m.Bounds())
	}
	var views []view
	for i := range 20 {
		v := fourObjects()
		v.name = strconv.Itoa(i)
		v.image = plain(40, 30, color.RGBA{uint8(i), 1, 1, 255})
		views = append(views, v)
	}
	m = pictureOf(t, func(w *bytes.Buffer) error { return drawPreviews(w, views) })
	if want := 36 + 6*348 + 40; m.Bounds().Dy() != want {
		t.Errorf("%d px high, want %d", m.Bounds().Dy(), want)
	}
	for i := range 20 {
		shown := bounds(m, color.RGBA{uint8(i), 1, 1, 255}) != image.Rectangle{}
		if want := i == 1 || i == 5 || i == 8 || i == 11 || i == 15 || i == 18; shown != want {
			t.Errorf("image %d is shown: %v", i, shown)
		}
	}
}
