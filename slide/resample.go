package slide

import (
	"context"
	"image"
	"math"
	"sync"

	"microtome/internal/raster"
)

// Resampling is separable, with a triangle as wide as a view pixel (or as a level pixel, when the level
// is enlarged), in fixed point. The weights of a view pixel follow from its coordinates alone.

const (
	weightBits = 14
	weightOne  = 1 << weightBits
	stripRows  = 256 // level rows a strip is made from, about
)

// A kernel is what one view pixel takes from the level along an axis.
type kernel struct {
	first   int // pixel of the level
	weights []uint32
}

// triangleAt returns where the triangle of view pixel i lies on the level.
func triangleAt(i int, scale float64) (center, radius float64) {
	return (float64(i)+0.5)*scale - 0.5, max(1, scale)
}

// reach returns the first and the last pixel of the level that view pixel i is made from; they may lie
// outside the level, where it is mirrored.
func reach(i int, scale float64) (first, last int) {
	center, radius := triangleAt(i, scale)
	return int(math.Floor(center-radius)) + 1, int(math.Ceil(center+radius)) - 1
}

// kernelAt returns the kernel of view pixel i, its weights appended to store.
func kernelAt(i int, scale float64, store []uint32) (kernel, []uint32) {
	center, radius := triangleAt(i, scale)
	first, last := reach(i, scale)
	from := len(store)
	sum := 0.0
	for x := first; x <= last; x++ {
		sum += 1 - math.Abs(float64(x)-center)/radius
	}
	rest, heaviest := uint32(weightOne), from
	for x := first; x <= last; x++ {
		w := uint32(math.Round((1 - math.Abs(float64(x)-center)/radius) / sum * weightOne))
		store = append(store, w)
		rest -= w // may pass below 0: it is added modulo 2³²
		if w > store[heaviest] {
			heaviest = len(store) - 1
		}
	}
	store[heaviest] += rest // so that a constant stays what it is
	return kernel{first, store[from:]}, store
}

// scratch is the memory of one resampling read, used again by the next.
type scratch struct {
	columns, rows []kernel
	store         []uint32
	level         []byte   // level pixels of a strip
	wide          []uint16 // the same, resampled along x; 8 bits of fraction
	sum           []uint32 // a row of the view
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// ScratchBytes bounds the memory that one Read of an edge × edge rectangle needs beside its result.
func (v *View) ScratchBytes(edge int) int64 {
	if v.scale == 1 {
		return 0
	}
	radius := max(1, v.scale)
	span := float64(edge)*v.scale + 2*radius + 2
	rows := stripRows + 4*radius + 2
	kernels := (float64(edge) + max(1, stripRows/v.scale)) * (32 + 4*(2*radius+2))
	return int64(rows*(3*span+6*float64(edge)) + 12*float64(edge) + 2*kernels) // the kernels grow by doubling
}

// resample fills dst with a rectangle of a view that is not a level as it is.
func (v *View) resample(ctx context.Context, dst []byte, r image.Rectangle) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return v.resampleWith(ctx, s, dst, r)
}

func (v *View) resampleWith(ctx context.Context, s *scratch, dst []byte, r image.Rectangle) error {
	s.store = s.store[:0]
	s.columns = s.columns[:0]
	x0, x1 := math.MaxInt, math.MinInt
	for x := r.Min.X; x < r.Max.X; x++ {
		var k kernel
		k, s.store = kernelAt(raster.Reflect(x, v.size.X), v.scale, s.store)
		s.columns = append(s.columns, k)
		x0, x1 = min(x0, k.first), max(x1, k.first+len(k.weights))
	}
	kept := len(s.store)
	strip := max(1, int(stripRows/v.scale))
	for y := r.Min.Y; y < r.Max.Y; y += strip {
		s.store, s.rows = s.store[:kept], s.rows[:0]
		y0, y1 := math.MaxInt, math.MinInt
		for i := y; i < min(y+strip, r.Max.Y); i++ {
			var k kernel
			k, s.store = kernelAt(raster.Reflect(i, v.size.Y), v.scale, s.store)
			s.rows = append(s.rows, k)
			y0, y1 = min(y0, k.first), max(y1, k.first+len(k.weights))
		}
		area := image.Rect(x0, y0, x1, y1)
		s.level = grow(s.level, 3*area.Dx()*area.Dy())
		if err := v.slide.fill(ctx, v.level, s.level, area); err != nil {
			return err
		}
		s.wide = grow(s.wide, 3*r.Dx()*area.Dy())
		s.alongX(area)
		s.alongY(dst[3*r.Dx()*(y-r.Min.Y):], y0)
	}
	return nil
}

