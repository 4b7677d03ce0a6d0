package field

import (
	"encoding/binary"
	"math"
	"slices"

	"microtome/unet/onnx"
)

// Graphs that PyTorch and TensorFlow write compute sizes, crops and pads from shapes, with the same operators that work on images.
// These are the parts of operators that compute elements; they give nil where elements are not known or too many.

// elements reads a small constant.
func elements(t *onnx.Tensor) []float64 {
	n, size := t.Len(), onnx.Size(t.Type)
	if !t.Whole() || n > mostElements {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		b := t.Data[i*size : (i+1)*size]
		switch t.Type {
		case onnx.Float32:
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case onnx.Float64:
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		case onnx.Int64:
			out[i] = float64(int64(binary.LittleEndian.Uint64(b)))
		case onnx.Int32:
			out[i] = float64(int32(binary.LittleEndian.Uint32(b)))
		case onnx.Uint64:
			out[i] = float64(binary.LittleEndian.Uint64(b))
		case onnx.Uint32:
			out[i] = float64(binary.LittleEndian.Uint32(b))
		case onnx.Int16:
			out[i] = float64(int16(binary.LittleEndian.Uint16(b)))
		case onnx.Uint16:
			out[i] = float64(binary.LittleEndian.Uint16(b))
		case onnx.Int8:
			out[i] = float64(int8(b[0]))
		case onnx.Uint8, onnx.Bool:
			out[i] = float64(b[0])
		default: // halves: nobody computes sizes with them
			return nil
		}
	}
	return out
}

// uniform reports whether all elements are known and equal.
func uniform(data []float64) bool {
	return len(data) > 0 && !slices.ContainsFunc(data, func(f float64) bool { return f != data[0] })
}

// all returns all elements, nil if they are not known or too many.
func (v *value) all() []float64 {
	switch {
	case v == nil || v.data == nil || v.size() > mostElements:
		return nil
	case len(v.data) == v.size():
		return v.data
	case len(v.data) == 1:
		return slices.Repeat(v.data, v.size())
	}
	return nil
}

// pick returns the elements of a tensor of dims, each one of v's.
func (v *value) pick(dims []int, from func(at []int) int) []float64 {
	n := 1
	for _, d := range dims {
		n *= d
		if n < 0 || n > mostElements && len(v.data) != 1 {
			return nil
		}
	}
	if len(v.data) == 1 && v.size() > 0 {
		return v.data
	}
	if len(v.data) != v.size() {
		return nil
	}
	out := make([]float64, 0, n)
	at := make([]int, len(dims))
	for range n {
		i := from(at)
		if i < 0 || i >= len(v.data) {
			return nil
		}
		out = append(out, v.data[i])
		for k := len(at) - 1; k >= 0; k-- {
			if at[k]++; at[k] < dims[k] {
				break
			}
			at[k] = 0
		}
	}
	return out
}

// strides returns how many elements apart neighbours along each axis are.
func strides(dims []int) []int {
	out := make([]int, len(dims))
	n := 1
	for i := len(dims) - 1; i >= 0; i-- {
		out[i] = n
		n *= dims[i]
	}
	return out
}

// spreadTo returns the elements of v broadcast to dims.
func (v *value) spreadTo(dims []int) []float64 {
	shift, by := len(dims)-len(v.dims), strides(v.dims)
	return v.pick(dims, func(at []int) int {
		i := 0
		for k, d := range v.dims {
			if d > 1 {
				i += at[shift+k] * by[k]
			}
		}
		return i
	})
}

// compute returns f of the elements of inputs, broadcast to dims.
func compute(f func(x []float64) float64, dims []int, in []*value) []float64 {
	var rows [][]float64
	n := 1
	for _, v := range in {
		if v == nil || v.data == nil {
			return nil
		}
		row := v.spreadTo(dims)
		if row == nil {
			return nil
		}
		rows, n = append(rows, row), max(n, len(row))
	}
	for _, d := range dims {
		if d == 0 {
			return []float64{}
		}
	}
	out, x := make([]float64, n), make([]float64, len(rows))
	for i := range out {
		for k, row := range rows {
			x[k] = row[min(i, len(row)-1)]
		}
		out[i] = f(x)
	}
	return out
}

