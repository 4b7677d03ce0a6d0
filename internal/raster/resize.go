package raster

import "math"

// Resize returns src at w × h pixels. Each pixel is the mean of the area of src that it covers; where src is enlarged,
// bilinear between the centres of its pixels.
func Resize(src RGB, w, h int) RGB {
	if w == src.W && h == src.H {
		return src
	}
	plane := make([]float32, src.W*src.H)
	dst := NewRGB(w, h)
	for c := range 3 {
		for i := range plane {
			plane[i] = float32(src.Pix[3*i+c])
		}
		for i, v := range ResizePlane(plane, src.W, src.H, w, h) {
			dst.Pix[3*i+c] = byte(v + 0.5)
		}
	}
	return dst
}

// ResizePlane is Resize for one value a pixel: sw × sh values to w × h.
func ResizePlane(src []float32, sw, sh, w, h int) []float32 {
	across, down := newAxis(sw, w), newAxis(sh, h)
	rows := make([]float32, w*sh)
	for y := range sh {
		from, to := src[y*sw:][:sw], rows[y*w:][:w]
		for x := range to {
			sum := float32(0)
			for i, k := range across.weights(x) {
				sum += k * from[across.first[x]+i]
			}
			to[x] = sum
		}
	}
	dst := make([]float32, w*h)
	for y := range h {
		to := dst[y*w:][:w]
		for i, k := range down.weights(y) {
			from := rows[(down.first[y]+i)*w:][:w]
			for x, v := range from {
				to[x] += k * v
			}
		}
	}
	return dst
}

// An axis says which source pixels each pixel of a resized axis is made of.
type axis struct {
	first []int
	start []int // of the weights of each pixel
	all   []float32
}

func (a *axis) weights(i int) []float32 { return a.all[a.start[i]:a.start[i+1]] }

func newAxis(from, to int) *axis {
	a := &axis{start: []int{0}}
	scale := float64(from) / float64(to)
	for i := range to {
		var lo, hi float64 // source pixels k cover [k, k+1)
		if scale > 1 {
			lo, hi = float64(i)*scale, float64(i+1)*scale
		} else { // one pixel wide around the centre: bilinear
			lo = (float64(i)+0.5)*scale - 0.5
			hi = lo + 1
		}
		first := max(0, int(math.Floor(lo)))
		last := min(from, int(math.Ceil(hi)))
		a.first = append(a.first, first)
		sum, at := 0.0, len(a.all)
		for k := first; k < last; k++ {
			part := min(hi, float64(k+1)) - max(lo, float64(k))
			a.all = append(a.all, float32(part))
			sum += part
		}
		for k := range a.all[at:] {
			a.all[at+k] /= float32(sum)
		}
		a.start = append(a.start, len(a.all))
	}
	return a
}
