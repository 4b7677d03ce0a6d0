package network

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
)

// A Shape is what a U-Net is, but for its weights.
type Shape struct {
	Depth    int  `json:"depth"`    // levels above the bottom; the paper has 4
	Base     int  `json:"base"`     // channels of the first level, doubled at each; the paper has 64
	Channels int  `json:"channels"` // of the image; the paper has 1
	Classes  int  `json:"classes"`  // of the output; training wants 2 or more
	Same     bool `json:"same"`     // convolutions padded with zeros; unpadded, as in the paper, otherwise
}

// Layers are the operations that a U-Net is made of. Images are N × channels × height × width.
type Layers interface {
	// Conv convolves x with w (out × in × side × side), adds b (out), and with relu cuts off what is negative. pad zeros surround x.
	Conv(x, w, b *gorgonia.Node, pad int, relu bool) (*gorgonia.Node, error)
	// Pool takes the largest of each 2 × 2 pixels.
	Pool(x *gorgonia.Node) (*gorgonia.Node, error)
	// UpConv doubles height and width; w is (4 · out) × in × 1 × 1, b out.
	UpConv(x, w, b *gorgonia.Node) (*gorgonia.Node, error)
	// CropConcat puts the channels of skip, cut to the middle that has x's size, before those of x.
	CropConcat(skip, x *gorgonia.Node) (*gorgonia.Node, error)
	// Loss is the sum over pixels of -target · log softmax(logits).
	Loss(logits, target *gorgonia.Node) (*gorgonia.Node, error)
}

// Build adds the network to the graph of x, the image, and returns the logits. dropout, where it is not nil, is a
// factor for each feature at the end of the contracting path: 0, or 1/(1-p) for those kept.
func Build(s Shape, layers Layers, x, dropout *gorgonia.Node, params func(name string) *gorgonia.Node) (*gorgonia.Node, error) {
	b := builder{layers: layers, params: params, same: s.Same}
	skips := make([]*gorgonia.Node, s.Depth)

	for level := range s.Depth { // the contracting path
		skips[level] = b.convolutions(fmt.Sprintf("down%d", level), x)
		x = b.pool(skips[level])
	}
	x = b.convolutions("bottom", x)
	x = b.drop(x, dropout)
	for level := s.Depth - 1; level >= 0; level-- { // the expanding path
		x = b.up(fmt.Sprintf("up%d", level), x)
		x = b.join(skips[level], x)
		x = b.convolutions(fmt.Sprintf("join%d", level), x)
	}
	return b.conv("head", x, 0, false), b.err
}

// A builder adds layers until one fails; the rest then do nothing.
type builder struct {
	layers Layers
	params func(name string) *gorgonia.Node
	same   bool
	err    error
}

// convolutions are the two 3 × 3 convolutions of a level, each with its ReLU.
func (b *builder) convolutions(name string, x *gorgonia.Node) *gorgonia.Node {
	pad := 0
	if b.same {
		pad = 1
	}
	return b.conv(name+".conv2", b.conv(name+".conv1", x, pad, true), pad, true)
}

func (b *builder) conv(name string, x *gorgonia.Node, pad int, relu bool) *gorgonia.Node {
	return b.add(name, func() (*gorgonia.Node, error) {
		return b.layers.Conv(x, b.params(name+".weight"), b.params(name+".bias"), pad, relu)
	})
}

func (b *builder) pool(x *gorgonia.Node) *gorgonia.Node {
	return b.add("pool", func() (*gorgonia.Node, error) { return b.layers.Pool(x) })
}

func (b *builder) up(name string, x *gorgonia.Node) *gorgonia.Node {
	return b.add(name, func() (*gorgonia.Node, error) {
		return b.layers.UpConv(x, b.params(name+".weight"), b.params(name+".bias"))
	})
}

func (b *builder) join(skip, x *gorgonia.Node) *gorgonia.Node {
	return b.add("join", func() (*gorgonia.Node, error) { return b.layers.CropConcat(skip, x) })
}

func (b *builder) drop(x, dropout *gorgonia.Node) *gorgonia.Node {
	if dropout == nil {
		return x
	}
	return b.add("dropout", func() (*gorgonia.Node, error) { return gorgonia.HadamardProd(x, dropout) })
}

func (b *builder) add(name string, layer func() (*gorgonia.Node, error)) *gorgonia.Node {
	if b.err != nil {
		return nil
	}
	out, err := layer()
	if err != nil {
		b.err = fmt.Errorf("%s: %w", name, err)
	}
	return out
}

// Validate reports what is wrong with s.
func (s Shape) Validate() error {
	var errs []error
	for _, c := range []struct {
		bad  bool
		text string
	}{
		{s.Depth < 1 || s.Depth > 8, fmt.Sprintf("depth %d: give 1 to 8", s.Depth)},
		{s.Base < 1 || s.Base > 256, fmt.Sprintf("base width %d: give 1 to 256", s.Base)},
		{s.Channels < 1, fmt.Sprintf("%d input channels: give 1 or more", s.Channels)},
		{s.Classes < 1 || s.Classes > 255, fmt.Sprintf("%d classes: give 1 to 255", s.Classes)},
	} {
		if c.bad {
			errs = append(errs, errors.New(c.text))
		}
	}
	return errors.Join(errs...)
}

// Output returns the edge of the output for an input of an edge, and whether the network takes that edge: it must
// divide evenly at each pooling and leave something at the end.
func (s Shape) Output(edge int) (int, bool) {
	shrink := 0
	if !s.Same {
		shrink = 4
	}
	for range s.Depth {
		edge -= shrink
		if edge <= 0 || edge%2 != 0 {
			return 0, false
		}
		edge /= 2
	}
	edge -= shrink
	for range s.Depth {
		edge = 2*edge - shrink
	}
	return edge, edge > 0
}

// Input returns the smallest edge whose output has at least the given one.
func (s Shape) Input(output int) int {
	for edge := output; ; edge++ {
		if out, ok := s.Output(edge); ok && out >= output {
			return edge
		}
	}
}

// Bottom returns the shape of the features at the end of the contracting path, channels × height × width.
func (s Shape) Bottom(h, w int) (channels, height, width int) {
	at := func(edge int) int {
		for range s.Depth {
			if !s.Same {
				edge -= 4
			}
			edge /= 2
		}
		if !s.Same {
			edge -= 4
		}
		return edge
	}
	return s.Base << s.Depth, at(h), at(w)
}
