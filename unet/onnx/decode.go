package onnx

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrDamaged is what Decode returns for bytes that are no ONNX model.
var ErrDamaged = errors.New("not an ONNX model, or a damaged one: export it again as a single .onnx file")

// A field is one field of a message: number its value where it is a number, body where it is a text, a message or a packed
// list, whole the field as it stands.
type field struct {
	id     protowire.Number
	number uint64
	body   []byte
	whole  []byte
}

// fields calls visit for each field of a message, in order.
func fields(m []byte, visit func(f field) error) error {
	for len(m) > 0 {
		id, kind, tag := protowire.ConsumeTag(m)
		if tag < 0 {
			return ErrDamaged
		}
		size := protowire.ConsumeFieldValue(id, kind, m[tag:])
		if size < 0 {
			return ErrDamaged
		}
		f := field{id: id, whole: m[:tag+size]}
		switch kind {
		case protowire.VarintType:
			f.number, _ = protowire.ConsumeVarint(m[tag:])
		case protowire.Fixed32Type:
			v, _ := protowire.ConsumeFixed32(m[tag:])
			f.number = uint64(v)
		case protowire.Fixed64Type:
			f.number, _ = protowire.ConsumeFixed64(m[tag:])
		case protowire.BytesType:
			f.body, _ = protowire.ConsumeBytes(m[tag:])
			if f.body == nil {
				f.body = []byte{}
			}
		}
		if err := visit(f); err != nil {
			return err
		}
		m = m[tag+size:]
	}
	return nil
}

// numbers appends the values of a repeated whole number, packed or not.
func (f field) numbers(to []int64) ([]int64, error) {
	if f.body == nil {
		return append(to, int64(f.number)), nil
	}
	for b := f.body; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return to, ErrDamaged
		}
		to, b = append(to, int64(v)), b[n:]
	}
	return to, nil
}