// arithmetic is what operators compute of elements; that of a kind which has only whole numbers is rounded towards 0.
var arithmetic = map[string]func(x []float64) float64{
	"Add":            func(x []float64) float64 { return x[0] + x[1] },
	"Sub":            func(x []float64) float64 { return x[0] - x[1] },
	"Mul":            func(x []float64) float64 { return x[0] * x[1] },
	"Div":            func(x []float64) float64 { return x[0] / x[1] },
	"Pow":            func(x []float64) float64 { return math.Pow(x[0], x[1]) },
	"Min":            slices.Min[[]float64],
	"Max":            slices.Max[[]float64],
	"Sum":            sum,
	"Mean":           func(x []float64) float64 { return sum(x) / float64(len(x)) },
	"Neg":            func(x []float64) float64 { return -x[0] },
	"Abs":            func(x []float64) float64 { return math.Abs(x[0]) },
	"Sqrt":           func(x []float64) float64 { return math.Sqrt(x[0]) },
	"Floor":          func(x []float64) float64 { return math.Floor(x[0]) },
	"Ceil":           func(x []float64) float64 { return math.Ceil(x[0]) },
	"Round":          func(x []float64) float64 { return math.RoundToEven(x[0]) },
	"Relu":           func(x []float64) float64 { return max(x[0], 0) },
	"Reciprocal":     func(x []float64) float64 { return 1 / x[0] },
	"Identity":       func(x []float64) float64 { return x[0] },
	"Cast":           func(x []float64) float64 { return x[0] },
	"Not":            func(x []float64) float64 { return truth(x[0] == 0) },
	"And":            func(x []float64) float64 { return truth(x[0] != 0 && x[1] != 0) },
	"Or":             func(x []float64) float64 { return truth(x[0] != 0 || x[1] != 0) },
	"Equal":          func(x []float64) float64 { return truth(x[0] == x[1]) },
	"Less":           func(x []float64) float64 { return truth(x[0] < x[1]) },
	"LessOrEqual":    func(x []float64) float64 { return truth(x[0] <= x[1]) },
	"Greater":        func(x []float64) float64 { return truth(x[0] > x[1]) },
	"GreaterOrEqual": func(x []float64) float64 { return truth(x[0] >= x[1]) },
	"Where": func(x []float64) float64 {
		if x[0] != 0 {
			return x[1]
		}
		return x[2]
	},
}

func sum(x []float64) float64 {
	s := 0.0
	for _, f := range x {
		s += f
	}
	return s
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// wholeNumbers reports whether a type has no fractions.
func wholeNumbers(kind int64) bool {
	return kind != onnx.Float32 && kind != onnx.Float64 && kind != onnx.Float16 && kind != onnx.BFloat16
}

// modulo is Mod: of the sign of the divisor, or with fmod of the dividend.
func modulo(fmod bool) func(x []float64) float64 {
	return func(x []float64) float64 {
		m := math.Mod(x[0], x[1])
		if !fmod && m != 0 && (m < 0) != (x[1] < 0) {
			m += x[1]
		}
		return m
	}
}

// reductions are what operators make of all elements along axes.
var reductions = map[string]func(x []float64) float64{
	"ReduceSum": sum, "ReduceMax": slices.Max[[]float64], "ReduceMin": slices.Min[[]float64], "ReduceMean": func(x []float64) float64 { return sum(x) / float64(len(x)) },
	"ReduceProd": func(x []float64) float64 {
		p := 1.0
		for _, f := range x {
			p *= f
		}
		return p
	},
}
