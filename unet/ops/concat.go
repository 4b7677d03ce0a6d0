package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// CropConcat adds the channels of skip, cut to the middle that has the size of x, before those of x.
func (o *Ops) CropConcat(skip, x *gorgonia.Node) (*gorgonia.Node, error) {
	ss, xs := skip.Shape(), x.Shape()
	batch, h, w := xs[0], xs[2], xs[3]
	top, left := (ss[2]-h)/2, (ss[3]-w)/2
	if ss[0] != batch || top < 0 || left < 0 || (ss[2]-h)%2 != 0 || (ss[3]-w)%2 != 0 {
		return nil, fmt.Errorf("features of %v cannot be cut to the middle %v", ss, xs)
	}
	channels := ss[1] + xs[1]
	skipped, upsampled := ss[1]*h*w, xs[1]*h*w // values of an image
	// each calls move for each row of the skipped features that stays: at in the whole, at to in the concatenation.
	each := func(move func(at, to int)) {
		parallel(o.Threads, batch*ss[1], func(first, last int) {
			for i := first; i < last; i++ {
				for y := range h {
					move((i*ss[2]+top+y)*ss[3]+left, i/ss[1]*(skipped+upsampled)+(i%ss[1]*h+y)*w)
				}
			}
		})
	}
	return (&op{
		owner: o,
		name:  "concat", shape: tensor.Shape{batch, channels, h, w}, wrt: []bool{true, true},
		do: func(out []float32, in [][]float32) {
			each(func(at, to int) { copy(out[to:][:w], in[0][at:][:w]) })
			for i := range batch {
				copy(out[i*(skipped+upsampled)+skipped:][:upsampled], in[1][i*upsampled:])
			}
		},
		diff: func(_ gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
			dskip, err := (&op{name: "concatSkip", shape: ss, do: func(out []float32, in [][]float32) {
				if top > 0 || left > 0 {
					clear(out)
				}
				each(func(at, to int) { copy(out[at:][:w], in[0][to:][:w]) })
			}}).apply(grad)
			if err != nil {
				return nil, err
			}
			dx, err := (&op{name: "concatUp", shape: xs, do: func(out []float32, in [][]float32) {
				for i := range batch {
					copy(out[i*upsampled:][:upsampled], in[0][i*(skipped+upsampled)+skipped:])
				}
			}}).apply(grad)
			return gorgonia.Nodes{dskip, dx}, err
		},
	}).apply(skip, x)
}
