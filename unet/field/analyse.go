package field

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"microtome/unet/onnx"
)

// A Layout is the order of a tensor's axes, a letter each: N images of a batch, C channels, H height, W width. NCHW, NHWC, CHW, NHW, HW.
type Layout string

// axis returns the axis of a letter, -1 if there is none.
func (l Layout) axis(letter byte) int { return strings.IndexByte(string(l), letter) }

// An Analysis is what follows from a graph alone.
type Analysis struct {
	In, Out               string // names of the input and the output
	Input, Output         Layout
	InType, OutType       int64 // of elements, as package onnx numbers them
	Channels, OutChannels int   // of the input and the output; 1 where there is no axis of channels
	Batch                 int   // images that the input insists on; 0: any number
	Fixed                 int   // edge that the input insists on, px; 0: any that fits
	// Stride, Before and After are unet.Geometry: of cores whose edges are multiples of Stride, Before pixels to the left and top and
	// After to the right and bottom are looked at. With Unbounded set, they are what the other operators look at.
	Stride, Before, After int
	// Origin is the pixel of the input, along both axes, that the output's pixel 0 labels.
	Origin int
	// Unbounded says why no margin is enough: which node looks at all of the image, and how. "" where a margin is enough.
	Unbounded string
	// Rounding says why stitched outputs may differ from those of one pass in their last bits, "" where they do not: an interpolation
	// by 3, whose weights depend on where in the tile a pixel lies.
	Rounding   string
	Parameters int64   // numbers in the weights that the output needs
	FLOP       float64 // floating-point operations a pixel of the input, two for a product that is added
}

// A graph is the part of a model that computes one output from an image.
type graph struct {
	input, output          onnx.Value
	layout                 Layout
	batch, channels, fixed int
	opset                  int64
	nodes                  []*onnx.Node
	weights                map[string]*onnx.Tensor
	known                  map[string]*value // weights that were read
	guess                  bool              // whether to go on where a node cannot be followed
}

// Opsets of ONNX' own operators that are known here.
const oldest, newest = 7, 25

// Limits of what is tried.
const (
	firstEdge   = 1 << 10 // of the image that is followed, px
	longestEdge = 1 << 16
	mostStride  = 1 << 10
)

// Analyse follows an image through a graph, from an input to an output. Names may be "": the only input, the first output. A model that
// microtome cannot cut into tiles at all gives an error, which names the node where one is at fault; a model whose every output pixel
// depends on every input pixel gives an Analysis with Unbounded set.
func Analyse(m *onnx.Model, input, output string) (*Analysis, error) {
	g, err := newGraph(m, input, output)
	if err != nil {
		return nil, err
	}
	best, edge, err := g.reference()
	if err != nil {
		return nil, err
	}
	a, err := g.describe(best)
	if err != nil {
		return nil, err
	}
	return a, g.fit(a, best, edge)
}

// newGraph picks the part of a model between an input and an output.
func newGraph(m *onnx.Model, input, output string) (*graph, error) {
	g := &graph{opset: m.Opset(""), weights: constants(m), known: map[string]*value{}}
	if g.opset < oldest || g.opset > newest {
		return nil, fmt.Errorf("the model uses version %d of the ONNX operators, and %d to %d are known: export it with opset 17", g.opset, oldest, newest)
	}
	at := slices.IndexFunc(m.Graph.Outputs, func(v onnx.Value) bool { return output == "" || v.Name == output })
	if at < 0 {
		return nil, fmt.Errorf("the model has no output %q, but %s", output, names(m.Graph.Outputs))
	}
	g.output = m.Graph.Outputs[at]
	needed := map[string]bool{g.output.Name: true}
	for _, n := range slices.Backward(m.Graph.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(name string) bool { return name != "" && needed[name] }) {
			g.nodes = append(g.nodes, n)
			for _, in := range n.Inputs {
				needed[in] = true
			}
		}
	}
	slices.Reverse(g.nodes)
	var inputs []onnx.Value
	for _, v := range m.Graph.Inputs {
		if needed[v.Name] || v.Name == input {
			inputs = append(inputs, v)
		}
	}
	if len(inputs) > 1 {
		return nil, fmt.Errorf("the model takes %d inputs, %s: microtome has one image for it", len(inputs), names(inputs))
	}
	if len(inputs) == 0 || input != "" && inputs[0].Name != input {
		return nil, fmt.Errorf("the output %q does not depend on an input %q: the model has the inputs %s", g.output.Name, input, names(m.Graph.Inputs))
	}
	g.input = inputs[0]
	return g, g.layOut()
}

