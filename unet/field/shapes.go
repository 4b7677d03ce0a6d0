package field

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"microtome/unet/onnx"
)

// A value is what is known of a tensor in a pass over an image of one size.
type value struct {
	kind int64
	dims []int
	// data holds the elements, or one that all of them equal; nil where they are not known. Graphs compute sizes
	// from sizes, and these are followed; weights and pixels are not.
	data []float64

	image bool // depends on the image
	batch int  // the axis of the images of a batch, -1: gone
	// axis holds the axes of height and width. They are one where rows were joined to one axis of pixels, and -1 where they are
	// mixed into others.
	axis [2]int
	span [2]span // along height and width
	// unbounded says why every pixel depends on all of the image; "" where it does not. folded says that nothing but the order of
	// pixels stands in the way, so that a better reason may replace it.
	unbounded string
	folded    bool
}

// A span is a row of a tensor's pixels along height or width. Pixel i lies at start + i·scale in the image, whose pixels lie at 0, 1, 2…
type span struct {
	n            int // pixels
	lo, hi       int // those from lo to before hi are clean
	scale, start ratio
}

// Limits of what is followed: a damaged or hostile file must not take memory or time.
const (
	mostElements = 1 << 12 // of tensors whose elements are followed
	mostRank     = 8
	mostSize     = 1 << 48 // elements of any tensor
)

// constant returns the value of a weight, which every pass shares.
func (g *graph) constant(name string) (*value, error) {
	if v := g.known[name]; v != nil {
		return v, nil
	}
	t, ok := g.weights[name]
	if !ok {
		return nil, fmt.Errorf("its input %q comes from nowhere: the file is damaged", name)
	}
	v, err := constant(t)
	if err == nil {
		g.known[name] = v
	}
	return v, err
}

// constant returns the value of a tensor from the file.
func constant(t *onnx.Tensor) (*value, error) {
	v := &value{kind: t.Type, dims: make([]int, 0, len(t.Dims)), batch: -1, axis: [2]int{-1, -1}}
	for _, d := range t.Dims {
		v.dims = append(v.dims, int(d))
	}
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("constant %q: %w", t.Name, err)
	}
	v.data = elements(t)
	return v, nil
}

// numbers returns a known value of whole numbers.
func numbers(dims []int, data ...float64) *value {
	return &value{kind: onnx.Int64, dims: dims, data: data, batch: -1, axis: [2]int{-1, -1}}
}

// check reports dimensions that no tensor has.
func (v *value) check() error {
	if len(v.dims) > mostRank {
		return fmt.Errorf("a tensor of %d dimensions", len(v.dims))
	}
	n := 1
	for _, d := range v.dims {
		if d < 0 || d > 0 && n > mostSize/d {
			return fmt.Errorf("a tensor of size %v", v.dims)
		}
		n *= d
	}
	if v.axis[0] >= len(v.dims) || v.axis[1] >= len(v.dims) || v.batch >= len(v.dims) {
		return errors.New("the image's axes are lost")
	}
	if v.spatial() && !v.flat() && (v.span[0].n != v.dims[v.axis[0]] || v.span[1].n != v.dims[v.axis[1]]) {
		return errors.New("an image is joined to a single row or pixel of another")
	}
	return nil
}

// size returns how many elements v has.
func (v *value) size() int {
	n := 1
	for _, d := range v.dims {
		n *= d
	}
	return n
}

// spatial reports whether height and width are axes of v.
func (v *value) spatial() bool { return v.image && v.axis[0] >= 0 }

// flat reports whether they are one axis, row after row.
func (v *value) flat() bool { return v.spatial() && v.axis[0] == v.axis[1] }

// along returns 0 or 1 for an axis that is height or width, -1 for any other and for joined ones.
func (v *value) along(axis int) int {
	if v.flat() {
		return -1
	}
	return slices.Index(v.axis[:], axis)
}

// holds reports whether an axis is height or width or both.
func (v *value) holds(axis int) bool { return v.image && slices.Contains(v.axis[:], axis) }

// with returns v with other dimensions and elements that are not known.
func (v *value) with(dims []int) *value {
	w := *v
	w.dims, w.data = dims, nil
	return &w
}

