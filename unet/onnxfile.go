package unet

import (
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
	graph   []byte   // of the GraphProto
	rest    []byte   // of the ModelProto, all but the graph
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

// A weight is the shape of an initializer, and its values when they are few.
type weight struct {
	dims []int64
	kind uint64
	raw  []byte
}

type valueInfo struct {
	name string
	kind uint64
	dims []int64 // -1: free
}

var errNotONNX = errors.New("not an ONNX model, or a damaged one")

// parseONNX reads a model. Slices of the result share memory with data.
func parseONNX(data []byte) (*onnxFile, error) {
	f := &onnxFile{meta: map[string]string{}, weights: map[string]weight{}}
	err := eachField(data, func(n protowire.Number, _ uint64, b, whole []byte) error {
		switch n {
		case 7:
			f.graph = b
			return nil
		case 14:
			key, value := texts(b)
			f.meta[key] = value
		}
		f.rest = append(f.rest, whole...)
		return nil
	})
	if err == nil && f.graph != nil {
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

func (f *onnxFile) graphField(n protowire.Number, _ uint64, b, _ []byte) error {
	switch n {
	case 1:
		node := opNode{ints: map[string][]int64{}}
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
	s := Spec{Name: f.meta[keyName], Channels: 3}
	var missing []string
	for key, to := range map[string]*int{keyStride: &s.Stride, keyBefore: &s.Before, keyAfter: &s.After} {
		v, err := strconv.Atoi(f.meta[key])
		if err != nil || v < 0 || v > 1<<20 {
			missing = append(missing, key)
		}
		*to = v
	}
	if f.meta[keyClasses] == "" {
		missing = append(missing, keyClasses)
	}
	if missing != nil || s.Stride < 1 {
		return s, errors.New("the model does not state its geometry: add the metadata microtome.stride, microtome.before, microtome.after and microtome.classes, see README, Bring your own")
	}
	s.Classes = strings.Split(f.meta[keyClasses], ",")
	if len(s.Classes) < 2 || len(s.Classes) > 256 {
		return s, fmt.Errorf("metadata %s names %d classes: name background and what it is told from", keyClasses, len(s.Classes))
	}
	if text := f.meta[keyMPP]; text != "" {
		mpp, err := strconv.ParseFloat(text, 64)
		if err != nil || mpp < 0 || math.IsInf(mpp, 0) || math.IsNaN(mpp) {
			return s, fmt.Errorf("metadata %s is %q: give micrometres a pixel, such as 0.5", keyMPP, text)
		}
		s.MPP = mpp
	}
	return s, nil
}

// standard reports whether the model has microtome's form already.
func (f *onnxFile) standard() bool {
	return len(f.inputs) == 1 && f.inputs[0].name == inputName && f.inputs[0].kind == typeUint8 &&
		len(f.outputs) == 2 && f.outputs[0].name == labelsName && f.outputs[1].name == logitsName
}

// wrap brings a model that takes planes of floats into microtome's form: what normalises the pixels is
// put before its graph, the crop to the core and the choice of the class after it.
func (f *onnxFile) wrap(s *Spec) ([]byte, error) {
	if len(f.inputs) != 1 || len(f.outputs) != 1 {
		return nil, fmt.Errorf("the model has %d inputs and %d outputs: one of each is needed", len(f.inputs), len(f.outputs))
	}
	in, out := f.inputs[0], f.outputs[0]
	if len(in.dims) != 4 || len(out.dims) != 4 || in.kind != typeFloat || out.kind != typeFloat {
		return nil, errors.New("the model must take and give float32 tensors of 4 dimensions, N × C × H × W")
	}
	if c := in.dims[1]; c != 3 {
		return nil, fmt.Errorf("the model takes %d channels, a slide has 3 (red, green, blue): export it for RGB", c)
	}
	if in.dims[2] != in.dims[3] {
		return nil, fmt.Errorf("the model takes tiles of %d × %d pixels: only squares are supported", in.dims[3], in.dims[2])
	}
	if in.dims[2] > 0 {
		s.Input = int(in.dims[2])
		if err := s.Check(s.Input - s.Before - s.After); err != nil {
			return nil, fmt.Errorf("the model takes only inputs of %d pixels, which its geometry does not allow: export it with free height and width", s.Input)
		}
	}
	classes := int(out.dims[1])
	if classes > 1 && classes != len(s.Classes) || classes < 1 || classes == 1 && len(s.Classes) != 2 {
		return nil, fmt.Errorf("the model gives %d channels, but %s names %d classes", classes, keyClasses, len(s.Classes))
	}
	origin, err := f.metaFloats(keyOrigin, 1, 0)
	if err != nil {
		return nil, err
	}
	if o := int(origin[0]); o < 0 || o > s.Before || o > s.After {
		return nil, fmt.Errorf("metadata %s is %d: it is where the output begins in the input, at most %s and %s", keyOrigin, o, keyBefore, keyAfter)
	}
	mean, err := f.metaFloats(keyMean, 3, 0)
	if err != nil {
		return nil, err
	}
	scale, err := f.metaFloats(keyScale, 3, 1.0/255)
	if err != nil {
		return nil, err
	}
	const ours = "microtome/" // before the names of what is added
	b := &builder{}
	b.inputs = append(b.inputs, value(inputName, typeUint8, "n", "h", "w", 3))
	b.nodes = append(b.nodes,
		node("Transpose", ours+"planes", []string{inputName}, attribute("perm", []int{0, 3, 1, 2})),
		node("Cast", ours+"floats", []string{ours + "planes"}, attribute("to", typeFloat)),
		node("Sub", ours+"centred", []string{ours + "floats", b.constant(floats(ours+"mean", []int{1, 3, 1, 1}, mean...), ours+"mean")}),
		node("Mul", in.name, []string{ours + "centred", b.constant(floats(ours+"scale", []int{1, 3, 1, 1}, scale...), ours+"scale")}),
	)
	err = eachField(f.graph, func(n protowire.Number, _ uint64, body, _ []byte) error {
		switch n {
		case 1:
			b.nodes = append(b.nodes, body)
		case 5:
			b.initializers = append(b.initializers, body)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.finish(out.name, s.Geometry, int(origin[0]), classes)
	var graph message
	for _, n := range b.nodes {
		graph = graph.bytes(1, n)
	}
	graph = graph.text(2, "microtome")
	for _, i := range b.initializers {
		graph = graph.bytes(5, i)
	}
	graph = graph.bytes(11, b.inputs[0]).bytes(12, b.outputs[0]).bytes(12, b.outputs[1])
	return message(append([]byte(nil), f.rest...)).bytes(7, graph), nil
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
			if err != nil {
				return nil, fmt.Errorf("metadata %s is %q: give numbers with commas between them", key, text)
			}
			out[i] = float32(v)
		}
	}
	return out, nil
}
