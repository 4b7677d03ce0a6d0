package unet

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The few messages of onnx.proto3 that microtome writes, on the wire level. Field numbers are those of
// the ONNX specification, IR version 8.

// A message is an encoded protocol buffer message.
type message []byte

func (m message) number(field protowire.Number, v int64) message {
	m = protowire.AppendTag(m, field, protowire.VarintType)
	return protowire.AppendVarint(m, uint64(v))
}

func (m message) bytes(field protowire.Number, b []byte) message {
	m = protowire.AppendTag(m, field, protowire.BytesType)
	return protowire.AppendBytes(m, b)
}

func (m message) text(field protowire.Number, s string) message { return m.bytes(field, []byte(s)) }

// Element types of tensors.
const (
	typeFloat = 1
	typeUint8 = 2
	typeInt64 = 7
	typeBool  = 9
)

// attribute encodes an AttributeProto.
func attribute(name string, value any) message {
	m := message{}.text(1, name)
	switch v := value.(type) {
	case int:
		return m.number(3, int64(v)).number(20, 2)
	case string:
		return m.text(4, v).number(20, 3)
	case []int:
		for _, i := range v {
			m = m.number(8, int64(i))
		}
		return m.number(20, 7)
	}
	panic("unet: attribute type") // a bug: the types are all above
}

// node encodes a NodeProto with one output, which also names it.
func node(op, output string, inputs []string, attributes ...message) message {
	var m message
	for _, in := range inputs {
		m = m.text(1, in)
	}
	m = m.text(2, output).text(3, output).text(4, op)
	for _, a := range attributes {
		m = m.bytes(5, a)
	}
	return m
}

// floats encodes a TensorProto; dims are nil for a scalar.
func floats(name string, dims []int, v ...float32) message {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return tensor(name, typeFloat, dims, raw)
}

func int64s(name string, v ...int64) message {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return tensor(name, typeInt64, []int{len(v)}, raw)
}

func tensor(name string, kind int64, dims []int, raw []byte) message {
	var m message
	for _, d := range dims {
		m = m.number(1, int64(d))
	}
	return m.number(2, kind).text(8, name).bytes(9, raw)
}

// value encodes a ValueInfoProto; a dimension is a number or the name of a free one.
func value(name string, kind int64, dims ...any) message {
	var shape message
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			shape = shape.bytes(1, message{}.number(1, int64(d)))
		case string:
			shape = shape.bytes(1, message{}.text(2, d))
		}
	}
	tensor := message{}.number(1, kind).bytes(2, shape)
	return message{}.text(1, name).bytes(2, message{}.bytes(1, tensor))
}

// opset is the version of the ONNX operators that microtome writes.
const opset = 17

// A graph collects the parts of a GraphProto.
type graph struct {
	nodes, initializers, inputs, outputs []message
}

// model encodes a ModelProto of the graph, with metadata in the order given.
func (g *graph) model(metadata [][2]string) []byte {
	var m message
	for _, n := range g.nodes {
		m = m.bytes(1, n)
	}
	m = m.text(2, "microtome")
	for _, i := range g.initializers {
		m = m.bytes(5, i)
	}
	for _, i := range g.inputs {
		m = m.bytes(11, i)
	}
	for _, o := range g.outputs {
		m = m.bytes(12, o)
	}
	model := message{}.number(1, 8).text(2, "microtome").bytes(7, m).bytes(8, message{}.text(1, "").number(2, opset))
	for _, kv := range metadata {
		model = model.bytes(14, message{}.text(1, kv[0]).text(2, kv[1]))
	}
	return model
}
