package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Conv adds the convolution of x (N × in × h × w) with w (out × in × side × side), plus the bias b (out), with zeros around x,
// at most side - 1 of them; with relu, negative values become 0 and NaN stays NaN. The gradient of x is left out when x
// is an input of the graph.
func (o *Ops) Conv(x, w, b *gorgonia.Node, pad int, relu bool) (*gorgonia.Node, error) {
	xs, ws := x.Shape(), w.Shape()
	c := Convolution{Batch: xs[0], In: xs[1], H: xs[2], W: xs[3], Out: ws[0], Side: ws[2], Pad: pad, ReLU: relu}
	h, width := c.size()
	if ws[1] != c.In || ws[3] != c.Side || (c.Side != 1 && c.Side != 3) || b.Shape().TotalSize() != c.Out || h < 1 || width < 1 {
		return nil, fmt.Errorf("a convolution of %v with %v and %v: channels or sizes do not fit", xs, ws, b.Shape())
	}
	if pad < 0 || pad >= c.Side {
		return nil, fmt.Errorf("a convolution with %d pixels of padding: give 0 to %d", pad, c.Side-1)
	}
	shape := tensor.Shape{c.Batch, c.Out, h, width}
	return (&op{
		owner: o, room: o.backend().Room(o, c),
		name: "conv", shape: shape, wrt: []bool{!x.IsVar() || x.Op() != nil, true, true},
		do: func(out []float32, in [][]float32) { o.backend().Forward(o, c, in[0], in[1], in[2], out) },
		diff: func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			if relu {
				var err error
				if grad, err = o.reluGrad(out, grad); err != nil {
					return nil, err
				}
			}
			return o.convGrad(c, in, grad)
		},
	}).apply(x, w, b)
}

// reluGrad adds the gradient of what a ReLU made y of.
func (o *Ops) reluGrad(y, grad *gorgonia.Node) (*gorgonia.Node, error) {
	return (&op{name: "reluGrad", shape: y.Shape(), do: func(out []float32, in [][]float32) {
		parallel(o.Threads, len(out), func(first, last int) { reluGrad(in[0][first:last], in[1][first:last], out[first:last]) })
	}}).apply(y, grad)
}

// convGrad adds the gradients of a convolution's image, weights and bias.
func (o *Ops) convGrad(c Convolution, in gorgonia.Nodes, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	grads := make(gorgonia.Nodes, 3)
	var err error
	if in[0].Op() != nil {
		if grads[0], err = (&op{name: "convInput", shape: in[0].Shape(), do: func(out []float32, in [][]float32) {
			o.backend().Input(o, c, in[0], in[1], out)
		}}).apply(in[1], grad); err != nil {
			return nil, err
		}
	}
	if grads[1], err = (&op{name: "convWeights", shape: in[1].Shape(), do: func(out []float32, in [][]float32) {
		o.backend().Weights(o, c, in[0], in[1], out)
	}}).apply(in[0], grad); err != nil {
		return nil, err
	}
	grads[2], err = o.biasGrad(in[2], grad)
	return grads, err
}

// biasGrad adds the sum of grad over images and pixels.
func (o *Ops) biasGrad(b, grad *gorgonia.Node) (*gorgonia.Node, error) {
	s := grad.Shape()
	batch, channels, n := s[0], s[1], s[2]*s[3]
	return (&op{name: "biasGrad", shape: b.Shape(), do: func(out []float32, in [][]float32) {
		parallel(o.Threads, channels, func(first, last int) {
			for c := first; c < last; c++ {
				sum := 0.0
				for i := range batch {
					sum += total(in[0][(i*channels+c)*n:][:n])
				}
				out[c] = float32(sum)
			}
		})
	}}).apply(grad)
}

// total sums in eight lanes, which keeps both the rounding and the time down.
func total(x []float32) float64 {
	var sum [8]float64
	for ; len(x) >= 8; x = x[8:] {
		for i := range sum {
			sum[i] += float64(x[i])
		}
	}
	for i, v := range x {
		sum[i] += float64(v)
	}
	return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7]
}

