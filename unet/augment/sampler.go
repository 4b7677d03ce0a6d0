package augment

import (
	"bytes"
	"math/rand/v2"

	"microtome/internal/raster"
)

// A Sampler draws tiles, and keeps memory between them. One goroutine may use it at a time.
type Sampler struct {
	Config Config // must be valid
	Beyond uint32 // number of labels beyond the border of the source; 0: they are mirrored, as the image is

	columns []column
	sums    []int
	planes  [3][]float32
	blurred []float32
	soft    []float32
	jpeg    bytes.Buffer
	between []float32
	added   []float32
}

// Sample draws one tile of size × size pixels from a source and its labels, which are equally large and
// have at least one pixel. Base is the tile's mpp / the source's mpp. The tile depends on nothing but the
// arguments and what r yields.
func (s *Sampler) Sample(r *rand.Rand, src raster.RGB, labels raster.Labels, size int, base float64) (raster.RGB, raster.Labels) {
	w := s.Config.Warp(r, src.W, src.H, size, base)
	img := s.image(&w, src)
	grey := IsGrey(src)
	if s.Config.Eosin > 0 && !grey && r.Float64() < s.Config.Eosin {
		s.counterstain(newEosin(r, size), img, w.Labels(labels))
	}
	s.recolour(img, s.Config.look(r, grey), r)
	return img, w.labels(labels, s.Beyond)
}

// Sample draws one tile, as [Sampler.Sample] does.
func (c Config) Sample(r *rand.Rand, src raster.RGB, labels raster.Labels, size int, base float64) (raster.RGB, raster.Labels) {
	return (&Sampler{Config: c}).Sample(r, src, labels, size, base)
}

// grow returns a slice of n elements, whose values are arbitrary, in s's memory if it suffices.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
