package unet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/unet/onnx"
)

// A Probe runs a model in microtome's form on a CPU and gives values of float32 from within it.
type Probe struct {
	values  []string
	session *ort.DynamicAdvancedSession
}

// OpenProbe opens a model for some of its values. The library is as in [Config].
func OpenProbe(m *onnx.Model, library string, values ...string) (*Probe, error) {
	if err := startRuntime(library); err != nil {
		return nil, err
	}
	g := *m.Graph
	g.Outputs = nil
	for _, name := range values {
		g.Outputs = append(g.Outputs, onnx.Value{Name: name, Type: onnx.Float32})
	}
	g.Nodes, g.Weights = slices.Clone(g.Nodes), slices.Clone(g.Weights)
	g.Keep(values...)
	copied := *m
	copied.Graph = &g
	_, blocked := footprint(&copied, usualEdge)
	s, err := device{kind: cpuName}.sessionOf(copied.Encode(), []string{g.Inputs[0].Name}, values, blocked)
	if err != nil {
		return nil, err
	}
	return &Probe{values, s}, nil
}

// Run runs the model on an image of h × w pixels of three bytes, and calls visit with the values, by the order they were asked for. They
// are gone afterwards.
func (p *Probe) Run(ctx context.Context, w, h int, in []byte, visit func(i int, values []float32)) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if w < 1 || h < 1 || len(in) == 0 || len(in)%(w*h) != 0 {
		return fmt.Errorf("%d bytes hold no image of %d × %d pixels", len(in), w, h)
	}
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&in[0])
	input, err := ort.NewTensor(ort.NewShape(1, int64(h), int64(w), int64(len(in)/(w*h))), in)
	if err != nil {
		return fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	defer func() { err = errors.Join(err, input.Destroy()) }()
	outputs := make([]ort.Value, len(p.values))
	if err := p.session.Run([]ort.Value{input}, outputs); err != nil {
		return fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	for i, o := range outputs {
		if t, ok := o.(*ort.Tensor[float32]); ok && len(t.GetData()) > 0 {
			visit(i, t.GetData())
		} else {
			err = errors.Join(err, fmt.Errorf("the model gives no float32 as %s", p.values[i]))
		}
		err = errors.Join(err, o.Destroy())
	}
	return err
}

// Close frees the model.
func (p *Probe) Close() error { return p.session.Destroy() }

// Form reads a model, as [Open] does, as a graph in microtome's form that holds all that is known of it.
func Form(name string, cfg Config) (*onnx.Model, Spec, error) {
	m, spec, err := understand(name, cfg)
	if err != nil {
		return nil, spec, err
	}
	if spec.PerSlide {
		return nil, spec, fmt.Errorf("model %s: it normalises by the slide, which a file in microtome's form cannot: give a card with fixed numbers", name)
	}
	m.Set(keyUnbounded, spec.Unbounded)
	if spec.Takes == "" { // it had that form
		return m, spec, nil
	}
	exchange(m.Graph, m.Graph.Inputs[0].Name, inputName)
	exchange(m.Graph, m.Graph.Outputs[0].Name, labelsName)
	exchange(m.Graph, m.Graph.Outputs[1].Name, logitsName)
	for _, key := range []string{keyMean, keyScale, keyOutput} { // the graph does it
		m.Set(key, "")
	}
	for _, e := range spec.Card.metadata() {
		m.Set(e.Key, e.Value)
	}
	for key, v := range map[string]int{keyStride: spec.Stride, keyBefore: spec.Before, keyAfter: spec.After} {
		m.Set(key, strconv.Itoa(v))
	}
	return m, spec, nil
}

// exchange gives a value another name, and what has that name the value's.
func exchange(g *onnx.Graph, a, b string) {
	swap := func(name *string) {
		switch *name {
		case a:
			*name = b
		case b:
			*name = a
		}
	}
	for _, n := range g.Nodes {
		for i := range n.Inputs {
			swap(&n.Inputs[i])
		}
		for i := range n.Outputs {
			swap(&n.Outputs[i])
		}
	}
	for _, w := range g.Weights {
		swap(&w.Name)
	}
	for _, values := range [][]onnx.Value{g.Inputs, g.Outputs} {
		for i := range values {
			swap(&values[i].Name)
		}
	}
}

// OpenForm opens a model in microtome's form that is no file yet.
func OpenForm(m *onnx.Model, cfg Config) (Engine, error) {
	devices, err := cfg.parseDevices()
	if err != nil {
		return nil, err
	}
	data := m.Encode()
	if m, err = onnx.Decode(data); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	spec := Spec{Channels: 3, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	if spec.Card, err = readCard(m); err != nil {
		return nil, err
	}
	if err := openStandard(m, &spec, cfg); err != nil {
		return nil, err
	}
	spec.Name, spec.MPP = spec.Card.Name, spec.Card.MPP
	return start(m, spec, devices, cfg.Library, true)
}