// constants returns the weights of a model by name.
func constants(m *onnx.Model) map[string]*onnx.Tensor {
	all := map[string]*onnx.Tensor{}
	for _, t := range m.Graph.Weights {
		all[t.Name] = t
	}
	return all
}

func names(values []onnx.Value) string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf("%q", v.Name))
	}
	if len(all) > 8 {
		all = append(all[:8], "…")
	}
	return strings.Join(all, ", ")
}

// layOut finds out which axes of the input are which: channels are the axis that is fixed and short.
func (g *graph) layOut() error {
	d := g.input.Dims
	fits := func(l Layout) bool {
		c, h, w := l.axis('C'), l.axis('H'), l.axis('W')
		if len(d) != len(l) || c >= 0 && (d[c].N < 1 || d[c].N > 1<<12) {
			return false
		}
		return d[h].N < 0 || d[w].N < 0 || d[h].N == d[w].N || c < 0 || d[c].N <= 4
	}
	var rest []Layout
	switch {
	case !g.input.Ranked || g.input.Sequence:
		return fmt.Errorf("the model does not state the shape of its input %q: export it with one, such as N × 3 × H × W", g.input.Name)
	case len(d) == 5:
		return fmt.Errorf("the model takes volumes (its input %q has 5 dimensions): microtome segments 2-D images", g.input.Name)
	case len(d) == 4:
		rest = []Layout{"NCHW", "NHWC"}
		if d[3].N > 0 && d[3].N <= 4 && (d[1].N < 0 || d[1].N > d[3].N) {
			rest = []Layout{"NHWC", "NCHW"}
		}
	case len(d) == 3:
		rest = []Layout{"NHW"}
		if d[0].N > 1 && d[0].N <= 4 {
			rest = []Layout{"CHW"}
		} else if d[2].N > 0 && d[2].N <= 4 {
			rest = []Layout{"HWC"}
		}
	case len(d) == 2 && (d[0].N < 0 || d[0].N > 16) && (d[1].N < 0 || d[1].N > 16):
		rest = []Layout{"HW"}
	}
	for _, l := range rest {
		if fits(l) {
			g.layout = l
			break
		}
	}
	if g.layout == "" {
		if len(d) == 4 {
			return fmt.Errorf("the model leaves the channels of its input %q open: export it with a fixed number, 3 for RGB", g.input.Name)
		}
		return fmt.Errorf("the input %q of %d dimensions is no image: export the model for N × channels × height × width", g.input.Name, len(d))
	}
	g.batch, g.channels = 1, 1
	if n := g.layout.axis('N'); n >= 0 && d[n].N > 0 {
		g.batch = int(d[n].N)
	}
	if c := g.layout.axis('C'); c >= 0 {
		g.channels = int(d[c].N)
	}
	h, w := d[g.layout.axis('H')].N, d[g.layout.axis('W')].N
	switch {
	case h >= 0 && w >= 0 && h != w:
		return fmt.Errorf("the model takes images of %d × %d pixels, which are not square: export it with free height and width", w, h)
	case max(h, w) > longestEdge || min(h, w) == 0 || g.batch > 1<<10:
		return fmt.Errorf("the model takes %d images of %d pixels: the file is damaged", g.batch, max(h, w))
	case max(h, w) > 0:
		g.fixed = int(max(h, w))
	}
	return nil
}

