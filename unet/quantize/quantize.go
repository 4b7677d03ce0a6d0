package quantize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"microtome/unet"
	"microtome/unet/onnx"
)

// Config says how a network is made to compute on bytes.
type Config struct {
	Range   string  // what of the values seen bytes cover: auto, minmax, or percentile
	Agree   float64 // share of pixels whose label stays; convolutions stay floats until it does
	Narrow  bool    // weights of 7 bits: processors without VNNI add up those of 8 wrongly
	Library string  // ONNX Runtime's; see [unet.Config]
	// Progress, when set, is told how many steps are done of how many, and what the next is.
	Progress func(done, all int, next string)
}

// NewDefaultConfig returns the configuration that is used unless told otherwise.
func NewDefaultConfig() Config { return Config{Range: "auto", Agree: 0.995} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if !slices.Contains(Ranges, c.Range) {
		errs = append(errs, fmt.Errorf("range %q: give one of %s", c.Range, strings.Join(Ranges, ", ")))
	}
	if !(c.Agree > 0 && c.Agree <= 1) {
		errs = append(errs, fmt.Errorf("an agreement of %g: give a share above 0, at most 1", c.Agree))
	}
	return errors.Join(errs...)
}

// Ranges are the values of Config.Range.
var Ranges = []string{"auto", "minmax", "percentile"}

// shares are the shares of values that bytes may cover, by what a range is called; 1 is all of them. Rare large values cost
// all others precision.
var shares = map[string][]float64{"auto": {1, 0.9999, 0.999}, "minmax": {1}, "percentile": {0.9999, 0.999}}

// A Report says what was made of a network.
type Report struct {
	Share  float64 // of the values seen that bytes cover
	Differ float64 // share of the pixels of the tiles kept for this whose label is another
	Layers []Layer // convolutions, in the order they run
}

// A Layer is what became of a convolution.
type Layer struct {
	Name string `json:"name"`
	// Differ is the share of pixels with another label when this one computes floats and all others bytes; the lower, the more
	// it hurts.
	Differ float64 `json:"differ"`
	Bytes  bool    `json:"bytes"`
	Why    string  `json:"why,omitempty"` // why not
}

// Bytes counts the convolutions on bytes.
func (r *Report) Bytes() int {
	n := 0
	for _, l := range r.Layers {
		if l.Bytes {
			n++
		}
	}
	return n
}

// LeastTiles is how few tiles are too few: a quarter is kept to see what changes.
const LeastTiles = 4

// Int8 returns a network in microtome's form with convolutions on bytes. Three quarters of the tiles show which values occur. On the rest
// ways are compared: what bytes cover, and which convolutions stay on floats.
func Int8(ctx context.Context, m *onnx.Model, tiles []Tile, c Config) (*onnx.Model, *Report, error) {
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	if err := check(m); err != nil {
		return nil, nil, err
	}
	if len(tiles) < LeastTiles {
		return nil, nil, fmt.Errorf("%d tiles to calibrate on: give at least %d", len(tiles), LeastTiles)
	}
	for _, t := range tiles {
		if e := t.edge(); e == 0 || len(t) != 3*e*e {
			return nil, nil, fmt.Errorf("a tile of %d bytes is no square of three bytes a pixel", len(t))
		}
	}
	plain, err := onnx.Decode(m.Encode()) // m stays as it is
	if err != nil {
		return nil, nil, err
	}
	prepare(plain)
	p := plan{Config: c, model: plain, kept: max(2, len(tiles)/4)}
	p.seen, p.tiles = tiles[:len(tiles)-p.kept], tiles[len(tiles)-p.kept:]
	made, err := p.run(ctx)
	if err != nil {
		return nil, nil, err
	}
	return made, p.report, nil
}

// check refuses what cannot be quantised.
func check(m *onnx.Model) error {
	convs := 0
	for _, n := range m.Graph.Nodes {
		switch {
		case strings.Contains(n.Op, "QuantizeLinear") || strings.HasPrefix(n.Op, "QLinear") || strings.HasSuffix(n.Op, "Integer"):
			return errors.New("the model is quantised already: give the one that it was made of")
		case n.Op == "Cast" && n.Int("to", 0) == onnx.Float16:
			return errors.New("the model computes on halves already: give the one that it was made of")
		case n.Op == "Conv":
			convs++
		}
	}
	if v := m.Opset(""); v < leastOpset {
		return fmt.Errorf("the model uses version %d of the ONNX operators: export it with opset %d or later", v, leastOpset)
	}
	if convs == 0 {
		return errors.New("the model has no convolutions: there is nothing to quantise")
	}
	return nil
}

// leastOpset is the first version of the ONNX operators in which weights have a step for each output.
const leastOpset = 13

// prepare rewrites what stands in the way of bytes, without changing what the network gives.
func prepare(m *onnx.Model) {
	m.Graph.Forget()
	foldNormalisations(m.Graph)
	splitUpConvolutions(m.Graph)
	cropEarlier(m.Graph)
}

// A plan compares ways to quantise a network.
type plan struct {
	Config
	model       *onnx.Model
	kept        int
	seen, tiles []Tile // to calibrate on, to compare on

	want      [][]byte // labels of the network on floats
	report    *Report
	done, all int
}

func (p *plan) next(what string) {
	if p.Progress != nil {
		p.Progress(p.done, p.all, what)
	}
	p.done++
}

