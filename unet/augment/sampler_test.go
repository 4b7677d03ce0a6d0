package augment

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

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

func TestSameSeedSameBytes(t *testing.T) {
	src, labels := noise(seeded(1), 90, 70)
	c := NewDefaultConfig()
	for seed := range uint64(10) {
		a, la := c.Sample(seeded(seed), src, labels, 64, 1)
		b, lb := c.Sample(seeded(seed), src, labels, 64, 1)
		if !bytes.Equal(a.Pix, b.Pix) || !slices.Equal(la.Pix, lb.Pix) {
			t.Errorf("seed %d gave two tiles", seed)
		}
		other, lo := c.Sample(seeded(seed+1), src, labels, 64, 1)
		if bytes.Equal(a.Pix, other.Pix) || slices.Equal(la.Pix, lo.Pix) {
			t.Errorf("seeds %d and %d gave one tile", seed, seed+1)
		}
	}
}

// TestSamplerRemembersNothing draws tiles of all kinds, of tiny and of thin sources too, from one Sampler,
// and each again from a new one.
func TestSamplerRemembersNothing(t *testing.T) {
	var used Sampler
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		edge := rapid.SampledFrom([][2]int{{1, 1}, {1, 2}, {2, 1}, {3, 200}, {200, 3}, {17, 23}}).Draw(t, "source")
		src, labels := noise(seeded(seed), edge[0], edge[1])
		before := slices.Clone(src.Pix)
		size := rapid.IntRange(1, 40).Draw(t, "size")
		base := rapid.Float64Range(0.2, 4).Draw(t, "base")
		used.Config = rapid.SampledFrom([]Config{NewDefaultConfig(), None()}).Draw(t, "config")
		used.Config.ElasticGrid = rapid.IntRange(2, maxGrid).Draw(t, "grid")

		img, l := used.Sample(seeded(seed), src, labels, size, base)
		again, la := used.Config.Sample(seeded(seed), src, labels, size, base)
		if !bytes.Equal(img.Pix, again.Pix) || !slices.Equal(l.Pix, la.Pix) {
			t.Fatal("a used Sampler and a new one drew two tiles")
		}
		if img.W != size || img.H != size || len(img.Pix) != 3*size*size || l.W != size || l.H != size || len(l.Pix) != size*size {
			t.Fatalf("a tile of %d pixels is %d × %d, its labels %d × %d", size, img.W, img.H, l.W, l.H)
		}
		if !bytes.Equal(src.Pix, before) {
			t.Fatal("the source was written to")
		}
		for _, n := range l.Pix {
			if int(n) >= edge[0]*edge[1] {
				t.Fatalf("the source has no label %d", n)
			}
		}
	})
}

// BenchmarkSample draws tiles of 256 pixels with everything on, by the source's pixels to one of the tile's.
func BenchmarkSample(b *testing.B) {
	src, labels := noise(seeded(1), 600, 600)
	for _, base := range []float64{0.5, 1, 2} {
		b.Run(fmt.Sprint(base), func(b *testing.B) {
			s, r := Sampler{Config: NewDefaultConfig()}, seeded(1)
			b.ReportAllocs()
			for b.Loop() {
				s.Sample(r, src, labels, 256, base)
			}
			b.ReportMetric(256*256*float64(b.N)/1e6/b.Elapsed().Seconds(), "Mpx/s")
		})
	}
}