// alongX resamples each row of the strip. Weights are not negative and sum to one, so nothing overflows.
func (s *scratch) alongX(area image.Rectangle) {
	for y := range area.Dy() {
		line := s.level[3*area.Dx()*y:][:3*area.Dx()]
		out := s.wide[3*len(s.columns)*y:][:3*len(s.columns)]
		for _, k := range s.columns {
			from := line[3*(k.first-area.Min.X):]
			var red, green, blue uint32 = 1 << 5, 1 << 5, 1 << 5
			for _, w := range k.weights {
				pixel := from[:3:3]
				red += w * uint32(pixel[0])
				green += w * uint32(pixel[1])
				blue += w * uint32(pixel[2])
				from = from[3:]
			}
			pixel := out[:3:3]
			pixel[0], pixel[1], pixel[2] = uint16(red>>6), uint16(green>>6), uint16(blue>>6)
			out = out[3:]
		}
	}
}

// alongY resamples the columns of the strip, whose first row is level row y0, into rows of dst. It goes
// through memory in rows, two at a time.
func (s *scratch) alongY(dst []byte, y0 int) {
	width := 3 * len(s.columns)
	s.sum = grow(s.sum, width)
	for y, k := range s.rows {
		sum := s.sum
		for x := range sum {
			sum[x] = 1 << (weightBits + 7)
		}
		for i := 0; i < len(k.weights); i += 2 {
			w := k.weights[i]
			a := s.wide[width*(k.first-y0+i):][:len(sum)]
			if i+1 == len(k.weights) {
				for x := range sum {
					sum[x] += w * uint32(a[x])
				}
				break
			}
			u := k.weights[i+1]
			b := s.wide[width*(k.first-y0+i+1):][:len(sum)]
			for x := range sum {
				sum[x] += w*uint32(a[x]) + u*uint32(b[x])
			}
		}
		out := dst[width*y:][:len(sum)]
		for x := range sum {
			out[x] = byte(sum[x] >> (weightBits + 8))
		}
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Thumbnail returns the slide with a long edge of at most edge pixels.
func (s *Slide) Thumbnail(ctx context.Context, edge int) (*image.RGBA, error) {
	full := s.info.Levels[0].Size
	down := max(1, float64(max(full.X, full.Y))/float64(edge))
	size := func(n int) int { return max(1, int(float64(n)/down)) }
	out := image.NewRGBA(image.Rect(0, 0, size(full.X), size(full.Y)))
	err := s.shrink(ctx, down, out.Rect.Max, func(r image.Rectangle, pix []byte) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			line := out.Pix[out.PixOffset(r.Min.X, y):][:4*r.Dx()]
			for ; len(line) > 0; line, pix = line[4:], pix[3:] {
				line[0], line[1], line[2], line[3] = pix[0], pix[1], pix[2], 255
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Shrunk returns the whole slide, down pixels of level 0 along an axis in each of its own, down being 1
// or more. The last column and row reach beyond the slide, mirrored, where down does not divide its size.
func (s *Slide) Shrunk(ctx context.Context, down float64) (raster.RGB, error) {
	full := s.info.Levels[0].Size
	size := func(n int) int { return int(math.Ceil(float64(n) / down)) }
	out := raster.NewRGB(size(full.X), size(full.Y))
	err := s.shrink(ctx, down, image.Pt(out.W, out.H), func(r image.Rectangle, pix []byte) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			copy(out.Pix[3*(y*out.W+r.Min.X):], pix[3*r.Dx()*(y-r.Min.Y):][:3*r.Dx()])
		}
	})
	return out, err
}

// shrink hands the slide at a downsample to put, square by square: a level may be far larger than what
// is made of it.
func (s *Slide) shrink(ctx context.Context, down float64, size image.Point, put func(r image.Rectangle, pix []byte)) error {
	level := 0
	for n, l := range s.info.Levels {
		if l.Downsample <= down {
			level = n
		}
	}
	v := &View{slide: s, level: level, scale: down / s.info.Levels[level].Downsample, size: size}
	if r, ok := s.reader.(forgetter); ok {
		defer r.forget(level) // one picture is all that it is read for
	}
	const step = 128
	pix := make([]byte, 3*step*step)
	for y := 0; y < size.Y; y += step {
		for x := 0; x < size.X; x += step {
			r := image.Rect(x, y, x+step, y+step).Intersect(image.Rectangle{Max: size})
			part := pix[:3*r.Dx()*r.Dy()]
			if err := v.Read(ctx, part, r); err != nil {
				return err
			}
			put(r, part)
		}
	}
	return nil
}