// resized returns dims with another length along an axis.
func resized(dims []int, axis, n int) []int {
	dims = slices.Clone(dims)
	dims[axis] = n
	return dims
}

// rearranged returns v with other dimensions; where says which axis an old one has become, -1 where it is gone.
func (v *value) rearranged(dims []int, where func(axis int) int) *value {
	w := v.with(dims)
	if w.batch >= 0 {
		w.batch = where(w.batch)
	}
	for k, a := range w.axis {
		if a >= 0 {
			w.axis[k] = where(a)
		}
	}
	return w
}

// whole returns element i as a whole number.
func (v *value) whole(i int) int {
	f := v.data[0]
	if len(v.data) > 1 {
		f = v.data[i]
	}
	return int(max(math.MinInt32, min(math.MaxInt32, f))) // Slice goes to the end with 2⁶³-1
}

// wholes returns the elements as whole numbers, nil if they are not known.
func (v *value) wholes() []int {
	if v == nil || v.data == nil || v.size() > mostElements {
		return nil
	}
	out := make([]int, v.size())
	for i := range out {
		out[i] = v.whole(i)
	}
	return out
}

// A refusal is an error that another size of the image does not cure.
type refusal struct{ error }

func refuse(format string, a ...any) error { return refusal{fmt.Errorf(format, a...)} }

// A pass follows an image of one size through the graph.
type pass struct {
	graph  *graph
	values map[string]*value
	flop   float64
	// scales holds those of every tensor, shifts how far from each other lie what the graph joins, in the order of the graph: two sizes of
	// an image are cut alike if theirs are equal.
	scales, shifts []ratio
	// skewed says where images on different grids are joined, so that their shift changes from pixel to pixel; "" nowhere.
	skewed string
	// rounding says where an interpolation's weights depend on the pixel's place in their last bits; "" nowhere.
	rounding string
	height   int // of the image, px: for what lost its axes and gets them back
}

// run follows an image of h × w pixels to the outputs.
func (g *graph) run(h, w int) (*pass, error) {
	p := &pass{graph: g, values: map[string]*value{}, height: h}
	in := &value{kind: g.input.Type, image: true, batch: g.layout.axis('N'), axis: [2]int{g.layout.axis('H'), g.layout.axis('W')}}
	for _, letter := range g.layout {
		in.dims = append(in.dims, map[rune]int{'N': g.batch, 'C': g.channels, 'H': h, 'W': w}[letter])
	}
	in.span = [2]span{{h, 0, h, one, ratio{0, 1}}, {w, 0, w, one, ratio{0, 1}}}
	if err := in.check(); err != nil {
		return nil, err
	}
	p.values[g.input.Name] = in
	for _, n := range g.nodes {
		if err := p.step(n); err != nil {
			if p.graph.guess {
				p.guess(n)
				continue
			}
			err = fmt.Errorf("%s: %w", label(n), err)
			if errors.As(err, new(refusal)) {
				err = refusal{err}
			}
			return p, err
		}
	}
	return p, nil
}

// A Shape is what a tensor is for an image of one size.
type Shape struct {
	Type int64 // of elements, as package onnx numbers them
	Dims []int
}

// Shapes returns the shape of every tensor that the graph computes from an image of h × w pixels, by name. A node that cannot be followed
// counts as giving what it takes; Shapes is for estimates. Of a model without an image it returns nothing.
func Shapes(m *onnx.Model, h, w int) map[string]Shape {
	if len(m.Graph.Inputs) == 0 {
		return nil
	}
	g := &graph{opset: m.Opset(""), input: m.Graph.Inputs[0], nodes: m.Graph.Nodes, weights: constants(m), known: map[string]*value{}, guess: true}
	if g.layOut() != nil {
		return nil
	}
	p, err := g.run(h, w)
	if err != nil {
		return nil
	}
	all := map[string]Shape{}
	for name, v := range p.values {
		if _, constant := g.weights[name]; !constant {
			all[name] = Shape{v.kind, v.dims}
		}
	}
	return all
}

// guess lets a node that cannot be followed give what it takes.
func (p *pass) guess(n *onnx.Node) {
	for _, out := range n.Outputs {
		p.values[out] = numbers([]int{})
		for _, in := range n.Inputs {
			if v := p.values[in]; v != nil && v.size() > p.values[out].size() {
				p.values[out] = v
			}
		}
	}
}