// UpConv adds the paper's 2 × 2 up-convolution: x (N × in × h × w) to N × out × 2h × 2w, with w ((4 · out) × in × 1 × 1) and
// b (out). Row 4·k + 2·dy + dx of w makes the pixels of channel k at odd or even rows dy and columns dx.
func (o *Ops) UpConv(x, w, b *gorgonia.Node) (*gorgonia.Node, error) {
	xs, ws := x.Shape(), w.Shape()
	c := Convolution{Batch: xs[0], In: xs[1], H: xs[2], W: xs[3], Out: ws[0], Side: 1}
	if ws[1] != c.In || ws[2] != 1 || ws[3] != 1 || c.Out%4 != 0 || 4*b.Shape().TotalSize() != c.Out {
		return nil, fmt.Errorf("an up-convolution of %v with %v and %v: channels or sizes do not fit", xs, ws, b.Shape())
	}
	out := tensor.Shape{c.Batch, c.Out / 4, 2 * c.H, 2 * c.W}
	small, none := tensor.Shape{c.Batch, c.Out, c.H, c.W}, make([]float32, c.Out)
	room := o.backend().Room(o, c)
	room[2] = small.TotalSize()
	return (&op{
		owner: o, room: room,
		name: "upconv", shape: out, wrt: []bool{true, true, true},
		do: func(out []float32, in [][]float32) {
			quarters := o.room(2, len(out)) // of the output, each of a fourth of its pixels
			o.backend().Forward(o, c, in[0], in[1], none, quarters)
			o.interleave(c, quarters, out, in[2])
		},
		diff: func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			db, err := o.biasGrad(in[2], grad)
			if err != nil {
				return nil, err
			}
			parted, err := (&op{name: "deinterleave", shape: small, do: func(out []float32, in [][]float32) {
				o.deinterleave(c, in[0], out)
			}}).apply(grad)
			if err != nil {
				return nil, err
			}
			dx, err := (&op{name: "convInput", shape: in[0].Shape(), do: func(out []float32, in [][]float32) {
				o.backend().Input(o, c, in[0], in[1], out)
			}}).apply(in[1], parted)
			if err != nil {
				return nil, err
			}
			dw, err := (&op{name: "convWeights", shape: in[1].Shape(), do: func(out []float32, in [][]float32) {
				o.backend().Weights(o, c, in[0], in[1], out)
			}}).apply(in[0], parted)
			return gorgonia.Nodes{dx, dw, db}, err
		},
	}).apply(x, w, b)
}

// interleave makes one image of four of half the size, and adds the bias.
func (o *Ops) interleave(c Convolution, small, large, b []float32) {
	n, out := c.H*c.W, c.Out/4
	parallel(o.Threads, c.Batch*out, func(first, last int) {
		for i := first; i < last; i++ {
			bias := b[i%out]
			for y := range c.H {
				for dy := range 2 {
					even, odd := small[(4*i+2*dy)*n+y*c.W:][:c.W], small[(4*i+2*dy+1)*n+y*c.W:][:c.W]
					to := large[4*i*n+(2*y+dy)*2*c.W:][:2*c.W]
					for x, v := range even {
						to[2*x], to[2*x+1] = v+bias, odd[x]+bias
					}
				}
			}
		}
	})
}

// deinterleave is the way back.
func (o *Ops) deinterleave(c Convolution, large, small []float32) {
	n := c.H * c.W
	parallel(o.Threads, c.Batch*c.Out/4, func(first, last int) {
		for i := first; i < last; i++ {
			for y := range c.H {
				for dy := range 2 {
					even, odd := small[(4*i+2*dy)*n+y*c.W:][:c.W], small[(4*i+2*dy+1)*n+y*c.W:][:c.W]
					from := large[4*i*n+(2*y+dy)*2*c.W:][:2*c.W]
					for x := range even {
						even[x], odd[x] = from[2*x], from[2*x+1]
					}
				}
			}
		}
	})
}
