package onnx

import (
	"encoding/binary"
	"math"
)

// Attr makes an attribute of an int, an int64, a float32, a string, or a slice of them, or of a *Tensor. Any other type panics: it is a bug
// of the caller.
func Attr(name string, value any) Attribute {
	a := Attribute{Name: name}
	switch v := value.(type) {
	case int:
		a.Kind, a.Int = Int, int64(v)
	case int64:
		a.Kind, a.Int = Int, v
	case float32:
		a.Kind, a.Float = Float, v
	case string:
		a.Kind, a.String = String, v
	case *Tensor:
		a.Kind, a.Tensor = TensorK, v
	case []int:
		a.Kind = Ints
		for _, i := range v {
			a.Ints = append(a.Ints, int64(i))
		}
	case []int64:
		a.Kind, a.Ints = Ints, v
	case []float32:
		a.Kind, a.Floats = Floats, v
	case []string:
		a.Kind, a.Strings = Strings, v
	default:
		panic("onnx: attribute " + name + " of a type that has no kind")
	}
	return a
}

// FloatTensor makes a constant of float32; dims are nil for a scalar.
func FloatTensor(name string, dims []int, v ...float32) *Tensor {
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return NewTensor(name, Float32, dims, data)
}

// IntTensor makes a constant list of int64.
func IntTensor(name string, v ...int64) *Tensor {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint64(data, uint64(x))
	}
	return NewTensor(name, Int64, []int{len(v)}, data)
}

// NewTensor makes a constant of any type from the bytes of its elements.
func NewTensor(name string, kind int64, dims []int, data []byte) *Tensor {
	t := &Tensor{Name: name, Type: kind, Data: data}
	for _, d := range dims {
		t.Dims = append(t.Dims, int64(d))
	}
	return t
}

// NewValue makes an input or output; a dimension is an int, or a string, the name of a free one.
func NewValue(name string, kind int64, dims ...any) Value {
	v := Value{Name: name, Type: kind, Ranked: true}
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			v.Dims = append(v.Dims, Dim{N: int64(d)})
		case string:
			v.Dims = append(v.Dims, Dim{N: -1, Name: d})
		default:
			panic("onnx: a dimension is an int or a string")
		}
	}
	return v
}
