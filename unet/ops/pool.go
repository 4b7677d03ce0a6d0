package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Pool adds the 2 × 2 max pooling of x, N × channels × h × w with even h and w. The gradient goes to the first of equal
// pixels, row by row. NaN counts as the largest.
func (o *Ops) Pool(x *gorgonia.Node) (*gorgonia.Node, error) {
	s := x.Shape()
	planes, h, w := s[0]*s[1], s[2], s[3]
	if h%2 != 0 || w%2 != 0 {
		return nil, fmt.Errorf("pooling of %v: height and width must be even", s)
	}
	small := tensor.Shape{s[0], s[1], h / 2, w / 2}
	return (&op{
		owner: o,
		name:  "pool", shape: small, wrt: []bool{true},
		do: func(out []float32, in [][]float32) {
			parallel(o.Threads, planes, func(first, last int) {
				for i := first; i < last; i++ {
					poolPlane(in[0][i*h*w:][:h*w], out[i*h*w/4:][:h*w/4], h, w)
				}
			})
		},
		diff: func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			d, err := (&op{name: "poolGrad", shape: in[0].Shape(), do: func(out []float32, in [][]float32) {
				parallel(o.Threads, planes, func(first, last int) {
					for i := first; i < last; i++ {
						poolGrad(in[0][i*h*w:][:h*w], in[1][i*h*w/4:][:h*w/4], in[2][i*h*w/4:][:h*w/4], out[i*h*w:][:h*w], h, w)
					}
				})
			}}).apply(in[0], out, grad)
			return gorgonia.Nodes{d}, err
		},
	}).apply(x)
}

// poolGrad gives the gradient dy of each pooled value of y to the pixel of x that it came from.
func poolGrad(x, y, dy, dx []float32, h, w int) {
	for r := range h / 2 {
		a, b := x[2*r*w:][:w], x[(2*r+1)*w:][:w]
		da, db := dx[2*r*w:][:w], dx[(2*r+1)*w:][:w]
		from, grad := y[r*(w/2):][:w/2], dy[r*(w/2):][:w/2]
		for i, m := range from {
			da[2*i], da[2*i+1], db[2*i], db[2*i+1] = 0, 0, 0, 0
			switch m {
			case a[2*i]:
				da[2*i] = grad[i]
			case a[2*i+1]:
				da[2*i+1] = grad[i]
			case b[2*i]:
				db[2*i] = grad[i]
			default:
				db[2*i+1] = grad[i]
			}
		}
	}
}
