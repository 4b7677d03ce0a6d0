package network

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Stock makes layers of Gorgonia's own operations.
type Stock struct{}

// Conv is that of [Layers].
func (Stock) Conv(x, w, b *gorgonia.Node, pad int, relu bool) (*gorgonia.Node, error) {
	side := w.Shape()[2]
	y, err := gorgonia.Conv2d(x, w, tensor.Shape{side, side}, []int{pad, pad}, []int{1, 1}, []int{1, 1})
	if err != nil {
		return nil, err
	}
	if y, err = addBias(y, b); err != nil || !relu {
		return y, err
	}
	return gorgonia.Rectify(y)
}

func addBias(x, b *gorgonia.Node) (*gorgonia.Node, error) {
	b, err := gorgonia.Reshape(b, tensor.Shape{1, b.Shape()[0], 1, 1})
	if err != nil {
		return nil, err
	}
	return gorgonia.BroadcastAdd(x, b, nil, []byte{0, 2, 3})
}

// Pool is that of [Layers].
func (Stock) Pool(x *gorgonia.Node) (*gorgonia.Node, error) {
	return gorgonia.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
}

// UpConv is that of [Layers]: a 1 × 1 convolution makes the four pixels, which then change places.
func (Stock) UpConv(x, w, b *gorgonia.Node) (*gorgonia.Node, error) {
	y, err := gorgonia.Conv2d(x, w, tensor.Shape{1, 1}, []int{0, 0}, []int{1, 1}, []int{1, 1})
	if err != nil {
		return nil, err
	}
	n, c, h, wide := y.Shape()[0], y.Shape()[1]/4, y.Shape()[2], y.Shape()[3]
	if y, err = gorgonia.Reshape(y, tensor.Shape{n * c * 2, 2, h, wide}); err != nil { // channel and dy, dx, y, x
		return nil, err
	}
	if y, err = gorgonia.Transpose(y, 0, 2, 3, 1); err != nil { // channel and dy, y, x, dx
		return nil, err
	}
	if y, err = gorgonia.Reshape(y, tensor.Shape{n * c, 2, h, 2 * wide}); err != nil { // channel, dy, y, x
		return nil, err
	}
	if y, err = gorgonia.Transpose(y, 0, 2, 1, 3); err != nil { // channel, y, dy, x
		return nil, err
	}
	if y, err = gorgonia.Reshape(y, tensor.Shape{n, c, 2 * h, 2 * wide}); err != nil {
		return nil, err
	}
	return addBias(y, b)
}

// CropConcat is that of [Layers].
func (Stock) CropConcat(skip, x *gorgonia.Node) (*gorgonia.Node, error) {
	ss, xs := skip.Shape(), x.Shape()
	top, left := (ss[2]-xs[2])/2, (ss[3]-xs[3])/2
	if top > 0 || left > 0 {
		var err error
		if skip, err = gorgonia.Slice(skip, nil, nil, gorgonia.S(top, top+xs[2]), gorgonia.S(left, left+xs[3])); err != nil {
			return nil, err
		}
	}
	return gorgonia.Concat(1, skip, x)
}

// Loss is that of [Layers].
func (Stock) Loss(logits, target *gorgonia.Node) (*gorgonia.Node, error) {
	p, err := gorgonia.LogSoftMax(logits, 1)
	if err != nil {
		return nil, err
	}
	if p, err = gorgonia.HadamardProd(p, target); err != nil {
		return nil, err
	}
	if p, err = gorgonia.Sum(p); err != nil {
		return nil, err
	}
	return gorgonia.Neg(p)
}
