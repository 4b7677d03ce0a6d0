package score

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"microtome/internal/raster"
)

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// nuclei makes w × w px of blurred discs with noise, about 1000 a megapixel, and their truth.
func nuclei(w int) ([]float32, raster.Labels) {
	rng := rand.New(rand.NewPCG(1, 2))
	p, truth := make([]float32, w*w), raster.NewLabels(w, w)
	for i := range p {
		p[i] = 0.4 * rng.Float32() * rng.Float32()
	}
	for id := range uint32(w * w / 1000) {
		cx, cy, r := rng.IntN(w), rng.IntN(w), 5+8*rng.Float64()
		for y := max(0, cy-15); y < min(w, cy+16); y++ {
			for x := max(0, cx-15); x < min(w, cx+16); x++ {
				d := math.Hypot(float64(x-cx), float64(y-cy))
				if d < r {
					truth.Pix[y*w+x] = id + 1
				}
				p[y*w+x] = max(p[y*w+x], float32(1/(1+math.Exp(d-r+1)))-0.2*rng.Float32())
			}
		}
	}
	return p, truth
}

func BenchmarkObjects(b *testing.B) {
	p, truth := nuclei(1024)
	f := NewDefaultFilter()
	f.MinArea, f.Grow = 20, 1
	for b.Loop() {
		f.Objects(p, truth.W, truth.H)
	}
}

func BenchmarkCompare(b *testing.B) {
	p, truth := nuclei(1024)
	found := NewDefaultFilter().Objects(p, truth.W, truth.H)
	for b.Loop() {
		Compare(truth, found)
	}
}

// 1386 filters on one image.
func BenchmarkChoose(b *testing.B) {
	p, truth := nuclei(1024)
	for b.Loop() {
		Choose([]Case{{P: p, Truth: truth}}, manyFilters())
	}
}
