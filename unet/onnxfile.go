package unet

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// An onnxFile is what microtome reads of an ONNX model.
type onnxFile struct {
	meta    map[string]string
	ir      uint64   // version of the format
	opset   uint64   // version of the standard operators
	graph   []byte   // of the GraphProto
	rest    []byte   // of the ModelProto, all but the graph and ir
	nodes   []opNode // in the order they run
	weights map[string]weight
	inputs  []valueInfo // without initializers
	outputs []valueInfo
}

type opNode struct {
	op              string
	inputs, outputs []string
	ints            map[string][]int64 // attributes that are whole numbers
}

// A weight is an initializer.
type weight struct {
	dims      []int64
	kind      uint64
	raw       []byte
	elsewhere bool // in another file
}

type valueInfo struct {
	name string
	kind uint64
	dims []int64 // -1: free
}

var errNotONNX = errors.New("not an ONNX model, or a damaged one: export it again as a single .onnx file")

// parseONNX reads a model. Slices of the result share memory with data.
func parseONNX(data []byte) (*onnxFile, error) {
	f := &onnxFile{meta: map[string]string{}, weights: map[string]weight{}}
	err := eachField(data, func(n protowire.Number, v uint64, b, whole []byte) error {
		switch n {
		case 1:
			f.ir = v
			return nil
		case 7:
			if f.graph != nil {
				return errNotONNX
			}
			f.graph = b
			return nil
		case 8:
			f.readOpset(b)
		case 14:
			key, value := texts(b)
			f.meta[key] = value
		}
		f.rest = append(f.rest, whole...)
		return nil
	})
	if err == nil {
		err = eachField(f.graph, f.graphField)
	}
	if err != nil || len(f.nodes) == 0 || len(f.outputs) == 0 {
		return nil, errNotONNX
	}
	inputs := f.inputs[:0]
	for _, in := range f.inputs {
		if _, ok := f.weights[in.name]; !ok {
			inputs = append(inputs, in)
		}
	}
	f.inputs = inputs
	return f, nil
}

// readOpset reads an OperatorSetIdProto.
func (f *onnxFile) readOpset(b []byte) {
	var domain string
	var version uint64
	_ = eachField(b, func(n protowire.Number, v uint64, b, _ []byte) error { // checked when it was split off
		switch n {
		case 1:
			domain = string(b)
		case 2:
			version = v
		}
		return nil
	})
	if domain == "" || domain == "ai.onnx" {
		f.opset = version
	}
}

func (f *onnxFile) graphField(n protowire.Number, _ uint64, b, _ []byte) error {
	switch n {
	case 1:
		var node opNode
		err := eachField(b, func(n protowire.Number, _ uint64, b, _ []byte) error {
			switch n {
			case 1:
				node.inputs = append(node.inputs, string(b))
			case 2:
				node.outputs = append(node.outputs, string(b))
			case 4:
				node.op = string(b)
			case 5:
				return node.attribute(b)
			}
			return nil
		})
		if node.op == "" {
			return errNotONNX
		}
		f.nodes = append(f.nodes, node)
		return err
	case 5:
		var w weight
		var name string
		err := eachField(b, func(n protowire.Number, v uint64, b, _ []byte) error {
			switch n {
			case 1:
				w.dims = append(w.dims, numbers(v, b)...)
			case 2:
				w.kind = v
			case 8:
				name = string(b)
			case 9:
				w.raw = b
			case 13:
				w.elsewhere = true
			}
			return nil
		})
		f.weights[name] = w
		return err
	case 11, 12:
		v, err := parseValue(b)
		if n == 11 {
			f.inputs = append(f.inputs, v)
		} else {
			f.outputs = append(f.outputs, v)
		}
		return err
	}
	return nil
}

