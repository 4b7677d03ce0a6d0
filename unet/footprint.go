package unet

import (
	"encoding/binary"
	"math"
	"slices"
)

// channelBlock is what ONNX Runtime rounds the channels of a convolution up to in its blocked layout:
// 16 on AVX-512, 8 on other processors. Plans take the larger.
const channelBlock = 16

// exactTerms is how many products ONNX Runtime's matrix multiplication sums without a break. Of more,
// it sums parts whose length depends on the size of the tile, and stitched tiles differ in the last bit.
const exactTerms = 128

// footprint bounds the memory that a run of the graph takes, in bytes a pixel of the input, and says
// whether to let ONNX Runtime lay out channels in blocks. Its convolutions then sum in the same order
// for any tile, and wide networks are faster (base 16: by a third); but narrow ones are slower and larger
// by as much as they are padded. Haematoxylin, of 1 to 4 channels, takes half the time and a third of
// the memory without.
func (f *onnxFile) footprint() (perPixel float64, blocked bool) {
	plain, padded := f.bytesPerPixel(1), f.bytesPerPixel(channelBlock)
	if f.onBytes() { // its sums are exact in any layout, and fast only with channels last
		return padded, true
	}
	if padded > 1.5*plain && f.terms() <= exactTerms {
		return plain, false
	}
	return padded, true
}

// onBytes reports whether convolutions of the graph compute on bytes; see package quantize.
func (f *onnxFile) onBytes() bool {
	return slices.ContainsFunc(f.nodes, func(n opNode) bool { return n.op == "QuantizeLinear" })
}

// fused returns, for a graph on bytes, which values lie where another does, and which convolutions are products of bytes. ONNX Runtime
// makes one operation of a convolution with the DequantizeLinear before and the QuantizeLinear behind it, and keeps
// channels last, so that bytes are turned and shaped without moving.
func (f *onnxFile) fused() (same map[string]string, products map[string]bool) {
	same, products = map[string]string{}, map[string]bool{}
	if !f.onBytes() {
		return same, products
	}
	made := map[string]opNode{}
	for _, n := range f.nodes {
		if len(n.inputs) == 0 || len(n.outputs) == 0 {
			continue
		}
		made[n.outputs[0]] = n
		switch n.op {
		case "QuantizeLinear":
			if conv := made[n.inputs[0]]; conv.op == "Conv" && len(made[conv.inputs[0]].inputs) > 0 && made[conv.inputs[0]].op == "DequantizeLinear" {
				same[n.outputs[0]], same[conv.inputs[0]] = n.inputs[0], made[conv.inputs[0]].inputs[0]
				products[n.inputs[0]] = true
			}
		case "DequantizeLinear":
			if _, constant := f.weights[n.inputs[0]]; constant {
				same[n.outputs[0]] = n.inputs[0]
			}
		case "Reshape", "Transpose":
			same[n.outputs[0]] = n.inputs[0]
		}
	}
	return same, products
}

// terms returns the most products that a convolution of the graph sums.
func (f *onnxFile) terms() int64 {
	var most int64
	for _, n := range f.nodes {
		if w := f.weight(n, 1).dims; len(w) == 4 && n.op == "Conv" {
			most = max(most, w[1]*w[2]*w[3])
		}
	}
	return most
}

// bytesPerPixel returns the most that is alive at a time, in bytes a pixel of the input, when channels
// come in blocks and each tensor lives from the node that makes it to the last that reads it. Sizes are
// followed through the operators that segmentation networks are made of; an operator not known here
// counts as giving what it takes. Damaged graphs give a number too: ONNX Runtime refuses them.
func (f *onnxFile) bytesPerPixel(block float64) float64 {
	type size struct{ channels, area, width float64 } // area: pixels a pixel of the input; width: bytes a value
	sizes := map[string]size{}
	last := map[string]int{}
	same, products := f.fused()
	place := func(name string) string {
		for same[name] != "" {
			name = same[name]
		}
		return name
	}
	for _, in := range f.inputs {
		sizes[in.name] = size{3, 1, 1}
	}
	for i, n := range f.nodes {
		for _, in := range n.inputs {
			last[place(in)] = i
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
			stride = float64(v[0]) * float64(v[1])
		}
		work := 0.0 // beside what goes in and out
		switch n.op {
		case "Conv":
			if w := f.weights[place(n.inputs[min(1, len(n.inputs)-1)])]; len(w.dims) == 4 {
				if products[n.outputs[0]] {
					s.width = 1
					s.channels, s.area = float64(w.dims[0]), s.area/stride
					if w.dims[2]*w.dims[3] > 1 {
						work = 8 * float64(w.dims[2]*w.dims[3]) * s.area // where each pixel of a window is
					}
					break
				}
				if block > 1 {
					work = s.channels * s.area * s.width // reordered into blocks
				}
				s.channels = math.Ceil(float64(w.dims[0])/block) * block
			}
			s.area /= stride
		case "ConvTranspose":
			if w := f.weight(n, 1); len(w.dims) == 4 {
				work = float64(w.dims[1]) * float64(w.dims[2]) * float64(w.dims[3]) * s.area * s.width // columns before they are summed
				s.channels = float64(w.dims[1])
			}
			s.area *= stride
		case "MaxPool", "AveragePool":
			s.area /= stride
		case "Resize", "Upsample":
			scales := f.weight(n, 2)
			if n.op == "Upsample" {
				scales = f.weight(n, 1)
			}
			if raw := scales.raw; len(raw) == 16 {
				for k := 8; k < 16; k += 4 {
					s.area *= float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[k:])))
				}
			}
		case "QuantizeLinear":
			s.width = 1
		case "DequantizeLinear":
			s.width = 4
		case "Reshape":
			if raw := f.weight(n, 1).raw; len(raw) == 32 { // an image with channels last
				c := float64(int64(binary.LittleEndian.Uint64(raw[24:])))
				s.channels, s.area = c, s.area*s.channels/c
			}
		case "Concat":
			if axis := n.ints["axis"]; len(axis) == 1 && axis[0] > 1 {
				s.area = 0
				for _, in := range n.inputs {
					s.area += sizes[in].area
				}
				break
			}
			s.channels = 0
			for _, in := range n.inputs {
				s.channels += sizes[in].channels
			}
		case "Cast":
			if to := n.ints["to"]; len(to) == 1 {
				s.width = map[int64]float64{typeFloat: 4, typeUint8: 1, typeBool: 1}[to[0]]
				if s.width == 0 {
					s.width = 8
				}
			}
		case "ArgMax":
			s.channels, s.width = 1, 8
		case "Greater", "Less":
			s.width = 1
		}
		for _, out := range n.outputs {
			sizes[out] = s
			if place(out) == out {
				alive += s.channels * s.area * s.width
			}
		}
		most = max(most, alive+work)
		for _, name := range slices.Concat(n.inputs, n.outputs) {
			name = place(name)
			if at, read := last[name]; (read && at == i) || (!read && !f.isOutput(name)) {
				s := sizes[name]
				alive -= s.channels * s.area * s.width
				delete(sizes, name)
			}
		}
	}
	if !(most >= 0 && most < 1<<20) { // NaN too
		return 1 << 20
	}
	return most
}

// weight returns the initializer that is an input of a node.
func (f *onnxFile) weight(n opNode, input int) weight {
	if input >= len(n.inputs) {
		return weight{}
	}
	return f.weights[n.inputs[input]]
}

func (f *onnxFile) isOutput(name string) bool {
	for _, o := range f.outputs {
		if o.name == name {
			return true
		}
	}
	return false
}
