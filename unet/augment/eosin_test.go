package augment

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"microtome/internal/raster"
)

// A purple picture with a nucleus gets pink around it, and keeps the nucleus.
func TestEosinIsBetweenNuclei(t *testing.T) {
	const edge = 64
	src, nuclei := raster.NewRGB(edge, edge), raster.NewLabels(edge, edge)
	for y := range edge {
		for x := range edge {
			copy(src.At(x, y), []byte{190, 160, 210})
			if math.Hypot(float64(x-32), float64(y-32)) < 12 {
				copy(src.At(x, y), []byte{90, 60, 140})
				nuclei.Pix[y*edge+x] = 1
			}
		}
	}
	var s Sampler
	pinker, n := 0, 0
	for seed := range uint64(20) {
		img := raster.RGB{W: edge, H: edge, Pix: bytes.Clone(src.Pix)}
		s.counterstain(newEosin(seeded(seed), edge), img, nuclei)
		for y := range edge {
			for x := range edge {
				d := math.Hypot(float64(x-32), float64(y-32))
				if d > 12 && d < 15 || d > 9 && d < 12 {
					continue // the mask is soft
				}
				p, was := img.At(x, y), src.At(x, y)
				if d < 9 {
					if p[0] > was[0] || int(p[0]) < int(was[0])-25 {
						t.Fatalf("red of the nucleus went from %d to %d", was[0], p[0])
					}
					continue
				}
				n++
				if int(p[0])-int(p[2]) > int(was[0])-int(was[2]) {
					pinker++
				}
			}
		}
	}
	if pinker < n*9/10 {
		t.Errorf("%d of %d pixels between nuclei became pinker", pinker, n)
	}
}

// Grey pictures stay grey, and the share is as asked.
func TestEosinShare(t *testing.T) {
	colour, labels := noise(seeded(1), 40, 40)
	grey := raster.NewRGB(40, 40)
	for i := range grey.Pix {
		grey.Pix[i] = byte(i / 3 % 200)
	}
	c := None()
	c.Eosin = 0.5
	stained := 0
	for seed := range uint64(400) {
		if img, _ := c.Sample(seeded(seed), grey, labels, 40, 1); !slices.Equal(img.Pix, grey.Pix) {
			t.Fatal("a grey picture was stained")
		}
		if img, _ := c.Sample(seeded(seed), colour, labels, 40, 1); !slices.Equal(img.Pix, colour.Pix) {
			stained++
		}
	}
	if stained < 160 || stained > 240 {
		t.Errorf("%d of 400 tiles were stained, want a half", stained)
	}
}

func TestWaveIsSmoothAndBounded(t *testing.T) {
	for i := range 2000 {
		x, y := float64(i)*0.37-300, float64(i)*0.11-50
		v, next := wave(7, x, y), wave(7, x+0.01, y)
		if v < 0 || v > 1 || math.Abs(v-next) > 0.02 {
			t.Fatalf("wave is %g at (%g, %g) and %g beside it", v, x, y, next)
		}
	}
}
