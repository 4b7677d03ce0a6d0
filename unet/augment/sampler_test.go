package augment

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"microtome/internal/raster"
)

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 0)) }

// noise returns a picture of random bytes, and as labels the number of each pixel.
func noise(r *rand.Rand, w, h int) (raster.RGB, raster.Labels) {
	m, l := raster.NewRGB(w, h), raster.NewLabels(w, h)
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	for i := range l.Pix {
		l.Pix[i] = uint32(i)
	}
	return m, l
}

func TestNoneIsIdentity(t *testing.T) {
	for _, size := range []int{1, 2, 3, 64, 65} {
		src, labels := noise(seeded(1), size, size)
		img, l := None().Sample(seeded(2), src, labels, size, 1)
		if !bytes.Equal(img.Pix, src.Pix) || !slices.Equal(l.Pix, labels.Pix) {
			t.Errorf("a tile of %d pixels differs from its source", size)
		}
	}
}

func BenchmarkSample(b *testing.B) {
	src, labels := noise(seeded(1), 400, 400)
	for name, base := range map[string]float64{"1": 1, "0.5": 0.5, "2": 2} {
		b.Run(name, func(b *testing.B) {
			s, r := Sampler{Config: NewDefaultConfig()}, seeded(1)
			for b.Loop() {
				s.Sample(r, src, labels, 256, base)
			}
			b.ReportMetric(256*256*float64(b.N)/1e6/b.Elapsed().Seconds(), "Mpx/s")
		})
	}
}