// floats appends the values of a repeated float, packed or not.
func (f field) floats(to []float32) ([]float32, error) {
	if f.body == nil {
		return append(to, math.Float32frombits(uint32(f.number))), nil
	}
	if len(f.body)%4 != 0 {
		return to, ErrDamaged
	}
	for b := f.body; len(b) > 0; b = b[4:] {
		to = append(to, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return to, nil
}

// Decode reads a model.
func Decode(data []byte) (*Model, error) {
	m := &Model{}
	err := fields(data, func(f field) (err error) {
		switch f.id {
		case 1:
			m.IR = int64(f.number)
		case 2:
			m.Producer = string(f.body)
		case 7:
			if m.Graph != nil {
				return ErrDamaged
			}
			m.Graph, err = decodeGraph(f.body)
		case 8:
			var o Opset
			err = fields(f.body, func(f field) error {
				switch f.id {
				case 1:
					o.Domain = string(f.body)
				case 2:
					o.Version = int64(f.number)
				}
				return nil
			})
			m.Opsets = append(m.Opsets, o)
		case 14:
			var e Entry
			e, err = decodeEntry(f.body)
			m.Meta = append(m.Meta, e)
		default:
			m.rest = append(m.rest, f.whole...)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if m.Graph == nil || len(m.Graph.Nodes) == 0 || len(m.Graph.Outputs) == 0 {
		return nil, ErrDamaged
	}
	return m, nil
}

// decodeEntry reads a StringStringEntryProto.
func decodeEntry(b []byte) (e Entry, err error) {
	err = fields(b, func(f field) error {
		switch f.id {
		case 1:
			e.Key = string(f.body)
		case 2:
			e.Value = string(f.body)
		}
		return nil
	})
	return e, err
}

func decodeGraph(b []byte) (*Graph, error) {
	g := &Graph{}
	err := fields(b, func(f field) (err error) {
		switch f.id {
		case 1:
			var n *Node
			n, err = decodeNode(f.body)
			g.Nodes = append(g.Nodes, n)
		case 2:
			g.Name = string(f.body)
		case 5:
			var t *Tensor
			t, err = decodeTensor(f.body)
			g.Weights = append(g.Weights, t)
		case 11, 12:
			var v Value
			v, err = decodeValue(f.body)
			if f.id == 11 {
				g.Inputs = append(g.Inputs, v)
			} else {
				g.Outputs = append(g.Outputs, v)
			}
		default:
			g.rest = append(g.rest, f.whole...)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	constant := map[string]bool{} // until IR version 4, weights are inputs too
	for _, t := range g.Weights {
		constant[t.Name] = true
	}
	g.Inputs = slices.DeleteFunc(g.Inputs, func(v Value) bool { return constant[v.Name] })
	return g, nil
}

func decodeNode(b []byte) (*Node, error) {
	n := &Node{}
	err := fields(b, func(f field) (err error) {
		switch f.id {
		case 1:
			n.Inputs = append(n.Inputs, string(f.body))
		case 2:
			n.Outputs = append(n.Outputs, string(f.body))
		case 3:
			n.Name = string(f.body)
		case 4:
			n.Op = string(f.body)
		case 5:
			var a Attribute
			a, err = decodeAttribute(f.body)
			n.Attributes = append(n.Attributes, a)
		case 7:
			n.Domain = string(f.body)
		default:
			n.rest = append(n.rest, f.whole...)
		}
		return err
	})
	if err == nil && n.Op == "" {
		err = ErrDamaged
	}
	if n.Domain == "ai.onnx" {
		n.Domain = ""
	}
	return n, err
}

func decodeAttribute(b []byte) (Attribute, error) {
	var a Attribute
	err := fields(b, func(f field) (err error) {
		switch f.id {
		case 1:
			a.Name = string(f.body)
		case 2:
			a.Float = math.Float32frombits(uint32(f.number))
		case 3:
			a.Int = int64(f.number)
		case 4:
			a.String = string(f.body)
		case 5:
			a.Tensor, err = decodeTensor(f.body)
		case 7:
			a.Floats, err = f.floats(a.Floats)
		case 8:
			a.Ints, err = f.numbers(a.Ints)
		case 9:
			a.Strings = append(a.Strings, string(f.body))
		case 20:
			a.Kind = int64(f.number)
		default:
			a.rest = append(a.rest, f.whole...)
		}
		return err
	})
	if err == nil && (a.Kind == TensorK) != (a.Tensor != nil) {
		err = ErrDamaged
	}
	return a, err
}

func decodeTensor(b []byte) (*Tensor, error) {
	t := &Tensor{}
	var floats []float32
	var wide []byte // elements that stood in a field of numbers
	var small []int64
	external, raw := false, false
	err := fields(b, func(f field) (err error) {
		switch f.id {
		case 1:
			t.Dims, err = f.numbers(t.Dims)
		case 2:
			t.Type = int64(f.number)
		case 4:
			floats, err = f.floats(floats)
		case 5, 7, 11:
			small, err = f.numbers(small)
		case 8:
			t.Name = string(f.body)
		case 9:
			t.Data, raw = f.body, true
		case 10:
			if f.body == nil {
				wide = binary.LittleEndian.AppendUint64(wide, f.number)
			} else {
				wide = append(wide, f.body...)
			}
		case 13:
			var e Entry
			if e, err = decodeEntry(f.body); err != nil {
				return err
			}
			switch e.Key {
			case "location":
				t.External = e.Value
			case "offset":
				t.offset, err = strconv.ParseInt(e.Value, 10, 64)
			}
			t.elsewhere = append(t.elsewhere, f.whole...)
			if err != nil {
				err = ErrDamaged
			}
		case 14:
			external = f.number == 1
			t.elsewhere = append(t.elsewhere, f.whole...)
		default:
			t.rest = append(t.rest, f.whole...)
		}
		return err
	})
	if external && t.External == "" {
		t.External = "another file"
	}
	if raw || t.External != "" || err != nil {
		return t, err
	}
	t.Data = wide
	for _, v := range floats {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
	}
	for _, v := range small {
		t.Data = appendInt(t.Data, v, Size(t.Type))
	}
	if t.Data == nil && t.Len() == 0 && Size(t.Type) > 0 {
		t.Data = []byte{}
	}
	return t, nil
}

// appendInt appends the lower bytes of v.
func appendInt(to []byte, v int64, size int) []byte {
	for ; size > 0; size-- {
		to, v = append(to, byte(v)), v>>8
	}
	return to
}

func decodeValue(b []byte) (Value, error) {
	var v Value
	err := fields(b, func(f field) error {
		switch f.id {
		case 1:
			v.Name = string(f.body)
		case 2: // TypeProto
			return fields(f.body, func(f field) error {
				if f.id != 1 {
					v.Sequence = v.Sequence || f.id != 6 // a denotation
					return nil
				}
				return fields(f.body, v.tensor)
			})
		}
		return nil
	})
	return v, err
}

// tensor reads a field of TypeProto.Tensor.
func (v *Value) tensor(f field) error {
	switch f.id {
	case 1:
		v.Type = int64(f.number)
	case 2:
		v.Ranked = true
		return fields(f.body, func(f field) error {
			d := Dim{N: -1}
			err := fields(f.body, func(f field) error {
				switch f.id {
				case 1:
					d.N = int64(f.number)
				case 2:
					d.Name = string(f.body)
				}
				return nil
			})
			v.Dims = append(v.Dims, d)
			return err
		})
	}
	return nil
}

// captured returns the names of values that graphs within the node take from outside, and more: all names in them.
func (n *Node) captured() []string {
	var all []string
	for _, a := range n.Attributes {
		_ = fields(a.rest, func(f field) error { // it was split before
			if f.id == 6 || f.id == 11 {
				if g, err := decodeGraph(f.body); err == nil {
					for name := range g.Names() {
						all = append(all, name)
					}
					for _, inner := range g.Nodes {
						all = append(all, inner.captured()...)
					}
				}
			}
			return nil
		})
	}
	return all
}

// Begins reports whether bytes can be the beginning of a model, so that a large file of something else need not be read.
func Begins(head []byte) bool {
	for len(head) > 0 {
		id, kind, tag := protowire.ConsumeTag(head)
		if tag < 0 {
			return errors.Is(protowire.ParseError(tag), io.ErrUnexpectedEOF)
		}
		if want := protowire.BytesType; id > maxModelField || kind != want && (id != 1 && id != 5 || kind != protowire.VarintType) {
			return false
		}
		size := protowire.ConsumeFieldValue(id, kind, head[tag:])
		if size < 0 {
			return errors.Is(protowire.ParseError(size), io.ErrUnexpectedEOF)
		}
		head = head[tag+size:]
	}
	return true
}

// maxModelField is the highest number of a field of ModelProto, with room for what may come.
const maxModelField = 100