func (n *opNode) attribute(b []byte) error {
	var name string
	var ints []int64
	err := eachField(b, func(n protowire.Number, v uint64, b, _ []byte) error {
		switch n {
		case 1:
			name = string(b)
		case 3:
			ints = append(ints, int64(v))
		case 8:
			ints = append(ints, numbers(v, b)...)
		}
		return nil
	})
	if ints != nil {
		if n.ints == nil {
			n.ints = map[string][]int64{}
		}
		n.ints[name] = ints
	}
	return err
}

func parseValue(b []byte) (valueInfo, error) {
	var v valueInfo
	err := eachField(b, func(n protowire.Number, _ uint64, b, _ []byte) error {
		switch n {
		case 1:
			v.name = string(b)
		case 2:
			return eachField(b, func(n protowire.Number, _ uint64, b, _ []byte) error { // TypeProto
				if n != 1 {
					return nil
				}
				return eachField(b, func(n protowire.Number, kind uint64, b, _ []byte) error { // tensor
					if n == 1 {
						v.kind = kind
						return nil
					}
					return eachField(b, func(_ protowire.Number, _ uint64, b, _ []byte) error { // shape
						size := int64(-1)
						err := eachField(b, func(n protowire.Number, d uint64, _, _ []byte) error {
							if n == 1 {
								size = int64(d)
							}
							return nil
						})
						v.dims = append(v.dims, size)
						return err
					})
				})
			})
		}
		return nil
	})
	return v, err
}

// numbers returns the values of a repeated number, packed or not.
func numbers(v uint64, packed []byte) []int64 {
	if packed == nil {
		return []int64{int64(v)}
	}
	var out []int64
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return out
		}
		out, packed = append(out, int64(v)), packed[n:]
	}
	return out
}

// texts returns fields 1 and 2 of a StringStringEntryProto.
func texts(b []byte) (key, value string) {
	_ = eachField(b, func(n protowire.Number, _ uint64, b, _ []byte) error {
		switch n {
		case 1:
			key = string(b)
		case 2:
			value = string(b)
		}
		return nil
	})
	return key, value
}

// eachField calls visit for the fields of a message: v is the value of a number, b that of a string,
// message or packed list, whole the field as it stands.
func eachField(m []byte, visit func(n protowire.Number, v uint64, b, whole []byte) error) error {
	for len(m) > 0 {
		n, kind, tag := protowire.ConsumeTag(m)
		if tag < 0 {
			return errNotONNX
		}
		size := protowire.ConsumeFieldValue(n, kind, m[tag:])
		if size < 0 {
			return errNotONNX
		}
		var v uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			v, _ = protowire.ConsumeVarint(m[tag:])
		case protowire.BytesType:
			b, _ = protowire.ConsumeBytes(m[tag:])
			if b == nil {
				b = []byte{}
			}
		}
		if err := visit(n, v, b, m[:tag+size]); err != nil {
			return err
		}
		m = m[tag+size:]
	}
	return nil
}

// spec reads the model's metadata.
func (f *onnxFile) spec() (Spec, error) {
	s := Spec{Name: f.meta[keyName], Channels: 3, Unbounded: f.meta[keyUnbounded]}
	for _, w := range f.weights {
		if w.elsewhere {
			return s, errors.New("the model keeps its weights in another file: export it as a single file")
		}
	}
	for _, m := range []struct {
		key   string
		least int
		to    *int
	}{{keyStride, 1, &s.Stride}, {keyBefore, 0, &s.Before}, {keyAfter, 0, &s.After}} {
		v, err := strconv.Atoi(f.meta[m.key])
		if err != nil || v < m.least || v > 1<<16 {
			return s, f.lacks(m.key)
		}
		*m.to = v
	}
	if f.meta[keyClasses] == "" {
		return s, f.lacks(keyClasses)
	}
	s.Classes = strings.Split(f.meta[keyClasses], ",")
	if len(s.Classes) < 2 || len(s.Classes) > 255 {
		return s, fmt.Errorf("metadata %s names %d classes: name background and what it is told from, at most 255", keyClasses, len(s.Classes))
	}
	if text := f.meta[keyMPP]; text != "" {
		mpp, err := strconv.ParseFloat(text, 64)
		if err != nil || mpp < 0 || math.IsInf(mpp, 0) || math.IsNaN(mpp) {
			return s, fmt.Errorf("metadata %s is %q: give micrometres a pixel, such as 0.5", keyMPP, text)
		}
		s.MPP = mpp
	}
	var err error
	s.Card, err = f.card()
	return s, err
}