// run finds the best way and returns the network.
func (p *plan) run(ctx context.Context) (*onnx.Model, error) {
	g := p.model.Graph
	p.report = &Report{}
	chosen := map[string]bool{}
	for _, n := range g.Nodes {
		if n.Op != "Conv" {
			continue
		}
		l := Layer{Name: layerName(n), Why: unfit(g, n)}
		l.Bytes = l.Why == ""
		chosen[n.Outputs[0]] = l.Bytes
		p.report.Layers = append(p.report.Layers, l)
	}
	if p.report.Bytes() == 0 {
		return nil, errors.New("no convolution of the model can compute on bytes: there is nothing to quantise")
	}
	tries := shares[p.Range]
	p.all = len(p.seen) + 1 + len(tries) + p.report.Bytes()

	samples, err := calibrate(ctx, p.model, p.Library, p.seen, p.next)
	if err != nil {
		return nil, err
	}
	p.next("labels of the model as it is")
	if p.want, err = p.labels(ctx, p.model); err != nil {
		return nil, err
	}
	var ranges map[string]Range
	p.report.Differ = 2
	for _, share := range tries {
		p.next(fmt.Sprintf("bytes that cover %g %% of the values", 100*share))
		r := map[string]Range{}
		for name, s := range samples {
			r[name] = s.within(share)
		}
		made, _ := p.quantised(r, chosen)
		differ, err := p.differ(ctx, made)
		if err != nil {
			return nil, err
		}
		if differ < p.report.Differ {
			ranges, p.report.Share, p.report.Differ = r, share, differ
		}
	}
	return p.spare(ctx, ranges, chosen)
}

// spare finds out how much each convolution on bytes hurts, and leaves those on floats that hurt most, until labels agree as
// asked for.
func (p *plan) spare(ctx context.Context, ranges map[string]Range, chosen map[string]bool) (*onnx.Model, error) {
	names := p.convolutions()
	var order []int
	for i := range p.report.Layers {
		l := &p.report.Layers[i]
		if !l.Bytes {
			continue
		}
		p.next("what " + l.Name + " changes")
		chosen[names[i]] = false
		made, _ := p.quantised(ranges, chosen)
		var err error
		if l.Differ, err = p.differ(ctx, made); err != nil {
			return nil, err
		}
		chosen[names[i]] = true
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.report.Layers[a].Differ, p.report.Layers[b].Differ) })
	for _, i := range order {
		if p.report.Differ <= 1-p.Agree {
			break
		}
		l := &p.report.Layers[i]
		chosen[names[i]], l.Bytes, l.Why = false, false, "hurts"
		made, _ := p.quantised(ranges, chosen)
		var err error
		if p.report.Differ, err = p.differ(ctx, made); err != nil {
			return nil, err
		}
	}
	made, onBytes := p.quantised(ranges, chosen)
	for i := range p.report.Layers {
		if l := &p.report.Layers[i]; l.Bytes && !onBytes[names[i]] {
			l.Bytes, l.Why = false, "what it takes cannot be had as bytes"
		}
	}
	return made, nil
}

// convolutions returns the outputs of the convolutions in order.
func (p *plan) convolutions() []string {
	var names []string
	for _, n := range p.model.Graph.Nodes {
		if n.Op == "Conv" {
			names = append(names, n.Outputs[0])
		}
	}
	return names
}

func (p *plan) quantised(ranges map[string]Range, chosen map[string]bool) (made *onnx.Model, onBytes map[string]bool) {
	limit := 127
	if p.Narrow {
		limit = 63
	}
	return toBytes(p.model, ranges, chosen, limit)
}

// labels runs a network on the tiles that are kept.
func (p *plan) labels(ctx context.Context, m *onnx.Model) (labels [][]byte, err error) {
	e, err := unet.OpenForm(m, unet.Config{Device: "cpu", Library: p.Library})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	for _, t := range p.tiles {
		l, err := t.label(ctx, e)
		if err != nil {
			return nil, err
		}
		labels = append(labels, l)
	}
	return labels, nil
}

// differ returns the share of pixels that a network gives another label.
func (p *plan) differ(ctx context.Context, m *onnx.Model) (float64, error) {
	labels, err := p.labels(ctx, m)
	if err != nil {
		return 0, err
	}
	differ, all := 0, 0
	for i, l := range labels {
		differ += different(l, p.want[i])
		all += len(l)
	}
	return float64(differ) / float64(all), nil
}

func different(a, b []byte) int {
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// layerName returns what a convolution is called: as its weights are.
func layerName(n *onnx.Node) string {
	return strings.TrimSuffix(strings.TrimSuffix(n.Input(1), ".split"), ".weight")
}

// unfit returns why a convolution cannot compute on bytes, "" if it can.
func unfit(g *onnx.Graph, n *onnx.Node) string {
	w := g.Weight(n.Input(1))
	switch {
	case w.Float32s() == nil || len(w.Dims) != 4 || w.Len() == 0:
		return "its weights are no constants of two dimensions"
	case n.Input(2) != "" && len(g.Weight(n.Input(2)).Float32s()) != int(w.Dims[0]):
		return "its biases are no constants"
	case n.Int("group", 1) < 1 || w.Dims[0]%n.Int("group", 1) != 0:
		return "its groups do not part its outputs"
	case !precedes(g, n):
		return "it gives the result"
	}
	return ""
}

// precedes reports whether another convolution follows, if not at once. Without one a convolution is left as it is: rounding what is
// compared with a threshold would save next to nothing.
func precedes(g *onnx.Graph, n *onnx.Node) bool {
	after := map[string]bool{n.Outputs[0]: true}
	for _, other := range g.Nodes { // in the order they run
		if !slices.ContainsFunc(other.Inputs, func(in string) bool { return after[in] }) {
			continue
		}
		if other.Op == "Conv" {
			return true
		}
		for _, out := range other.Outputs {
			after[out] = true
		}
	}
	return false
}
