package unet

import (
	"context"
	"errors"
	"fmt"
	"runtime"

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
	var outputs []onnx.Value
	for _, name := range values {
		outputs = append(outputs, onnx.Value{Name: name, Type: onnx.Float32})
	}
	part := m.Part(outputs...)
	_, blocked := footprint(part, usualEdge)
	s, err := device{kind: cpuName}.sessionOf(part.Encode(), []string{m.Graph.Inputs[0].Name}, values, blocked)
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
