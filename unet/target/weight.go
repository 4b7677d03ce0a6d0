package target

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"microtome/internal/raster"
)

// Config says how much each pixel counts in the loss.
type Config struct {
	W0    float64   `json:"w0"`              // weight that the narrowest gap adds
	Sigma float64   `json:"sigma"`           // pixels: how wide a gap may be to be counted
	Class []float64 `json:"class,omitempty"` // weight of each class, by its number, from Balance or by choice; none: all count 1
}

// NewDefaultConfig returns the values of the paper, with every class weighing the same: classes of unequal
// weight shift the probability at which the network is undecided.
func NewDefaultConfig() Config { return Config{W0: 10, Sigma: 5} }

// Validate returns everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.W0 >= 0 && c.W0 <= math.MaxFloat32, "weight of gaps %g: give 0 or more, such as 10", c.W0)
	check(c.Sigma > 0 && c.Sigma <= math.MaxFloat32, "width of gaps %g: give pixels, more than 0, such as 5", c.Sigma)
	for i, w := range c.Class {
		check(w >= 0 && w <= math.MaxFloat32, "weight of class %d is %g: give 0 or more", i, w)
	}
	return errors.Join(errs...)
}

// Balance returns a weight for each class, in inverse proportion to its number of pixels, with a mean of 1
// over all pixels: every class that occurs then has the same part in the loss. A class without pixels
// weighs 1.
func Balance(counts []int) []float64 {
	pixels, classes := 0, 0
	for _, n := range counts {
		if n > 0 {
			pixels += n
			classes++
		}
	}
	weights := make([]float64, len(counts))
	for i, n := range counts {
		weights[i] = 1
		if n > 0 {
			weights[i] = float64(pixels) / (float64(classes) * float64(n))
		}
	}
	return weights
}

// A Weigher makes weight maps and keeps its buffers from one to the next. It is for one goroutine at a time.
type Weigher struct {
	config   Config
	distance raster.Distance
	d1, d2   []float32
}

// NewWeigher returns a Weigher for a valid configuration.
func NewWeigher(c Config) *Weigher { return &Weigher{config: c} }

// Weights returns the weight of each pixel of l, which is what Cut returned, row by row, in dst where that
// is large enough. It is equation 2 of Ronneberger, Fischer and Brox (2015),
//
//	w(x) = w_c(x) + w0 · exp(−(d1(x) + d2(x))² / 2σ²)
//
// with d1 and d2 the distances in pixels, between centres, to the nearest and the second nearest instance.
// It holds everywhere, as in the paper: on a pixel of an instance d1 is 0 and d2 the distance to the nearest
// other instance, so that the rims that face a narrow gap count more as well. Where there are fewer than two
// instances the second term is 0.
//
// class holds the class of each pixel of the target, and Config.Class must have a weight for each, or none
// at all. Where class is nil, background is class 0 and every instance class 1.
func (w *Weigher) Weights(dst []float32, l raster.Labels, class []uint8) []float32 {
	n := len(l.Pix)
	dst, w.d1, w.d2 = slices.Grow(dst[:0], n)[:n], slices.Grow(w.d1[:0], n)[:n], slices.Grow(w.d2[:0], n)[:n]
	w.distance.Nearest2(l, w.d1, w.d2)
	k := 1 / (2 * w.config.Sigma * w.config.Sigma)
	for i, d1 := range w.d1 {
		number := 0
		if class != nil {
			number = int(class[i])
		} else if l.Pix[i] != 0 {
			number = 1
		}
		weight := 1.0
		if len(w.config.Class) > 0 {
			weight = w.config.Class[number]
		}
		d := float64(d1) + float64(w.d2[i])
		if e := k * d * d; e < 60 { // beyond, less than w0 · 1e-26 is added
			weight += w.config.W0 * math.Exp(-e)
		}
		dst[i] = float32(weight)
	}
	return dst
}
