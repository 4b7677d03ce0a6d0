package network

import (
	"fmt"
	"runtime"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Step is the network with its loss and gradients, for one image of a fixed size at a time. It shares the values of
// its params with whoever made it.
type Step struct {
	graph   *graph
	target  *gorgonia.Node
	dropout *gorgonia.Node
	loss    gorgonia.Value
	logits  gorgonia.Value
	grads   []gorgonia.Value
}

// NewStep builds the graph for images of h × w pixels.
func NewStep(s Shape, params Params, h, w int, layers Layers) (*Step, error) {
	if s.Classes < 2 {
		return nil, fmt.Errorf("%d classes: training needs background and what it is told from", s.Classes)
	}
	g, err := newGraph(s, params, h, w)
	if err != nil {
		return nil, err
	}
	c, bh, bw := s.Bottom(h, w)
	step := &Step{graph: g, grads: make([]gorgonia.Value, len(params)), dropout: g.input("dropout", 1, c, bh, bw)}
	logits, err := Build(s, layers, g.image, step.dropout, g.param)
	if err != nil {
		return nil, err
	}
	step.target = g.input("target", logits.Shape()...)
	loss, err := layers.Loss(logits, step.target)
	if err != nil {
		return nil, fmt.Errorf("loss: %w", err)
	}
	grads, err := gorgonia.Grad(loss, g.params...)
	if err != nil {
		return nil, fmt.Errorf("gradients: %w", err)
	}
	gorgonia.Read(loss, &step.loss)
	gorgonia.Read(logits, &step.logits)
	for i, n := range grads {
		gorgonia.Read(n, &step.grads[i])
	}
	g.machine = gorgonia.NewTapeMachine(g.ExprGraph)
	return step, nil
}

// Run computes loss and gradients of an image (channels × h × w), with the loss's weight of each pixel at its class in target
// (classes × output height × output width), and the factors of the features at the bottom.
func (s *Step) Run(image, target, dropout []float32) (loss float64, err error) {
	if err := s.graph.run(feed{s.graph.image, image}, feed{s.target, target}, feed{s.dropout, dropout}); err != nil {
		return 0, err
	}
	switch v := s.loss.Data().(type) {
	case float32:
		return float64(v), nil
	case []float32:
		return float64(v[0]), nil
	}
	return 0, fmt.Errorf("the loss is a %T", s.loss.Data())
}

// Grad returns the gradient of a param, by its place in Params, until the next Run.
func (s *Step) Grad(i int) []float32 { return s.grads[i].Data().([]float32) }

// Logits returns the network's output for the last image, classes × height × width, until the next Run.
func (s *Step) Logits() []float32 { return s.logits.Data().([]float32) }

// Close frees the graph.
func (s *Step) Close() error { return s.graph.close() }

// A Forward is the network alone, for one image of a fixed size at a time.
type Forward struct {
	graph  *graph
	logits gorgonia.Value
}

// NewForward builds the graph for images of h × w pixels.
func NewForward(s Shape, params Params, h, w int, layers Layers) (*Forward, error) {
	g, err := newGraph(s, params, h, w)
	if err != nil {
		return nil, err
	}
	f := &Forward{graph: g}
	logits, err := Build(s, layers, g.image, nil, g.param)
	if err != nil {
		return nil, err
	}
	gorgonia.Read(logits, &f.logits)
	g.machine = gorgonia.NewTapeMachine(g.ExprGraph)
	return f, nil
}

// Run returns the logits of an image (channels × h × w), classes × height × width, until the next Run.
func (f *Forward) Run(image []float32) ([]float32, error) {
	if err := f.graph.run(feed{f.graph.image, image}); err != nil {
		return nil, err
	}
	return f.logits.Data().([]float32), nil
}

// Close frees the graph.
func (f *Forward) Close() error { return f.graph.close() }

// A graph is a Gorgonia graph with the nodes that both a step and a forward pass have.
type graph struct {
	*gorgonia.ExprGraph
	image   *gorgonia.Node
	params  gorgonia.Nodes
	named   map[string]*gorgonia.Node
	machine gorgonia.VM
}

func newGraph(s Shape, params Params, h, w int) (*graph, error) {
	for _, edge := range []int{h, w} {
		if _, ok := s.Output(edge); !ok {
			return nil, fmt.Errorf("the network does not take images of %d × %d: the nearest edge it takes is %d", w, h, s.nearest(edge))
		}
	}
	g := &graph{ExprGraph: gorgonia.NewGraph(), named: map[string]*gorgonia.Node{}}
	g.image = g.input("image", 1, s.Channels, h, w)
	for _, p := range params {
		t := tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(p.Value))
		n := gorgonia.NewTensor(g.ExprGraph, tensor.Float32, len(p.Shape), gorgonia.WithShape(p.Shape...), gorgonia.WithName(p.Name), gorgonia.WithValue(t))
		g.params = append(g.params, n)
		g.named[p.Name] = n
	}
	return g, nil
}

func (g *graph) param(name string) *gorgonia.Node { return g.named[name] }

func (g *graph) input(name string, shape ...int) *gorgonia.Node {
	return gorgonia.NewTensor(g.ExprGraph, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

// A feed is the value of an input.
type feed struct {
	node  *gorgonia.Node
	value []float32
}

func (g *graph) run(feeds ...feed) error {
	for _, f := range feeds {
		if want := f.node.Shape().TotalSize(); len(f.value) != want {
			return fmt.Errorf("%s holds %d values, the network wants %d", f.node.Name(), len(f.value), want)
		}
		if err := gorgonia.Let(f.node, tensor.New(tensor.WithShape(f.node.Shape().Clone()...), tensor.WithBacking(f.value))); err != nil {
			return fmt.Errorf("%s: %w", f.node.Name(), err)
		}
	}
	g.machine.Reset() // or RunAll does nothing, silently
	return g.machine.RunAll()
}

// nearest returns the nearest edge that the network takes, the larger of two.
func (s Shape) nearest(edge int) int {
	for d := 0; ; d++ {
		for _, e := range []int{edge + d, edge - d} {
			if _, ok := s.Output(e); ok {
				return e
			}
		}
	}
}

// close frees the graph. Gorgonia's finalizer would keep it: a cycle of objects of which one has a finalizer is never collected.
func (g *graph) close() error {
	err := g.machine.Close()
	runtime.SetFinalizer(g.machine, nil)
	return err
}
