package unet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

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
	data := copied.Encode()
	f, err := parseONNX(data)
	if err != nil {
		return nil, err
	}
	_, blocked := f.footprint()
	s, err := device{name: "cpu"}.sessionOf(data, f.inputs[0].name, values, blocked)
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

// Form reads a model as a graph in microtome's form.
func Form(data []byte) (*onnx.Model, error) {
	f, _, err := understand(data)
	if err != nil {
		return nil, err
	}
	if !f.standard() {
		return nil, errors.New("the model is not in microtome's form: one that microtome train wrote is")
	}
	return onnx.Decode(data)
}

// OpenForm opens a model in microtome's form that is no file yet.
func OpenForm(m *onnx.Model, cfg Config) (Engine, error) {
	d, err := parseDevice(cfg.Device)
	if err != nil {
		return nil, err
	}
	f, spec, err := understand(m.Encode())
	if err != nil {
		return nil, err
	}
	return start(f, spec, d, cfg.Library, true)
}
