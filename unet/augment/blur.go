package augment

import (
	"math"

	"microtome/internal/raster"
)

// blur convolves a plane of w × h values with a Gaussian of standard deviation sigma pixels, cut off at 3
// sigma, and mirrors the plane at its border. Scratch is as large as the plane.
func blur(plane, scratch []float32, w, h int, sigma float64) {
	kernel := gaussian(sigma)
	if len(kernel) == 1 {
		return
	}
	for y := range h {
		blurRow(scratch[y*w:][:w], plane[y*w:][:w], kernel)
	}
	for y := range h {
		out := plane[y*w:][:w]
		clear(out)
		for k, v := range kernel {
			in := scratch[raster.Reflect(y+k-len(kernel)/2, h)*w:][:w]
			for x := range out {
				out[x] += v * in[x]
			}
		}
	}
}

func blurRow(dst, src, kernel []float32) {
	radius, w := len(kernel)/2, len(src)
	for x := range dst {
		var sum float32
		if x >= radius && x < w-radius {
			in := src[x-radius:][:len(kernel)]
			for k, v := range kernel {
				sum += v * in[k]
			}
		} else {
			for k, v := range kernel {
				sum += v * src[raster.Reflect(x+k-radius, w)]
			}
		}
		dst[x] = sum
	}
}

// gaussian returns an odd number of weights that add up to 1. They are those of the Gaussian at whole
// pixels; below a sigma of a sixth of a pixel it is nothing but its centre.
func gaussian(sigma float64) []float32 {
	radius := int(3*sigma + 0.5)
	kernel := make([]float32, 2*radius+1)
	var sum float64
	for k := range kernel {
		d := float64(k-radius) / max(sigma, 1e-9)
		kernel[k] = float32(math.Exp(-d * d / 2))
		sum += float64(kernel[k])
	}
	for k := range kernel {
		kernel[k] /= float32(sum)
	}
	return kernel
}

// sharpen adds amount times what a blur of one pixel takes away.
func (s *Sampler) sharpen(w, h int, amount float32) {
	s.blurred, s.soft = grow(s.blurred, w*h), grow(s.soft, w*h)
	for _, p := range s.planes {
		copy(s.soft, p)
		blur(s.soft, s.blurred, w, h, 1)
		for i, v := range s.soft {
			p[i] += amount * (p[i] - v)
		}
	}
}