// result returns the output of a pass, which must be an image of the input's resolution.
func (p *pass) result() (*value, error) {
	v := p.values[p.graph.output.Name]
	if v == nil || !v.image {
		return nil, refuse("the output %q does not depend on the image", p.graph.output.Name)
	}
	if !v.spatial() && v.unbounded != "" && len(v.dims) >= 2 { // laid out like the input, as far as can be seen
		c := &call{pass: p}
		for _, l := range []Layout{"NCHW", "NHWC", "NHW", "HW"} {
			if h, w := l.axis('H'), l.axis('W'); len(l) == len(v.dims) && v.dims[h] == p.height && v.dims[w] == p.height {
				v = c.regain(v, [2]int{h, w})
				break
			}
		}
	}
	if !v.spatial() || v.flat() {
		why := ""
		if v.unbounded != "" {
			why = ": " + v.unbounded
		}
		return nil, refuse("the output %q, of size %v, is no image but one answer for all of it (a classifier or detector): microtome wants a label for each pixel%s", p.graph.output.Name, v.dims, why)
	}
	if v.axis[0] > v.axis[1] {
		return nil, refuse("the output %q is turned, its columns are its rows: export the model without the transposition", p.graph.output.Name)
	}
	for k := range v.span {
		if s := v.span[k].scale; s != one {
			return nil, refuse("a pixel of the output %q covers %v pixels of the input: microtome wants a label for each pixel, so add an upsampling to the model", p.graph.output.Name, s)
		}
	}
	return v, nil
}

// reference follows an image of a size at which all branches meet on their places, so far as that can be had.
func (g *graph) reference() (best *pass, edge int, err error) {
	if g.fixed > 0 {
		p, err := g.run(g.fixed, g.fixed)
		return p, g.fixed, err
	}
	for start := firstEdge; start <= longestEdge; start *= 4 {
		best = nil
		tries := 256
		for n := start; n < start+tries; n++ {
			p, failed := g.run(n, n)
			if failed == nil {
				_, failed = p.result()
			}
			if failed != nil {
				if err == nil {
					err = fmt.Errorf("an image of %d × %d pixels: %w", n, n, failed)
				}
				if errors.As(failed, new(refusal)) && p.skewed == "" {
					return nil, 0, failed
				}
				continue
			}
			if best == nil || p.worse() < best.worse() {
				best, edge = p, n
			}
			if p.worse() == 0 {
				break
			}
			tries = min(tries, max(best.stride(), 1)+n-start)
		}
		if best == nil {
			return nil, 0, err
		}
		if v, _ := best.result(); v.span[0].hi-v.span[0].lo >= 2*best.stride() && v.span[1].hi-v.span[1].lo >= 2*best.stride() {
			return best, edge, nil
		}
	}
	return best, edge, nil
}

// worse says how far a pass is from one where all branches meet on their places.
func (p *pass) worse() float64 {
	apart := 0.0
	for _, d := range p.shifts {
		apart += math.Abs(float64(d.num)) / float64(max(d.den, 1))
	}
	if p.skewed != "" {
		apart += 1e9
	}
	return apart
}

// stride returns the least number of pixels by which an image can be moved so that every tensor moves by whole pixels.
func (p *pass) stride() int {
	s := int64(1)
	for _, r := range p.scales {
		if s = s / gcd(s, r.num) * r.num; s > mostStride || s <= 0 {
			return mostStride + 1
		}
	}
	return int(s)
}

// describe says what a pass has found, but for the margins.
func (g *graph) describe(p *pass) (*Analysis, error) {
	v, err := p.result()
	if err != nil {
		return nil, err
	}
	a := &Analysis{
		In: g.input.Name, Out: g.output.Name, Input: g.layout, InType: g.input.Type, OutType: v.kind, Channels: g.channels, OutChannels: 1,
		Fixed: g.fixed, Stride: p.stride(), Unbounded: v.unbounded, Rounding: p.rounding,
	}
	if n := g.layout.axis('N'); n >= 0 && g.input.Dims[n].N > 0 {
		a.Batch = g.batch
	}
	if a.Stride > mostStride {
		return nil, fmt.Errorf("the model's grids meet only every %d pixels or more: export it with scales that are powers of two", a.Stride)
	}
	layout := make([]byte, len(v.dims))
	for i, d := range v.dims {
		switch {
		case i == v.axis[0]:
			layout[i] = 'H'
		case i == v.axis[1]:
			layout[i] = 'W'
		case i == 0 && v.batch == 0:
			layout[i] = 'N'
		case strings.IndexByte(string(layout), 'C') < 0:
			layout[i], a.OutChannels = 'C', d
		default:
			return nil, fmt.Errorf("the output %q has %d axes, %v: microtome wants N × classes × height × width", g.output.Name, len(v.dims), v.dims)
		}
	}
	a.Output = Layout(layout)
	counted := map[string]bool{}
	for _, n := range g.nodes {
		for _, name := range n.Inputs {
			if t := g.weights[name]; t != nil && !counted[name] && t.Type != onnx.Int64 && t.Type != onnx.Int32 {
				counted[name] = true
				a.Parameters += int64(max(t.Len(), 0))
			}
		}
		if t := n.Attribute("value"); n.Op == "Constant" && t != nil && t.Tensor != nil && !wholeNumbers(t.Tensor.Type) {
			a.Parameters += int64(max(t.Tensor.Len(), 0))
		}
	}
	a.FLOP = p.flop / float64(g.batch) / float64(p.height) / float64(p.height)
	return a, nil
}

