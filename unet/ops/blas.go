package ops

import "gonum.org/v1/gonum/blas"

// BLAS convolves strips of rows as products of matrices: the image is unfolded so that each column holds what
// one output sees. sgemm is OpenBLAS's or gonum's, as the build tag openblas says.
type BLAS struct{}

// strip returns how many rows are unfolded at a time: enough for a product to pay, few enough to stay in cache.
func (c Convolution) strip() int {
	_, w := c.size()
	return max(1, min(2048, (1<<18)/(c.In*c.Side*c.Side))/w)
}

// unfold copies what the outputs of rows [r0, r1) see: column is (In · Side · Side) × ((r1-r0) · width).
func (c Convolution) unfold(x []float32, r0, r1 int, column []float32) {
	_, ow := c.size()
	n := (r1 - r0) * ow
	for i := range c.In * c.Side * c.Side {
		ch, ky, kx := i/(c.Side*c.Side), i/c.Side%c.Side, i%c.Side
		lo, hi := max(0, c.Pad-kx), min(ow, c.W+c.Pad-kx) // outputs whose tap lies inside
		for r := r0; r < r1; r++ {
			to := column[i*n+(r-r0)*ow:][:ow]
			y := r + ky - c.Pad
			if y < 0 || y >= c.H || lo >= hi {
				clear(to)
				continue
			}
			clear(to[:lo])
			copy(to[lo:hi], x[(ch*c.H+y)*c.W+lo+kx-c.Pad:])
			clear(to[hi:])
		}
	}
}

// Room is that of [Backend]: a strip for each thread.
func (BLAS) Room(o *Ops, c Convolution) [3]int {
	oh, ow := c.size()
	strips := (oh + c.strip() - 1) / c.strip()
	return [3]int{max(1, min(o.Threads, c.Batch*strips)) * c.In * c.Side * c.Side * c.strip() * ow}
}

// Forward is that of [Backend].
func (BLAS) Forward(o *Ops, c Convolution, x, w, b, y []float32) {
	oh, ow := c.size()
	seen, rows := c.In*c.Side*c.Side, c.strip()
	strips := (oh + rows - 1) / rows
	threads := max(1, min(o.Threads, c.Batch*strips))
	room := o.room(0, BLAS{}.Room(o, c)[0])
	parallel(threads, threads, func(first, last int) {
		for t := first; t < last; t++ {
			column := room[t*seen*rows*ow:][:seen*rows*ow]
			for s := c.Batch * strips * t / threads; s < c.Batch*strips*(t+1)/threads; s++ {
				i, r0 := s/strips, s%strips*rows
				r1 := min(r0+rows, oh)
				n := (r1 - r0) * ow
				c.unfold(x[i*c.In*c.H*c.W:][:c.In*c.H*c.W], r0, r1, column)
				out := y[i*c.Out*oh*ow:][:c.Out*oh*ow]
				for k := range c.Out {
					to := out[k*oh*ow+r0*ow:][:n]
					for j := range to {
						to[j] = b[k]
					}
				}
				sgemm(blas.NoTrans, blas.NoTrans, c.Out, n, seen, w, seen, column, n, 1, out[r0*ow:], oh*ow)
				if !c.ReLU {
					continue
				}
				for k := range c.Out {
					to := out[k*oh*ow+r0*ow:][:n]
					for j, v := range to {
						to[j] = max(v, 0)
					}
				}
			}
		}
	})
}

// Input is that of [Backend]: dy, padded so that the sizes fit, convolved with w turned around.
func (s BLAS) Input(o *Ops, c Convolution, w, dy, dx []float32) {
	h, width := c.size()
	taps := c.Side * c.Side
	turned := o.room(1, len(w)+c.In)
	zeros := turned[len(w):]
	clear(zeros)
	for k := range c.Out {
		for i := range c.In {
			for t := range taps {
				turned[(i*c.Out+k)*taps+t] = w[(k*c.In+i)*taps+taps-1-t]
			}
		}
	}
	back := Convolution{Batch: c.Batch, In: c.Out, H: h, W: width, Out: c.In, Side: c.Side, Pad: c.Side - 1 - c.Pad}
	s.Forward(o, back, dy, turned[:len(w)], zeros, dx)
}

// Weights is that of [Backend]. Threads share the input channels.
func (BLAS) Weights(o *Ops, c Convolution, x, dy, dw []float32) {
	oh, ow := c.size()
	taps := c.Side * c.Side
	part := c
	part.In = 1 // the columns of one input channel at a time, so that the sum does not depend on threads
	rows := min(oh, max(1, (1<<16)/ow))
	threads := max(1, min(o.Threads, c.In))
	stride := (taps*rows*ow + c.Out*taps + align - 1) / align * align // gonum's order of additions depends on where a row begins
	room := o.room(0, threads*stride)
	parallel(threads, threads, func(first, last int) {
		for t := first; t < last; t++ {
			column := room[t*stride:][:taps*rows*ow]
			sum := room[t*stride+taps*rows*ow:][:c.Out*taps]
			for ch := c.In * t / threads; ch < c.In*(t+1)/threads; ch++ {
				clear(sum)
				for i := range c.Batch {
					for r0 := 0; r0 < oh; r0 += rows {
						r1 := min(r0+rows, oh)
						n := (r1 - r0) * ow
						part.unfold(x[(i*c.In+ch)*c.H*c.W:][:c.H*c.W], r0, r1, column)
						sgemm(blas.NoTrans, blas.Trans, c.Out, taps, n, dy[i*c.Out*oh*ow+r0*ow:], oh*ow, column, n, 1, sum, taps)
					}
				}
				for k := range c.Out {
					copy(dw[(k*c.In+ch)*taps:][:taps], sum[k*taps:])
				}
			}
		}
	})
}
