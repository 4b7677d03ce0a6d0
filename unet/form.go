package unet

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"microtome/unet/onnx"
)

// Names in microtome's form of a model.
const (
	inputName      = "image"
	labelsName     = "labels"
	logitsName     = "logits"
	statisticsName = "statistics" // of a slide, 2 × channels × 1 × 1: factor and summand of its pixels; few models have it

	keyStride = "microtome.stride"
	keyBefore = "microtome.before"
	keyAfter  = "microtome.after"
	// keyUnbounded is why no margin is enough, of a quantised file. Its geometry is that of the model that it was made of: a graph that packs
	// pixels of a row into channels does not show it.
	keyUnbounded = "microtome.unbounded"

	keyOutput = "microtome.output" // name of the output that is meant, of several
)

// standard reports whether the model has microtome's form already.
func standard(m *onnx.Model) bool {
	if len(m.Graph.Inputs) != 1 || len(m.Graph.Outputs) != 2 {
		return false
	}
	in, labels, logits := m.Graph.Inputs[0], m.Graph.Outputs[0], m.Graph.Outputs[1]
	return in.Name == inputName && in.Type == onnx.Uint8 && len(in.Dims) == 4 && in.Dims[3].N == 3 &&
		labels.Name == labelsName && labels.Type == onnx.Uint8 &&
		logits.Name == logitsName && logits.Type == onnx.Float32 && len(logits.Dims) == 4 && logits.Dims[1].N > 0
}

// statedGeometry reads the geometry of the metadata; there may be none.
func statedGeometry(m *onnx.Model) (g Geometry, stated bool, err error) {
	for _, f := range []struct {
		key   string
		least int
		to    *int
	}{{keyStride, 1, &g.Stride}, {keyBefore, 0, &g.Before}, {keyAfter, 0, &g.After}} {
		text := m.Get(f.key)
		if text == "" {
			if stated {
				return g, false, fmt.Errorf("metadata %s is missing: give %s, %s and %s, or none of them", f.key, keyStride, keyBefore, keyAfter)
			}
			continue
		}
		v, err := strconv.Atoi(text)
		if err != nil || v < f.least || v > 1<<16 {
			return g, false, fmt.Errorf("metadata %s is %q: give a number of pixels, or leave %s, %s and %s out", f.key, text, keyStride, keyBefore, keyAfter)
		}
		*f.to, stated = v, true
	}
	if stated && g.Stride == 0 {
		return g, false, fmt.Errorf("metadata %s is missing: give %s, %s and %s, or none of them", keyStride, keyStride, keyBefore, keyAfter)
	}
	return g, stated, nil
}

// metaFloats reads as many numbers as there are channels, or one for all, from the metadata; none where it has none.
func metaFloats(m *onnx.Model, key string, channels int) ([]float64, error) {
	text := m.Get(key)
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) != channels && len(parts) != 1 {
		return nil, fmt.Errorf("metadata %s is %q: give %d numbers with commas between them", key, text, channels)
	}
	var out []float64
	for _, p := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(p), 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("metadata %s is %q: give numbers with commas between them", key, text)
		}
		out = append(out, v)
	}
	return out, nil
}

// named returns the names of the classes of a network that gives as many channels: those that are given, with a background where
// they lack one, or class 0 and so on.
func named(names []string, channels int) ([]string, error) {
	want := max(channels, 2)
	if len(names) == 0 {
		if channels == 1 {
			return []string{"background", "foreground"}, nil
		}
		return classNames(nil, channels), nil
	}
	if len(names) == 1 && channels == 1 {
		return []string{"background", names[0]}, nil
	}
	if len(names) != want {
		return nil, fmt.Errorf("the model gives %d channels, but %d classes are named (%s): name one for each, or two for a single channel", channels, len(names), strings.Join(names, ", "))
	}
	return names, nil
}

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
	spec := Spec{Channels: 3, Size: int64(len(data)), SHA256: digest(data)}
	if spec.Card, err = readCard(m); err != nil {
		return nil, err
	}
	if err := openStandard(m, &spec, cfg); err != nil {
		return nil, err
	}
	spec.Name, spec.MPP = spec.Card.Name, spec.Card.MPP
	return start(m, spec, devices, cfg, true)
}
