package main

import (
	"testing"

	"microtome/unet"
	"microtome/unet/onnx"
)

const guestCard = `format_version: 0.4.9
type: model
name: guest
inputs: [{name: image, axes: bcyx, preprocessing: [{name: zero_mean_unit_variance, kwargs: {mode: per_sample, axes: yx}}]}]
outputs: [{name: logits, axes: bcyx, halo: [0, 0, 2, 2]}]
`

// own returns a small network in microtome's form, as a graph.
func own(t *testing.T, channels, classes int) *onnx.Model {
	t.Helper()
	data, err := unet.Architecture{Depth: 1, Base: 2, Channels: channels, Classes: classes, Same: true, Up: unet.Nearest}.ONNX()
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	m.Meta = nil
	return m
}

// guest returns the inner network of one of ours, which takes planes of grey floats and gives a logit for each pixel.
func guest(t *testing.T) []byte {
	m := own(t, 1, 1)
	g := m.Graph
	for _, n := range g.Nodes {
		if n.Op == "Mul" { // the end of the normalisation
			g.Inputs = []onnx.Value{onnx.NewValue(n.Outputs[0], onnx.Float32, 1, 1, 64, 64)}
			n.Op, n.Inputs, n.Outputs = "Identity", []string{n.Outputs[0]}, []string{"unused"}
		}
		if n.Op == "Slice" { // the core
			g.Outputs = []onnx.Value{onnx.NewValue(n.Inputs[0], onnx.Float32, 1, 1, 64, 64)}
		}
	}
	g.Keep(g.Outputs[0].Name)
	return m.Encode()
}

// writeModels writes models that cannot be used.
func writeModels(t *testing.T, write func(name string, data []byte)) {
	for name, change := range map[string]func(m *onnx.Model){
		"future.onnx":   func(m *onnx.Model) { m.Opsets[0].Version = 99 },
		"branches.onnx": func(m *onnx.Model) { m.Graph.Nodes[3].Op = "If" },
		"pair.onnx": func(m *onnx.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, onnx.NewValue("second", onnx.Float32, 1, 3, "h", "w"))
		},
		"volume.onnx": func(m *onnx.Model) {
			m.Graph.Inputs[0] = onnx.NewValue("image", onnx.Float32, 1, 1, "d", "h", "w")
		},
		"classifier.onnx": func(m *onnx.Model) {
			m.Graph.Outputs = []onnx.Value{onnx.NewValue("logits", onnx.Float32, "n", 2, 1, 1)}
		},
		"several.onnx": func(m *onnx.Model) {
			m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Op: "Neg", Inputs: []string{"logits"}, Outputs: []string{"other"}})
			m.Graph.Outputs = append(m.Graph.Outputs, onnx.NewValue("other", onnx.Float32, "n", 2, "h", "w"))
		},
		"weightless.onnx": func(m *onnx.Model) { m.Graph.Weights[0] = m.Graph.Weights[0].At("w.bin", 0) },
		"four.onnx":       func(m *onnx.Model) { m.Graph.Inputs[0].Dims[3].N = 4 },
	} {
		m := own(t, 3, 2)
		change(m)
		write(name, m.Encode())
	}
	whole := own(t, 3, 2).Encode()
	write("cut.onnx", whole[:len(whole)/2])
}