// lacks is the error for metadata that is not there or not a number in its range.
func (f *onnxFile) lacks(key string) error {
	state := fmt.Sprintf("has %s %q", key, f.meta[key])
	if f.meta[key] == "" {
		state = "does not state " + key
	}
	return fmt.Errorf("the model %s: add the metadata %s, %s, %s and %s, see README, Bring your own", state, keyStride, keyBefore, keyAfter, keyClasses)
}

// standard reports whether the model has microtome's form already.
func (f *onnxFile) standard() bool {
	if len(f.inputs) != 1 || len(f.outputs) != 2 {
		return false
	}
	in, labels, logits := f.inputs[0], f.outputs[0], f.outputs[1]
	return in.name == inputName && in.kind == typeUint8 && len(in.dims) == 4 &&
		labels.name == labelsName && labels.kind == typeUint8 &&
		logits.name == logitsName && logits.kind == typeFloat && len(logits.dims) == 4
}

// checkChannels refuses a model that takes other images than a slide's.
func (f *onnxFile) checkChannels() error {
	if len(f.inputs) != 1 || len(f.inputs[0].dims) != 4 {
		return nil // wrap has more to say
	}
	in := f.inputs[0]
	channels := in.dims[1]
	if in.kind == typeUint8 {
		channels = in.dims[3]
	}
	switch {
	case channels == 3:
		return nil
	case channels < 0:
		return errors.New("the model leaves the number of its input's channels open: export it for RGB, with 3")
	}
	return fmt.Errorf("the model takes images of %d channels, a slide has 3 (red, green, blue): export it for RGB", channels)
}

// checkClasses compares a model in microtome's form with the classes that its metadata names.
func (f *onnxFile) checkClasses(s Spec) error {
	c := f.outputs[1].dims[1]
	if c < 0 {
		return errors.New("the model leaves the number of its output's channels open: export it with a fixed one")
	}
	if c == int64(len(s.Classes)) && c > 1 || c == 1 && len(s.Classes) == 2 {
		return nil
	}
	return fmt.Errorf("the model gives %d channels, but %s names %d classes: name one for each, or two for a single channel", c, keyClasses, len(s.Classes))
}

// only returns the model with one of its outputs, so that nothing is computed but what it takes.
func (f *onnxFile) only(output string) []byte {
	graph := make(message, 0, len(f.graph))
	_ = eachField(f.graph, func(n protowire.Number, _ uint64, b, whole []byte) error { // parsed before
		if v, _ := parseValue(b); n != 12 || v.name == output {
			graph = append(graph, whole...)
		}
		return nil
	})
	return append(message{}.number(1, int64(f.ir)).bytes(7, graph), f.rest...)
}

