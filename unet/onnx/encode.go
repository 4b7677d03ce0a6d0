package onnx

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A message is an encoded protocol buffer message.
type message []byte

func (m message) number(field protowire.Number, v int64) message {
	m = protowire.AppendTag(m, field, protowire.VarintType)
	return protowire.AppendVarint(m, uint64(v))
}

func (m message) float(field protowire.Number, v float32) message {
	m = protowire.AppendTag(m, field, protowire.Fixed32Type)
	return protowire.AppendFixed32(m, math.Float32bits(v))
}

func (m message) bytes(field protowire.Number, b []byte) message {
	m = protowire.AppendTag(m, field, protowire.BytesType)
	return protowire.AppendBytes(m, b)
}

func (m message) text(field protowire.Number, s string) message { return m.bytes(field, []byte(s)) }

// given is text, but nothing where there is none.
func (m message) given(field protowire.Number, s string) message {
	if s == "" {
		return m
	}
	return m.text(field, s)
}

// Encode writes the file. The same Model always gives the same bytes. Weights are no inputs in it, which IR version 4 began to allow. They are
// copied once: a model is mostly weights, and fresh memory costs more than what is done with it.
func (m *Model) Encode() []byte {
	start := message{}.number(1, max(m.IR, 4)).given(2, m.Producer)
	room := len(start) + 2*protowire.SizeVarint(math.MaxUint64)
	out := m.Graph.encode(room)
	start = protowire.AppendTag(start, 7, protowire.BytesType)
	start = protowire.AppendVarint(start, uint64(len(out)-room))
	out = out[room-len(start):]
	copy(out, start)
	for _, o := range m.Opsets {
		out = out.bytes(8, message{}.text(1, o.Domain).number(2, o.Version))
	}
	for _, e := range m.Meta {
		out = out.bytes(14, message{}.text(1, e.Key).text(2, e.Value))
	}
	return append(out, m.rest...)
}

// encode leaves room bytes before the graph for what stands there in the file.
func (g *Graph) encode(room int) message {
	size := room + 1<<16
	for _, t := range g.Weights {
		size += len(t.Data) + len(t.rest) + 128
	}
	out := make(message, room, size)
	for _, n := range g.Nodes {
		out = out.bytes(1, n.encode())
	}
	out = out.given(2, g.Name)
	for _, t := range g.Weights {
		out = t.appendTo(out, 5)
	}
	for _, v := range g.Inputs {
		out = out.bytes(11, v.encode())
	}
	for _, v := range g.Outputs {
		out = out.bytes(12, v.encode())
	}
	return append(out, g.rest...)
}

func (n *Node) encode() message {
	var out message
	for _, name := range n.Inputs {
		out = out.text(1, name)
	}
	for _, name := range n.Outputs {
		out = out.text(2, name)
	}
	out = out.given(3, n.Name).text(4, n.Op)
	for _, a := range n.Attributes {
		out = out.bytes(5, a.encode())
	}
	return append(out.given(7, n.Domain), n.rest...)
}

func (a *Attribute) encode() message {
	out := message{}.text(1, a.Name)
	switch a.Kind {
	case Float:
		out = out.float(2, a.Float)
	case Int:
		out = out.number(3, a.Int)
	case String:
		out = out.text(4, a.String)
	case TensorK:
		out = a.Tensor.appendTo(out, 5)
	}
	for _, v := range a.Floats {
		out = out.float(7, v)
	}
	for _, v := range a.Ints {
		out = out.number(8, v)
	}
	for _, v := range a.Strings {
		out = out.text(9, v)
	}
	return append(out.number(20, a.Kind), a.rest...)
}

// appendTo writes the tensor as a field of a message.
func (t *Tensor) appendTo(out message, field protowire.Number) message {
	var start message
	for _, d := range t.Dims {
		start = start.number(1, d)
	}
	start = start.number(2, t.Type).given(8, t.Name)
	size := len(start) + len(t.elsewhere) + len(t.rest)
	if t.Data != nil {
		size += protowire.SizeTag(9) + protowire.SizeBytes(len(t.Data))
	}
	out = protowire.AppendTag(out, field, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(size))
	out = append(out, start...)
	if t.Data != nil {
		out = out.bytes(9, t.Data)
	}
	return append(append(out, t.elsewhere...), t.rest...)
}

func (v Value) encode() message {
	tensor := message{}.number(1, v.Type)
	if v.Ranked {
		var shape message
		for _, d := range v.Dims {
			switch {
			case d.N >= 0:
				shape = shape.bytes(1, message{}.number(1, d.N))
			default:
				shape = shape.bytes(1, message{}.given(2, d.Name))
			}
		}
		tensor = tensor.bytes(2, shape)
	}
	return message{}.text(1, v.Name).bytes(2, message{}.bytes(1, tensor))
}