// label names a node: by its name, else by what it gives.
func label(n *onnx.Node) string {
	name := n.Name
	if name == "" && len(n.Outputs) > 0 {
		name = n.Outputs[0]
	}
	return fmt.Sprintf("node %q (%s)", name, n.Op)
}

// step computes what one node gives.
func (p *pass) step(n *onnx.Node) error {
	if n.Domain != "" {
		return refuse("the operator is of %s, not of ONNX' own: export the model with standard operators only", n.Domain)
	}
	op, ok := lookup(n.Op)
	if !ok {
		if slices.Contains([]string{"If", "Loop", "Scan", "SequenceMap"}, n.Op) {
			return refuse("what the graph computes depends on what it sees (control flow): export the model by tracing, without branches and loops")
		}
		return refuse("the operator is not one that microtome can follow an image through: export the model without it")
	}
	c := &call{pass: p, node: n}
	for i, name := range n.Inputs {
		v := p.values[name]
		if v == nil && name != "" {
			var err error
			if v, err = p.graph.constant(name); err != nil {
				return refusal{err}
			}
			p.values[name] = v
		}
		if v == nil && i < op.least {
			return refuse("its input %d is missing: the file is damaged", i+1)
		}
		c.in = append(c.in, v)
	}
	if len(c.in) < op.least {
		return refuse("it has %d inputs and needs %d: the file is damaged", len(c.in), op.least)
	}
	out, err := op.rule(c)
	if err != nil {
		return err
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		if i >= len(out) || out[i] == nil {
			return refuse("its output %q is not one that microtome can follow", name)
		}
		v := out[i]
		if err := v.check(); err != nil {
			return err
		}
		if v.spatial() {
			for _, s := range v.span {
				if s.scale.den == 0 || s.start.den == 0 {
					return refuse("the image cannot be followed: sizes are in no simple ratio")
				}
				p.scales = append(p.scales, s.scale)
			}
		}
		p.values[name] = v
	}
	return nil
}

// A call is one node with what goes into it.
type call struct {
	*pass
	node *onnx.Node
	in   []*value
}

// input returns an input, nil where it is left out.
func (c *call) input(i int) *value {
	if i >= len(c.in) {
		return nil
	}
	return c.in[i]
}

// rank returns the number of dimensions of the first input.
func (c *call) rank() int { return len(c.in[0].dims) }

// axis returns the attribute of that name, an axis of a tensor of a rank.
func (c *call) axis(fallback int64, rank int) (int, error) {
	return axisOf(int(max(math.MinInt32, min(math.MaxInt32, c.node.Int("axis", fallback)))), rank)
}

// axisOf returns an axis, counted from the end where it is negative.
func axisOf(a, rank int) (int, error) {
	if a < 0 {
		a += rank
	}
	if a < 0 || a >= rank {
		return 0, refuse("it has no axis %d: the file is damaged", a)
	}
	return a, nil
}

// list returns whole numbers that are an attribute in old files, an input in others; given says whether there are any.
func (c *call) list(name string, input int) (list []int, given bool, err error) {
	if v := c.input(input); v != nil {
		if list = v.wholes(); list == nil {
			return nil, true, refuse("its %s depend on what the image shows, or are too many to follow", name)
		}
		return list, true, nil
	}
	a := c.node.Attribute(name)
	if a == nil || a.Kind != onnx.Ints || len(a.Ints) > mostElements {
		return nil, false, nil
	}
	for _, i := range a.Ints {
		list = append(list, int(max(math.MinInt32, min(math.MaxInt32, i))))
	}
	return list, true, nil
}

// axes returns a list of axes; all of them where none is given.
func (c *call) axes(input int) (axes []int, given bool, err error) {
	list, given, err := c.list("axes", input)
	if err != nil {
		return nil, false, err
	}
	for _, a := range list {
		if a, err = axisOf(a, c.rank()); err != nil {
			return nil, false, err
		}
		axes = append(axes, a)
	}
	return axes, given && len(axes) > 0, nil
}

