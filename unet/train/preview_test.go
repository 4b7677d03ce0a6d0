package train

import (
	"bytes"
	"image"
	"image/color"
	"testing"

	"microtome/internal/raster"
	"microtome/unet/dataset"
)

func smallConfig(t *testing.T, same bool) Config {
	c, err := NewConfig("default")
	if err != nil {
		t.Fatal(err)
	}
	c.Shape.Depth, c.Shape.Same, c.Tile, c.Held = 1, same, 16, 0
	return c
}

// handmade is a sample of two instances, with a column that nobody annotated.
func handmade(c Config) sample {
	in, out := c.input()
	s := sample{image: plain(in, in, color.RGBA{200, 180, 190, 255}), target: raster.NewLabels(out, out)}
	block(s.target, 1, image.Rect(1, 1, 6, 6))
	block(s.target, 2, image.Rect(8, 1, 13, 6))
	for i := range 9 { // a dark spot at (9, 10) to (11, 12) of the target
		set(s.image, ((in-out)/2+10+i/3)*in+(in-out)/2+9+i%3, color.RGBA{9, 9, 9, 255})
	}
	s.classes, s.weights = make([]uint8, out*out), make([]float32, out*out)
	for i, n := range s.target.Pix {
		s.weights[i] = 2
		if n > 0 {
			s.classes[i] = uint8(n)
		}
		if i%out == 15 {
			s.weights[i] = 0
		}
	}
	s.weights[3*out+7] = 8
	return s
}

func TestPreviewShowsEachPixelOfTheTarget(t *testing.T) {
	for _, same := range []bool{true, false} {
		c := smallConfig(t, same)
		in, out := c.input()
		k := previewEdge / out
		s := newPreview(c, []sample{handmade(c)})
		if s.edge != k*out || s.hottest != 8 {
			t.Fatalf("cells of %d px, weights to %g", s.edge, s.hottest)
		}
		m := pictureOf(t, func(w *bytes.Buffer) error { return s.write(w) })
		tissue := color.RGBA{200, 180, 190, 255}
		for _, p := range []struct {
			what         string
			column, x, y int
			c            color.RGBA
		}{
			{"inside of an instance", 1, 3, 3, tissue},
			{"background", 1, 7, 3, tissue},
			{"spot", 1, 10, 11, color.RGBA{9, 9, 9, 255}},
			{"instance 1", 2, 1, 1, instanceColor(1)},
			{"instance 1", 2, 5, 5, instanceColor(1)},
			{"gap", 2, 7, 3, black},
			{"instance 2", 2, 8, 1, instanceColor(2)},
			{"not annotated", 2, 15, 9, unknownColor},
			{"weight 8", 3, 7, 3, inferno[8]},
			{"weight 2", 3, 6, 3, inferno[2]},
			{"weight 0", 3, 15, 3, inferno[0]},
		} {
			cell := s.cell(0, p.column, s.edge, s.edge)
			for _, off := range []image.Point{{0, 0}, {k - 1, k - 1}, {k / 2, k / 2}} {
				if got := at(m, cell.X+k*p.x+off.X, cell.Y+k*p.y+off.Y); got != p.c {
					t.Errorf("same %v: %s at (%d, %d) + %v is %v, want %v", same, p.what, p.x, p.y, off, got, p.c)
				}
			}
		}
		cell := s.cell(0, 1, s.edge, s.edge)
		if got := at(m, cell.X+k, cell.Y+k); got != instanceColor(1) {
			t.Errorf("outline of instance 1 is %v", got)
		}
		seen := image.Rectangle{cell, cell.Add(image.Pt(s.edge, s.edge))}.Sub(image.Pt(s.edge+gap, 0))
		framed := pixels(m, seen, white)
		if margin := (in - out) / 2 * s.edge / in; same && framed != 0 || !same && framed != 4*(s.edge-2*margin-1) {
			t.Errorf("same %v: the frame has %d pixels", same, framed)
		}
	}
}

func TestPreviewColoursClasses(t *testing.T) {
	c := smallConfig(t, true)
	c.Shape.Classes = 3
	s := newPreview(c, []sample{handmade(c)})
	k := s.edge / 16
	for x, want := range map[int]color.RGBA{2: classColors[0], 9: classColors[1], 7: black} {
		if p := s.rows[0].cells[2].At(k*x, 2*k); (color.RGBA{p[0], p[1], p[2], 255}) != want {
			t.Errorf("column %d is %v, want %v", x, p, want)
		}
	}
}

func TestNeighboursHaveColoursOfTheirOwn(t *testing.T) {
	for n := range uint32(2000) {
		a := instanceColor(n)
		if max(a.R, a.G, a.B) != 255 || min(a.R, a.G, a.B) != 0 {
			t.Fatalf("instance %d is %v: not a full colour", n, a)
		}
		for d := uint32(1); d < 5; d++ {
			b := instanceColor(n + d)
			far := 0
			for _, pair := range [][2]uint8{{a.R, b.R}, {a.G, b.G}, {a.B, b.B}} {
				far += max(int(pair[0]), int(pair[1])) - min(int(pair[0]), int(pair[1]))
			}
			if far < 150 {
				t.Errorf("instances %d and %d are %v and %v", n, n+d, a, b)
			}
		}
	}
}

// Preview draws the tiles that Train draws, also of images that are smaller than a tile.
func TestPreviewIsOfTheTilesOfTheRun(t *testing.T) {
	m := dataset.Image{Name: "small", RGB: plain(9, 5, color.RGBA{220, 200, 210, 255}), Instances: raster.NewLabels(9, 5), Count: 1}
	block(m.Instances, 1, image.Rect(2, 1, 5, 4))
	set := &dataset.Set{Images: []dataset.Image{m}, ClassNames: []string{"background", "nucleus"}}
	r := &Run{Config: smallConfig(t, false), Set: set}
	got := pictureOf(t, func(w *bytes.Buffer) error { return r.Preview(w, 3) })
	sampler := newSampler(r.config(), set.Images)
	s := newPreview(r.config(), []sample{sampler.draw(0), sampler.draw(1), sampler.draw(2)})
	want := pictureOf(t, func(w *bytes.Buffer) error { return s.write(w) })
	if got.Bounds() != want.Bounds() {
		t.Fatalf("%v, want %v", got.Bounds(), want.Bounds())
	}
	for y := range got.Bounds().Dy() {
		for x := range got.Bounds().Dx() {
			if at(got, x, y) != at(want, x, y) {
				t.Fatalf("(%d, %d) differs", x, y)
			}
		}
	}
	if w := got.Bounds().Dx(); w > 1600 {
		t.Errorf("%d px wide", w)
	}
}
