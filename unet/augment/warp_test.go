package augment

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// ramp returns a picture whose red is 4 x and whose green is 4 y, and labels that are y·w + x.
func ramp(w, h int) (raster.RGB, raster.Labels) {
	m, l := raster.NewRGB(w, h), raster.NewLabels(w, h)
	for y := range h {
		for x := range w {
			copy(m.At(x, y), []byte{byte(4 * x), byte(4 * y), 0})
			l.Pix[y*w+x] = uint32(y*w + x)
		}
	}
	return m, l
}

// TestPictureAndLabelsWarpAlike reads from a warped ramp where each pixel came from: the picture says what
// At says, to the precision of its bytes, and so do the labels, to half a pixel.
func TestPictureAndLabelsWarpAlike(t *testing.T) {
	const edge = 64
	src, labels := ramp(edge, edge)
	c := NewDefaultConfig()
	c.Elastic = 2
	for _, base := range []float64{0.5, 1, 2} {
		var seen int
		for seed := range uint64(20) {
			w := c.Warp(seeded(seed), edge, edge, 48, base)
			img, l := w.Image(src), w.Labels(labels)
			for y := range 48 {
				for x := range 48 {
					sx, sy := w.At(float64(x), float64(y))
					margin := 2 + w.step
					if sx < margin || sx > edge-1-margin || sy < margin || sy > edge-1-margin {
						continue // near the border the ramp is bent
					}
					seen++
					p, n := img.At(x, y), int(l.At(x, y))
					if dx, dy := float64(p[0])/4-sx, float64(p[1])/4-sy; math.Abs(dx) > 0.13 || math.Abs(dy) > 0.13 {
						t.Fatalf("base %g, seed %d: the picture at (%d, %d) is off by (%.2f, %.2f)", base, seed, x, y, dx, dy)
					}
					if dx, dy := float64(n%edge)-sx, float64(n/edge)-sy; math.Abs(dx) > 0.5 || math.Abs(dy) > 0.5 {
						t.Fatalf("base %g, seed %d: the label at (%d, %d) is off by (%.2f, %.2f)", base, seed, x, y, dx, dy)
					}
				}
			}
		}
		if seen < 1000 {
			t.Errorf("base %g: only %d pixels were looked at", base, seen)
		}
	}
}

// TestWholePixelsAreCopied: shift and flip move pixels and interpolate nothing, beyond the border too.
func TestWholePixelsAreCopied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		w, h := rapid.IntRange(1, 20).Draw(t, "w"), rapid.IntRange(1, 20).Draw(t, "h")
		src, labels := noise(seeded(seed), w, h)
		c := None()
		c.Shift, c.Flip = rapid.Bool().Draw(t, "shift"), rapid.Bool().Draw(t, "flip")
		size := rapid.IntRange(1, 50).Draw(t, "size")
		warp := c.Warp(seeded(seed), w, h, size, 1)
		img, l := warp.Image(src), warp.Labels(labels)
		for y := range size {
			for x := range size {
				fx, fy := warp.At(float64(x), float64(y))
				sx, sy := int(fx), int(fy)
				if float64(sx) != fx || float64(sy) != fy {
					t.Fatalf("(%d, %d) comes from (%g, %g), between pixels", x, y, fx, fy)
				}
				sx, sy = raster.Reflect(sx, w), raster.Reflect(sy, h)
				if [3]byte(img.At(x, y)) != [3]byte(src.At(sx, sy)) || l.At(x, y) != labels.At(sx, sy) {
					t.Fatalf("(%d, %d) is not the pixel (%d, %d) of the source", x, y, sx, sy)
				}
			}
		}
	})
}

// TestBorderIsMirrored: labels near and beyond the border are those that raster.Reflect says, whatever the warp.
func TestBorderIsMirrored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		w, h := rapid.IntRange(1, 9).Draw(t, "w"), rapid.IntRange(1, 9).Draw(t, "h")
		_, labels := noise(seeded(seed), w, h)
		warp := NewDefaultConfig().Warp(seeded(seed), w, h, 30, 1)
		l := warp.Labels(labels)
		for y := range 30 {
			for x := range 30 {
				sx, sy := warp.At(float64(x), float64(y))
				want := labels.At(raster.Reflect(int(math.Round(sx)), w), raster.Reflect(int(math.Round(sy)), h))
				if l.At(x, y) != want {
					t.Fatalf("(%d, %d), from (%g, %g), is %d, want %d", x, y, sx, sy, l.At(x, y), want)
				}
			}
		}
	})
}

func TestFlipDrawsAllEightSymmetries(t *testing.T) {
	c := None()
	c.Flip = true
	r, seen := seeded(1), map[[2][3]float64]int{}
	for range 400 {
		seen[c.Warp(r, 8, 8, 8, 1).m]++
	}
	if len(seen) != 8 {
		t.Fatalf("%d symmetries in 400 draws", len(seen))
	}
	for m, n := range seen {
		if n < 25 {
			t.Errorf("%v was drawn %d times in 400", m, n)
		}
	}
}

// TestShiftReachesEverywhere: every pixel of the source is in some tile, and no tile is mostly beyond the border.
func TestShiftReachesEverywhere(t *testing.T) {
	c := None()
	c.Shift = true
	for _, size := range []int{1, 4, 9, 30} {
		r, seen := seeded(1), map[[2]float64]bool{}
		for range 3000 {
			w, inside := c.Warp(r, 12, 17, size, 1), 0
			for y := range size {
				for x := range size {
					sx, sy := w.At(float64(x), float64(y))
					if sx >= 0 && sy >= 0 && sx < 12 && sy < 17 {
						seen[[2]float64{sx, sy}] = true
						inside++
					}
				}
			}
			if most := min(size, 12) * min(size, 17); 2*inside < most {
				t.Fatalf("a tile of %d shows %d pixels of the source, could show %d", size, inside, most)
			}
		}
		if len(seen) != 12*17 {
			t.Errorf("tiles of %d show %d of %d pixels", size, len(seen), 12*17)
		}
	}
}

// TestBeyond: labels beyond the border are either mirrored or what is asked for.
func TestBeyond(t *testing.T) {
	src := raster.Labels{W: 2, H: 1, Pix: []uint32{5, 6}}
	s := Sampler{Config: None(), Beyond: 9}
	_, got := s.Sample(seeded(1), raster.NewRGB(2, 1), src, 4, 1)
	want := []uint32{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}
	for y := range 4 {
		for x := range 4 {
			if sx, sy := None().Warp(seeded(1), 2, 1, 4, 1).At(float64(x), float64(y)); sy == 0 && (sx == 0 || sx == 1) {
				want[y*4+x] = src.Pix[int(sx)]
			}
		}
	}
	if !slices.Equal(got.Pix, want) {
		t.Errorf("labels %v, want %v", got.Pix, want)
	}
}

// TestScaleIsLogUniform: of the magnifications half lie below the geometric mean.
func TestScaleIsLogUniform(t *testing.T) {
	c := NewDefaultConfig()
	r, n, low := seeded(1), 4000, 0
	for range n {
		w := c.Warp(r, 99, 99, 64, 1)
		if s := 1 / w.step; s < c.ScaleMin || s > c.ScaleMax {
			t.Fatalf("magnification %g", s)
		}
		if w.step > 1/math.Sqrt(c.ScaleMin*c.ScaleMax) {
			low++
		}
	}
	if math.Abs(float64(low)/float64(n)-0.5) > 0.03 {
		t.Errorf("%d of %d magnifications are below the geometric mean", low, n)
	}
}