// spread returns v as something that depends on all of the image, and says why.
func (c *call) spread(v *value, why string) *value {
	w := *v
	if !w.image {
		return &w
	}
	w.data = nil
	if w.unbounded == "" || w.folded {
		w.unbounded, w.folded = label(c.node)+" "+why, false
	}
	return &w
}

// lose returns v without axes of height and width.
func lose(v *value) *value {
	w := *v
	w.axis = [2]int{-1, -1}
	return &w
}

// regain gives a value that depends on all of the image its axes back, where an operator says which they are. If they are as long as before they
// were lost, nothing has moved.
func (c *call) regain(v *value, axes [2]int) *value {
	if !v.image || v.spatial() || max(axes[0], axes[1]) >= len(v.dims) || min(axes[0], axes[1]) < 0 || v.dims[axes[0]] <= 1 || v.dims[axes[1]] <= 1 {
		return v
	}
	w := *v
	w.axis = axes
	for k, a := range axes {
		if n := w.dims[a]; w.span[k].n != n {
			scale := fraction(int64(c.height), int64(n))
			w.span[k] = span{n, 0, n, scale, scale.minus(one).times(ratio{1, 2})}
		}
	}
	return &w
}

// join returns what an operator gives that takes a pixel of each input for a pixel of its output: with dims, to which inputs are
// broadcast. Pixels are clean where those of all inputs are.
func (c *call) join(dims []int, in ...*value) (*value, error) {
	out := &value{kind: in[0].kind, dims: dims, batch: -1, axis: [2]int{-1, -1}}
	if first := slices.IndexFunc(in, func(v *value) bool { return v != nil && v.spatial() }); first >= 0 {
		shift := len(dims) - len(in[first].dims)
		out.axis, out.span = [2]int{in[first].axis[0] + shift, in[first].axis[1] + shift}, in[first].span
	}
	for _, v := range in {
		if v == nil {
			continue
		}
		shift := len(dims) - len(v.dims)
		axes := [2]int{out.axis[0] - shift, out.axis[1] - shift}
		if !v.image {
			for _, a := range axes {
				if out.spatial() && a >= 0 && v.dims[a] > 1 && !uniform(v.data) {
					out = c.spread(out, "takes a constant that differs from pixel to pixel")
				}
			}
			continue
		}
		out.image = true
		out.taint(v)
		if v.batch >= 0 {
			out.batch = v.batch + shift
		}
		if out.axis[0] < 0 {
			out.span = v.span
			continue
		}
		if out.axis[0] != out.axis[1] {
			v = c.regain(v, axes)
		}
		if !v.spatial() {
			continue
		}
		if v.axis != axes {
			return nil, refuse("it joins an image to another that is turned")
		}
		for k := range out.span {
			a, b := &out.span[k], v.span[k]
			if a.n != b.n {
				return nil, fmt.Errorf("it joins images of %d and %d pixels", a.n, b.n)
			}
			if a.scale != b.scale {
				c.skewed = fmt.Sprintf("%s joins images on different grids, of %v and %v pixels of the input", label(c.node), a.scale, b.scale)
				out.taint(&value{unbounded: c.skewed})
			}
			c.shifts = append(c.shifts, a.start.minus(b.start))
			a.lo, a.hi = max(a.lo, b.lo), min(a.hi, b.hi)
			a.hi = max(a.lo, a.hi)
		}
	}
	return out, nil
}

// taint makes v unbounded where another value, which it depends on, is.
func (v *value) taint(by *value) {
	if by.unbounded != "" && (v.unbounded == "" || v.folded) {
		v.unbounded, v.folded = by.unbounded, by.folded
	}
}

// broadcast returns the dimensions of tensors that are combined element by element.
func broadcast(in ...*value) ([]int, error) {
	var dims []int
	for _, v := range in {
		if v == nil {
			continue
		}
		if len(v.dims) > len(dims) {
			dims = append(slices.Repeat([]int{1}, len(v.dims)-len(dims)), dims...)
		}
		shift := len(dims) - len(v.dims)
		for i, d := range v.dims {
			switch {
			case dims[shift+i] == d || d == 1:
			case dims[shift+i] == 1:
				dims[shift+i] = d
			default:
				return nil, fmt.Errorf("sizes %d and %d do not fit together", dims[shift+i], d)
			}
		}
	}
	return dims, nil
}
