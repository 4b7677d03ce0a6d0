//go:build cgo && !purego

package ops

// #cgo CFLAGS: -O3
// #include "kernels.h"
import "C"

import "unsafe"

// Seamless says that values do not depend on the size of the image they are computed in.
const Seamless = true

func fastest() Backend { return Direct{} }

// Direct convolves without unfolding the image, by the kernels in kernels.c.
type Direct struct{}

// Of the kernels: vectors are as many as lanes floats long, outputs are computed by fours.
const (
	lanes = 16
	group = 4
)

// widest lets kernels use vectors of so many floats at most, and returns how many they then have. It is for tests.
func widest(n int) int { return int(C.microtome_lanes(C.int(n))) }

func pointer(s []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(s))) }

// tail is how many floats past the last row the kernels may read.
const tail = lanes + 2

// inPlace reports whether an image needs no padding: it has no border, and the kernels can read its rows to the end.
func inPlace(h, w, border int) bool { return border == 0 && h*w%lanes == 0 && h == 1 }

// A padded image has zeros around it, and room after it for the kernels to read past the last row.
type padded struct {
	pix        []float32
	plane, row int
}

// pad copies channels × h × w values into scratch, with a border of zeros. One that needs none and whose
// rows the kernels can read to the end stays where it is.
func (o *Ops) pad(slot int, x []float32, channels, h, w, border int) padded {
	if inPlace(h, w, border) {
		return padded{x, h * w, w}
	}
	row, rows := w+2*border, h+2*border
	p := padded{o.room(slot, channels*rows*row+tail), rows * row, row}
	parallel(o.Threads, channels, func(first, last int) {
		for c := first; c < last; c++ {
			to := p.pix[c*p.plane:][:p.plane]
			if border == 0 {
				copy(to, x[c*h*w:][:h*w])
				continue
			}
			clear(to[:border*row])
			clear(to[(h+border)*row:])
			for y := range h {
				line := to[(y+border)*row:][:row]
				clear(line[:border])
				copy(line[border:], x[(c*h+y)*w:][:w])
				clear(line[border+w:])
			}
		}
	})
	clear(p.pix[channels*p.plane:])
	return p
}

// flat turns a convolution of one pixel into one over a single row.
func (c Convolution) flat() Convolution {
	if c.Side == 1 {
		c.H, c.W = 1, c.H*c.W
	}
	return c
}

// Room is that of [Backend]: the weights by fours, and one padded image.
func (Direct) Room(_ *Ops, c Convolution) (room [3]int) {
	c = c.flat()
	room[0] = (c.Out + group - 1) / group * group * c.In * c.Side * c.Side
	if !inPlace(c.H, c.W, c.Pad) {
		room[1] = c.In*(c.H+2*c.Pad)*(c.W+2*c.Pad) + tail
	}
	return room
}

// Forward is that of [Backend].
func (Direct) Forward(o *Ops, c Convolution, x, w, b, y []float32) {
	o.convolve(c, x, w, b, y, false)
}

// Input is that of [Backend]: dy, padded so that the sizes fit, convolved with w turned around.
func (Direct) Input(o *Ops, c Convolution, w, dy, dx []float32) {
	h, width := c.size()
	o.convolve(Convolution{Batch: c.Batch, In: c.Out, H: h, W: width, Out: c.In, Side: c.Side, Pad: c.Side - 1 - c.Pad}, dy, w, nil, dx, true)
}

func (o *Ops) convolve(c Convolution, x, w, b, y []float32, transposed bool) {
	c = c.flat()
	oh, ow := c.size()
	taps := c.Side * c.Side
	groups := (c.Out + group - 1) / group
	packed := o.room(0, groups*group*c.In*taps)
	outputs, inputs, turn := c.Out, c.In, 0
	if transposed {
		outputs, inputs, turn = c.In, c.Out, 1
	}
	parallel(o.Threads, groups, func(first, last int) {
		C.microtome_pack(pointer(w), C.int(outputs), C.int(inputs), C.int(taps), C.int(turn), pointer(packed), C.int(first), C.int(last))
	})
	relu := 0
	if c.ReLU {
		relu = 1
	}
	for i := range c.Batch {
		in := o.pad(1, x[i*c.In*c.H*c.W:][:c.In*c.H*c.W], c.In, c.H, c.W, c.Pad)
		out := y[i*c.Out*oh*ow:][:c.Out*oh*ow]
		if oh == 1 { // one row: split the outputs instead
			parallel(o.Threads, groups, func(first, last int) {
				n := min(last*group, c.Out) - first*group
				var bias []float32
				if b != nil {
					bias = b[first*group:]
				}
				C.microtome_conv(pointer(in.pix), C.long(in.plane), C.long(in.row), C.int(c.In), C.int(c.Side),
					pointer(packed[first*group*c.In*taps:]), pointer(bias), C.int(relu),
					pointer(out[first*group*oh*ow:]), C.long(oh*ow), C.int(ow), 0, C.long(oh), C.int(n))
			})
			continue
		}
		parallel(o.Threads, oh, func(first, last int) {
			C.microtome_conv(pointer(in.pix), C.long(in.plane), C.long(in.row), C.int(c.In), C.int(c.Side), pointer(packed), pointer(b), C.int(relu),
				pointer(out), C.long(oh*ow), C.int(ow), C.long(first), C.long(last), C.int(c.Out))
		})
	}
}

// Weights is that of [Backend].
func (Direct) Weights(o *Ops, c Convolution, x, dy, dw []float32) {
	c = c.flat()
	oh, ow := c.size()
	groups := (c.Out + group - 1) / group
	n := c.Out * c.In * c.Side * c.Side
	for i := range c.Batch {
		in := o.pad(1, x[i*c.In*c.H*c.W:][:c.In*c.H*c.W], c.In, c.H, c.W, c.Pad)
		grad, row := o.rows(dy[i*c.Out*oh*ow:][:c.Out*oh*ow], ow)
		to := dw
		if i > 0 {
			to = o.room(0, n)
		}
		parallel(o.Threads, groups, func(first, last int) {
			C.microtome_conv_weights(pointer(in.pix), C.long(in.plane), C.long(in.row), C.int(c.In), C.int(c.Side), pointer(grad),
				C.long(oh*row), C.long(row), C.int(oh), pointer(to), C.int(first*group), C.int(last*group), C.int(c.Out))
		})
		if i > 0 {
			addTo(dw, to)
		}
	}
}

func addTo(sum, x []float32) {
	for i, v := range x {
		sum[i] += v
	}
}

// rows returns rows of w values with zeros after each, up to whole vectors.
func (o *Ops) rows(x []float32, w int) (pix []float32, row int) {
	row = (w + lanes - 1) / lanes * lanes
	if row == w {
		return x, w
	}
	n := len(x) / w
	pix = o.room(2, n*row)
	parallel(o.Threads, n, func(first, last int) {
		for i := first; i < last; i++ {
			copy(pix[i*row:], x[i*w:][:w])
			clear(pix[i*row+w:][:row-w])
		}
	})
	return pix, row
}

// reluGrad sets out to dy where y is positive, and to 0 elsewhere.
func reluGrad(y, dy, out []float32) {
	C.microtome_relu_grad(pointer(y), pointer(dy), pointer(out), C.long(len(out)))
}

// poolPlane takes the largest of each 2 × 2 pixels of an h × w image.
func poolPlane(x, y []float32, h, w int) {
	C.microtome_pool(pointer(x), pointer(y), C.int(h), C.int(w), C.int(w/2))
}