// origin returns the pixel of an image of n that an output row begins at. Of outputs as large as the input it is the first: whatever
// padding the layers have, the network was trained so.
func (s span) origin(n int) (int, error) {
	switch {
	case s.n == n:
		return 0, nil
	case s.start.den == 1:
		return int(s.start.num), nil
	case (n-s.n)%2 == 0:
		return (n - s.n) / 2, nil
	}
	return 0, fmt.Errorf("the output begins between two pixels of the input, at %v: pad or crop the model's layers evenly", s.start)
}

// fit finds the margins. Sizes of one class modulo the stride are cut alike, so it looks for the smallest After whose class gives
// what the reference gives, with clean pixels to the end of the core.
func (g *graph) fit(a *Analysis, reference *pass, edge int) error {
	v, err := reference.result()
	if err != nil {
		return err
	}
	tail := 0
	for k, s := range v.span {
		origin, err := s.origin(edge)
		if err != nil {
			return err
		}
		if k > 0 && origin != a.Origin {
			return fmt.Errorf("the output begins at row %d and column %d of the input: microtome wants it to begin equally far from both edges", a.Origin, origin)
		}
		a.Origin = origin
		a.Before = max(a.Before, origin+ceilDiv(s.lo, a.Stride)*a.Stride)
		tail = max(tail, edge-origin-s.hi)
	}
	if a.Before < 0 {
		return fmt.Errorf("the output begins %d pixels before the input: crop it to the input", -a.Origin)
	}
	if g.fixed > 0 {
		core := (edge - tail - a.Before) / a.Stride * a.Stride
		if core < a.Stride {
			return g.tooSmall(a, tail)
		}
		a.After = edge - a.Before - core
		return nil
	}
	for after := max(0, tail-a.Stride+1); after <= tail+2*a.Stride; after++ {
		a.After = after
		if g.holds(a, reference) {
			return nil
		}
	}
	if a.Unbounded != "" {
		return nil
	}
	for _, s := range v.span {
		if s.hi-s.lo < a.Stride {
			a.Unbounded = "the margin that padding needs grows with the size of the image"
			return nil
		}
	}
	return fmt.Errorf("no size of tile suits the model at every multiple of %d pixels", a.Stride)
}

// tooSmall is for inputs of a fixed size that margins use up.
func (g *graph) tooSmall(a *Analysis, after int) error {
	if a.Unbounded != "" {
		a.Before, a.After = a.Origin, 0
		a.After = (g.fixed - a.Origin) % a.Stride
		return nil
	}
	return fmt.Errorf("the model takes only images of %d pixels, and looks %d and %d pixels around a tile: no tile is left, so export it with free height and width", g.fixed, a.Before, after)
}

// holds reports whether tiles of several sizes with the margins of a are followed as the reference is, and clean in their cores.
func (g *graph) holds(a *Analysis, reference *pass) bool {
	like, err := reference.result()
	if err != nil {
		return false
	}
	for _, cores := range []int{64, 1, 2, 3, 5, 8, 13} {
		core := cores * a.Stride
		n := a.Before + core + a.After
		p, err := g.run(n, n)
		if err != nil || !slices.Equal(p.scales, reference.scales) || !slices.Equal(p.shifts, reference.shifts) {
			return false
		}
		v, err := p.result()
		if err != nil {
			return false
		}
		for k, s := range v.span {
			origin, err := s.origin(n)
			if err != nil || origin != a.Origin || s.start != like.span[k].start || s.lo > a.Before-origin || s.hi < a.Before-origin+core {
				return false
			}
		}
	}
	return true
}