// wrap brings a model that takes planes of floats into microtome's form: what normalises the pixels is
// put before its graph, the crop to the core and the choice of the class after it.
func (f *onnxFile) wrap(s *Spec) ([]byte, error) {
	if len(f.inputs) != 1 || len(f.outputs) != 1 {
		return nil, fmt.Errorf("the model has %d inputs and %d outputs: one of each is needed", len(f.inputs), len(f.outputs))
	}
	in, out := f.inputs[0], f.outputs[0]
	if len(in.dims) != 4 || len(out.dims) != 4 || in.kind != typeFloat || out.kind != typeFloat {
		return nil, errors.New("the model must take and give float32 tensors of 4 dimensions, N × C × H × W: export it so")
	}
	if in.dims[2] != in.dims[3] {
		return nil, errors.New("the model takes tiles that are not square: export it with free height and width")
	}
	if f.opset < 11 {
		return nil, fmt.Errorf("the model uses version %d of the ONNX operators: export it with opset 11 or later", f.opset)
	}
	if in.dims[2] >= 0 {
		if in.dims[2] > 1<<20 {
			return nil, errNotONNX
		}
		s.Input = int(in.dims[2])
		if err := s.Check(s.Input - s.Before - s.After); err != nil {
			return nil, fmt.Errorf("the model takes only inputs of %d pixels, which its geometry does not allow: export it with free height and width", s.Input)
		}
	}
	origin := 0
	if text, ok := f.meta[keyOrigin]; ok {
		var err error
		if origin, err = strconv.Atoi(text); err != nil || origin < 0 || origin > min(s.Before, s.After) {
			return nil, fmt.Errorf("metadata %s is %q: it is where the output begins in the input, at most %s and %s", keyOrigin, text, keyBefore, keyAfter)
		}
	}
	mean, err := f.metaFloats(keyMean, 3, 0)
	if err != nil {
		return nil, err
	}
	scale, err := f.metaFloats(keyScale, 3, 1.0/255)
	if err != nil {
		return nil, err
	}
	if out.dims[1] < 0 {
		out.dims[1] = int64(len(s.Classes)) // not stated: ONNX Runtime compares when it runs
		if len(s.Classes) == 2 {
			return nil, errors.New("the model does not say whether it gives 1 or 2 channels: export it with a fixed number")
		}
	}
	b := &builder{opset: int64(f.opset), prefix: f.freePrefix()}
	image := b.prefix + inputName
	b.inputs = append(b.inputs, value(image, typeUint8, "n", "h", "w", 3))
	x := b.node("Transpose", []string{image}, attribute("perm", []int{0, 3, 1, 2}))
	x = b.node("Cast", []string{x}, attribute("to", typeFloat))
	x = b.node("Sub", []string{x, b.floats("mean", []int{1, 3, 1, 1}, mean...)})
	b.nodes = append(b.nodes, node("Mul", in.name, []string{x, b.floats("scale", []int{1, 3, 1, 1}, scale...)}))
	before := len(b.nodes)
	b.finish(out.name, s.Geometry, origin, int(out.dims[1]))

	// The graph's own parts stay as they are, between ours: nodes stand in the order they run.
	var graph message
	for _, n := range b.nodes[:before] {
		graph = graph.bytes(1, n)
	}
	err = eachField(f.graph, func(n protowire.Number, _ uint64, _, whole []byte) error {
		if n != 11 && n != 12 { // inputs and outputs
			graph = append(graph, whole...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, n := range b.nodes[before:] {
		graph = graph.bytes(1, n)
	}
	for _, i := range b.initializers {
		graph = graph.bytes(5, i)
	}
	graph = graph.bytes(11, b.inputs[0]).bytes(12, b.outputs[0]).bytes(12, b.outputs[1])
	return append(message{}.number(1, int64(f.ir)).bytes(7, graph), f.rest...), nil
}

// freePrefix returns a beginning of names that no name in the graph, or in a graph within, has.
func (f *onnxFile) freePrefix() string {
	prefix := "microtome/"
	for i := 1; bytes.Contains(f.graph, []byte(prefix)); i++ {
		prefix = fmt.Sprintf("microtome%d/", i)
	}
	return prefix
}

// metaFloats reads n numbers, or one for all, from the metadata.
func (f *onnxFile) metaFloats(key string, n int, fallback float32) ([]float32, error) {
	out := make([]float32, n)
	text, ok := f.meta[key]
	parts := strings.Split(text, ",")
	if ok && len(parts) != n && len(parts) != 1 {
		return nil, fmt.Errorf("metadata %s is %q: give %d numbers with commas between them", key, text, n)
	}
	for i := range out {
		out[i] = fallback
		if ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(parts[min(i, len(parts)-1)]), 32)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("metadata %s is %q: give numbers with commas between them", key, text)
			}
			out[i] = float32(v)
		}
	}
	return out, nil
}
