package unet

import (
	"encoding/binary"
	"math"
)

// bytesPerPixel bounds the memory that a run of the graph takes, in bytes a pixel of the input: the
// most that is alive at a time when each tensor lives from the node that makes it to the last that
// reads it. Sizes are followed through the operators that segmentation networks are made of; an
// operator not known here counts as giving what it takes.
func (f *onnxFile) bytesPerPixel() float64 {
	type size struct{ channels, area, width float64 } // area: pixels a pixel of the input; width: bytes a value
	sizes := map[string]size{}
	last := map[string]int{}
	for _, in := range f.inputs {
		sizes[in.name] = size{3, 1, 1}
	}
	for i, n := range f.nodes {
		for _, in := range n.inputs {
			last[in] = i
		}
	}
	alive, most := 0.0, 0.0
	for i, n := range f.nodes {
		var s size
		if len(n.inputs) > 0 {
			s = sizes[n.inputs[0]]
		}
		stride := 1.0
		if v := n.ints["strides"]; len(v) == 2 {
			stride = float64(v[0] * v[1])
		}
		work := 0.0 // beside what goes in and out
		switch n.op {
		case "Conv":
			if w := f.weights[n.inputs[1]]; len(w.dims) == 4 {
				work = s.channels * s.area * s.width // reordered for blocks of channels
				s.channels = float64(w.dims[0])
			}
			s.area /= stride
		case "ConvTranspose":
			if w := f.weights[n.inputs[1]]; len(w.dims) == 4 {
				work = float64(w.dims[1]*w.dims[2]*w.dims[3]) * s.area * s.width // columns before they are summed
				s.channels = float64(w.dims[1])
			}
			s.area *= stride
		case "MaxPool", "AveragePool":
			s.area /= stride
		case "Resize", "Upsample":
			scales := n.inputs[len(n.inputs)-1]
			if n.op == "Resize" && len(n.inputs) > 2 {
				scales = n.inputs[2]
			}
			if raw := f.weights[scales].raw; len(raw) == 16 {
				for k := 8; k < 16; k += 4 {
					s.area *= float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[k:])))
				}
			}
		case "Concat":
			for _, in := range n.inputs[1:] {
				s.channels += sizes[in].channels
			}
		case "Cast":
			if to := n.ints["to"]; len(to) == 1 {
				s.width = map[int64]float64{typeFloat: 4, typeUint8: 1, typeInt64: 8}[to[0]]
			}
		case "ArgMax":
			s.channels, s.width = 1, 8
		case "Greater":
			s.width = 1
		}
		for _, out := range n.outputs {
			sizes[out] = s
			alive += s.channels * s.area * s.width
		}
		most = max(most, alive+work)
		for _, name := range append(n.inputs, n.outputs...) {
			if at, read := last[name]; (read && at == i) || (!read && !f.isOutput(name)) {
				s := sizes[name]
				alive -= s.channels * s.area * s.width
				delete(sizes, name)
			}
		}
	}
	return most
}

func (f *onnxFile) isOutput(name string) bool {
	for _, o := range f.outputs {
		if o.name == name {
			return true
		}
	}
	return false
}
