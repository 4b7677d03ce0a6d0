package unet

import (
	"cmp"
	"fmt"
	"slices"

	"microtome/unet/cards"
	"microtome/unet/field"
	"microtome/unet/npy"
	"microtome/unet/onnx"
)

// A Measured is what a network shows of its field while it runs, beside what follows from its graph.
type Measured struct {
	field.Probed
	Geometry      // of the graph
	Exact    bool // tiles should give the same to the last bit
}

// Seamless reports whether tiles gave what they should.
func (m *Measured) Seamless() bool { return m.Differ == 0 || !m.Exact && m.Deviation <= Tolerance }

// String says what was measured, in a line.
func (m *Measured) String() string {
	return fmt.Sprintf("pixels %d left, %d above, %d right and %d below a core still change it (the graph: %d before, %d after); between shifted tiles %d of %d values differ",
		m.Left, m.Top, m.Right, m.Bottom, m.Before, m.After, m.Differ, m.Compared)
}

// MeasureField runs a model's network, as its file has it, on the CPU and measures how far it looks; see [field.Analysis.Probe]. The result is
// nil for a network that does not take floats, or whose field has no bound.
func MeasureField(name string, cfg Config) (_ *Measured, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("model %s: %w", name, err)
		}
	}()
	if err := startRuntime(cfg.Library); err != nil {
		return nil, err
	}
	m, err := load(name)
	if err != nil {
		return nil, err
	}
	f := &foreign{Model: m}
	var card cards.Card
	if standard(m) {
		if !skipBytes(m.Graph) {
			return nil, nil
		}
		cfg.Output = logitsName
	} else if card, _, err = cardOf(name, cfg); err != nil {
		return nil, err
	}
	if len(m.Graph.Inputs) != 1 || m.Graph.Inputs[0].Type != onnx.Float32 {
		return nil, nil
	}
	if err := f.findOutput(cmp.Or(cfg.Output, m.Get(keyOutput))); err != nil {
		return nil, err
	}
	if f.in, err = imageInput(m.Graph, card); err != nil {
		return nil, err
	}
	a, err := f.free()
	if err != nil || a.Unbounded != "" {
		return nil, err
	}
	session, err := openFloats(m, a.Out)
	if err != nil {
		return nil, err
	}
	defer session.close()
	core := 2 * a.Stride
	if a.Fixed > 0 {
		core = a.Fixed - a.Before - a.After
	}
	p, err := a.Probe(core, func(w, h int, in []float32) ([]float32, error) {
		shape, planes := []int{1, a.Channels, h, w}, in
		if a.Input == "NHWC" {
			shape, planes = []int{1, h, w, a.Channels}, rearranged(in, a.Channels, h*w)
		}
		out, err := session.run(npy.Array{Shape: shape, Values: planes})
		if err == nil && a.Output == "NHWC" {
			out.Values = rearranged(out.Values, len(out.Values)/a.OutChannels, a.OutChannels)
		}
		return out.Values, err
	}, 1)
	if err != nil {
		return nil, err
	}
	return &Measured{*p, Geometry{a.Stride, a.Before, a.After}, a.Rounding == ""}, nil
}

// skipBytes lets a graph in microtome's form begin behind the step from bytes to planes of floats, where that is what it begins with.
func skipBytes(g *onnx.Graph) bool {
	if len(g.Nodes) < 2 || g.Nodes[0].Op != "Transpose" || g.Nodes[0].Input(0) != inputName || g.Nodes[1].Op != "Cast" || g.Nodes[1].Input(0) != g.Nodes[0].Outputs[0] {
		return false
	}
	g.Inputs = []onnx.Value{onnx.NewValue(g.Nodes[1].Outputs[0], onnx.Float32, "n", 3, "h", "w")}
	g.Nodes = slices.Clone(g.Nodes[2:])
	return true
}
