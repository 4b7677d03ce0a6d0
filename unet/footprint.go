package unet

import (
	"cmp"
	"math"
	"slices"

	"microtome/unet/onnx"
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
func footprint(g *onnx.Graph) (perPixel float64, blocked bool) {
	plain, padded := bytesPerPixel(g, 1), bytesPerPixel(g, channelBlock)
	if padded > 1.5*plain && terms(g) <= exactTerms {
		return plain, false
	}
	return padded, true
}

// terms returns the most products that a convolution of the graph sums.
func terms(g *onnx.Graph) int64 {
	var most int64
	for _, n := range g.Nodes {
		if w := weight(g, n, 1).Dims; len(w) == 4 && n.Op == "Conv" {
			most = max(most, w[1]*w[2]*w[3])
		}
	}
	return most
}

// bytesPerPixel returns the most that is alive at a time, in bytes a pixel of the input, when channels
// come in blocks and each tensor lives from the node that makes it to the last that reads it. Sizes are
// followed through the operators that segmentation networks are made of; an operator not known here
// counts as giving what it takes. Damaged graphs give a number too: ONNX Runtime refuses them.
func bytesPerPixel(g *onnx.Graph, block float64) float64 {
	type size struct{ channels, area, width float64 } // area: pixels a pixel of the input; width: bytes a value
	sizes := map[string]size{}
	last := map[string]int{}
	for _, in := range g.Inputs {
		sizes[in.Name] = size{3, 1, 1}
	}
	for i, n := range g.Nodes {
		for _, in := range n.Inputs {
			last[in] = i
		}
	}
	alive, most := 0.0, 0.0
	for i, n := range g.Nodes {
		var s size
		if len(n.Inputs) > 0 {
			s = sizes[n.Inputs[0]]
		}
		stride := 1.0
		if v := n.Ints("strides"); len(v) == 2 {
			stride = float64(v[0]) * float64(v[1])
		}
		work := 0.0 // beside what goes in and out
		switch n.Op {
		case "Conv":
			if w := weight(g, n, 1); len(w.Dims) == 4 {
				if block > 1 {
					work = s.channels * s.area * s.width // reordered into blocks
				}
				s.channels = math.Ceil(float64(w.Dims[0])/block) * block
			}
			s.area /= stride
		case "ConvTranspose":
			if w := weight(g, n, 1); len(w.Dims) == 4 {
				work = float64(w.Dims[1]) * float64(w.Dims[2]) * float64(w.Dims[3]) * s.area * s.width // columns before they are summed
				s.channels = float64(w.Dims[1])
			}
			s.area *= stride
		case "MaxPool", "AveragePool":
			s.area /= stride
		case "Resize", "Upsample":
			scales := weight(g, n, 2)
			if n.Op == "Upsample" {
				scales = weight(g, n, 1)
			}
			if by := scales.Float32s(); len(by) == 4 {
				s.area *= float64(by[2]) * float64(by[3])
			}
		case "Concat":
			s.channels = 0
			for _, in := range n.Inputs {
				s.channels += sizes[in].channels
			}
		case "Cast":
			s.width = float64(cmp.Or(onnx.Size(n.Int("to", 0)), 8))
		case "ArgMax":
			s.channels, s.width = 1, 8
		case "Greater", "Less":
			s.width = 1
		}
		for _, out := range n.Outputs {
			sizes[out] = s
			alive += s.channels * s.area * s.width
		}
		most = max(most, alive+work)
		for _, name := range slices.Concat(n.Inputs, n.Outputs) {
			if at, read := last[name]; (read && at == i) || (!read && !slices.ContainsFunc(g.Outputs, func(v onnx.Value) bool { return v.Name == name })) {
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

// weight returns the constant that is an input of a node.
func weight(g *onnx.Graph, n *onnx.Node, input int) *onnx.Tensor {
	if t := g.Weight(n.Input(input)); t != nil {
		return t
	}
	return &onnx.Tensor{}
}
