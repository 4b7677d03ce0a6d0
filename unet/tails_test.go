package unet

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microtome/unet/onnx"
)

// behind adds nodes behind a model's output, of a type.
func behind(m *onnx.Model, element int64, add func(b *builder, x string) string) *onnx.Model {
	b := &builder{opset: m.Opset(""), prefix: "behind/"}
	x := add(b, m.Graph.Outputs[0].Name)
	m.Graph.Nodes, m.Graph.Weights = append(m.Graph.Nodes, b.Nodes...), append(m.Graph.Weights, b.Weights...)
	m.Graph.Outputs = []onnx.Value{{Name: x, Type: element}}
	return m
}

// labelsOf labels a tile of noise, and counts.
func labelsOf(t *testing.T, m *onnx.Model, card string, cfg Config) (Spec, []byte, error) {
	t.Helper()
	path := writeFile(t, m.Encode())
	if card != "" {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "rdf.yaml"), []byte(card), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Device = cpuName
	e, err := Open(path, cfg)
	if err != nil {
		return Spec{}, nil, err
	}
	defer e.Close()
	s := e.Spec()
	core := 8 * s.Stride
	edge := s.Geometry.Input(core)
	in := make([]byte, edge*edge*3)
	for i := range in {
		in[i] = byte(i * 2654435761 >> 7)
	}
	out := make([]byte, core*core)
	return s, out, e.Predict(t.Context(), 1, in, out)
}

// Probabilities are taken for what they are, also where the graph cuts, clips or picks them after it made them: the labels are those of
// the graph that ends in the activation.
func TestActivationBeforeTheEnd(t *testing.T) {
	needRuntime(t)
	one := guest{channels: 3, element: onnx.Float32, classes: 1, tail: "Sigmoid", opset: 17}
	two := guest{channels: 3, element: onnx.Float32, classes: 2, tail: "Softmax", opset: 17}
	_, want, err := labelsOf(t, one.model(), "", Config{})
	_, pair, pairErr := labelsOf(t, two.model(), "", Config{})
	if err != nil || pairErr != nil || !slices.Contains(want, 1) || !slices.Contains(want, 0) || !slices.Contains(pair, 1) {
		t.Fatalf("%v, %v, %d labels", err, pairErr, len(want))
	}
	for name, c := range map[string]struct {
		m    *onnx.Model
		want []byte
	}{
		"clipped": {behind(one.model(), onnx.Float32, func(b *builder, x string) string {
			return b.node("Clip", []string{x, b.floats("low", nil, 0), b.floats("high", nil, 1)})
		}), want},
		"padded and cut": {behind(one.model(), onnx.Float32, func(b *builder, x string) string {
			x = b.node("Pad", []string{x, b.int64s("pads", 0, 0, 2, 2, 0, 0, 2, 2)})
			return b.node("Slice", []string{x, b.int64s("starts", 2, 2), b.int64s("ends", -2, -2), b.int64s("axes", 2, 3)})
		}), want},
		"picked": {behind(two.model(), onnx.Float32, func(b *builder, x string) string {
			return b.node("Gather", []string{x, b.int64s("which", 1)}, onnx.Attr("axis", 1))
		}), pair},
	} {
		s, got, err := labelsOf(t, c.m, "", Config{})
		if err != nil || !slices.Equal(got, c.want) || s.Gives != string(ofSigmoid) {
			t.Errorf("%s: gives %q, %v, and %d labels", name, s.Gives, err, len(got))
		}
	}
}

// What comes of an operator that is not known to give logits is taken for them with a warning.
func TestUnknownTailWarns(t *testing.T) {
	needRuntime(t)
	m := behind(guest{channels: 3, element: onnx.Float32, classes: 1, opset: 17}.model(), onnx.Float32, func(b *builder, x string) string {
		return b.node("Sub", []string{b.floats("one", nil, 1), x})
	})
	s, _, err := labelsOf(t, m, "", Config{})
	if err != nil || !slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.Contains(w, "ends in Sub") }) {
		t.Errorf("%v, %q", err, s.Warnings)
	}
}

// A card's threshold is one of probabilities where the graph makes them, whether or not the last step is left out.
func TestThresholdOfAnActivation(t *testing.T) {
	needRuntime(t)
	card := strings.Join([]string{
		"format_version: 0.4.10", "type: model", "name: x",
		"inputs: [{name: i, axes: bcyx, preprocessing: [{name: scale_linear, kwargs: {gain: 0.01, offset: 0}}]}]",
		"outputs: [{name: o, axes: bcyx, postprocessing: [{name: binarize, kwargs: {threshold: 0.5}}]}]",
	}, "\n")
	for tail, want := range map[string]float64{"Softmax": 0.5, "": 0.6224593312018546} {
		s, _, err := labelsOf(t, guest{channels: 3, element: onnx.Float32, classes: 2, tail: tail, opset: 17}.model(), card, Config{})
		if err != nil || s.Card.Threshold != want {
			t.Errorf("%q: threshold %v, want %v (%v)", tail, s.Card.Threshold, want, err)
		}
	}
}

// Labels that are of no class are an error, never background; 255 is the second of two.
func TestLabelsOfNoClass(t *testing.T) {
	needRuntime(t)
	binary := guest{channels: 3, element: onnx.Float32, classes: 1, tail: "Greater uint8", opset: 17}
	names := Config{Classes: []string{"a", "b"}}
	_, want, err := labelsOf(t, binary.model(), "", names)
	if err != nil {
		t.Fatal(err)
	}
	white := behind(binary.model(), onnx.Uint8, func(b *builder, x string) string {
		b.Weights = append(b.Weights, onnx.NewTensor("behind/255", onnx.Uint8, nil, []byte{255}))
		return b.node("Mul", []string{x, "behind/255"})
	})
	if _, got, err := labelsOf(t, white, "", names); err != nil || !slices.Equal(got, want) {
		t.Errorf("0 and 255: %v", err)
	}
	three := guest{channels: 3, element: onnx.Float32, classes: 3, tail: "ArgMax", opset: 17}
	fromOne := behind(three.model(), onnx.Int64, func(b *builder, x string) string { return b.node("Add", []string{x, b.int64s("one", 1)}) })
	for name, c := range map[string]struct {
		m    *onnx.Model
		cfg  Config
		want string
	}{
		"labels from 1":  {fromOne, Config{Classes: []string{"a", "b", "c"}}, "labels that are none of 0 to 2"},
		"a flag a class": {guest{channels: 3, element: onnx.Float32, classes: 3, tail: "Greater", opset: 17}.model(), Config{Classes: []string{"a", "b", "c"}}, "3 channels of whole numbers"},
	} {
		if _, _, err := labelsOf(t, c.m, "", c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
