package unet

import (
	"cmp"
	"math"
	"slices"

	"microtome/unet/field"
	"microtome/unet/onnx"
)

// channelBlock is what ONNX Runtime rounds the channels of a convolution up to in its blocked layout:
// 16 on AVX-512, 8 on other processors. Plans take the larger.
const channelBlock = 16

// exactTerms is how many products ONNX Runtime's matrix multiplication sums without a break. Of more,
// it sums parts whose length depends on the size of the tile, and stitched tiles differ in the last bit.
const exactTerms = 128

// usualEdge is the edge of the input that memory is computed at where the model leaves it free, px: near that of usual tiles.
const usualEdge = 1 << 10

// footprint bounds the memory that a run of the graph takes, in bytes a pixel of the input, and says
// whether to let ONNX Runtime lay out channels in blocks. Its convolutions then sum in the same order
// for any tile, and wide networks are faster (base 16: by a third); but narrow ones are slower and larger
// by as much as they are padded. Haematoxylin, of 1 to 4 channels, takes half the time and a third of
// the memory without. The input's edge is one that the model takes.
func footprint(m *onnx.Model, edge int) (perPixel float64, blocked bool) {
	shapes := field.Shapes(m, edge, edge)
	plain, padded := mostAlive(m, shapes, 1), mostAlive(m, shapes, channelBlock)
	for _, bytes := range []*float64{&plain, &padded} {
		if *bytes /= float64(edge) * float64(edge); !(*bytes > 0 && *bytes < 1<<20) { // NaN too
			*bytes = 1 << 20
		}
	}
	if onBytes(m.Graph) { // its sums are exact in any layout, and fast only with channels last
		return padded, true
	}
	if padded > 1.5*plain && terms(m) <= exactTerms {
		return plain, false
	}
	return padded, true
}

// onBytes reports whether convolutions of the graph compute on bytes; see package quantize.
func onBytes(g *onnx.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return n.Op == "QuantizeLinear" })
}

// fused returns, for a graph on bytes, which values lie where another does, and which convolutions are products of bytes. ONNX Runtime
// makes one operation of a convolution with the DequantizeLinear before and the QuantizeLinear behind it, and keeps
// channels last, so that bytes are turned and shaped without moving.
func fused(g *onnx.Graph) (same map[string]string, products map[string]bool) {
	same, products = map[string]string{}, map[string]bool{}
	if !onBytes(g) {
		return same, products
	}
	made := g.Producers()
	for _, n := range g.Nodes {
		if len(n.Outputs) == 0 || n.Input(0) == "" {
			continue
		}
		switch n.Op {
		case "QuantizeLinear":
			conv := made[n.Input(0)]
			if conv == nil || conv.Op != "Conv" {
				continue
			}
			if before := made[conv.Input(0)]; before != nil && before.Op == "DequantizeLinear" {
				same[n.Outputs[0]], same[conv.Inputs[0]] = n.Input(0), before.Input(0)
				products[n.Input(0)] = true
			}
		case "DequantizeLinear":
			if g.Weight(n.Input(0)) != nil {
				same[n.Outputs[0]] = n.Input(0)
			}
		case "Reshape", "Transpose":
			same[n.Outputs[0]] = n.Input(0)
		}
	}
	return same, products
}

// terms returns the most products that a convolution of the graph sums.
func terms(m *onnx.Model) int64 {
	var most int64
	for _, n := range m.Graph.Nodes {
		if w := m.Graph.Weight(n.Input(1)); n.Op == "Conv" && w != nil && len(w.Dims) == 4 {
			most = max(most, w.Dims[1]*w.Dims[2]*w.Dims[3])
		}
	}
	return most
}

// mostAlive returns the most bytes that are alive at a time, when channels come in blocks and each tensor lives from the node
// that makes it to the last that reads it. Damaged graphs give a number too: ONNX Runtime refuses them.
func mostAlive(m *onnx.Model, shapes map[string]field.Shape, block float64) float64 {
	same, products := fused(m.Graph)
	place := func(name string) string {
		for same[name] != "" && same[name] != name {
			name = same[name]
		}
		return name
	}
	padding := map[string]float64{} // of blocks: channels that are held for each there is
	bytes := func(name string) float64 {
		s, ok := shapes[name]
		if !ok {
			return 0
		}
		n := float64(onnx.Size(s.Type)) * cmp.Or(padding[name], 1)
		if products[name] {
			n = 1
		}
		for _, d := range s.Dims {
			n *= float64(d)
		}
		return n
	}
	channels := func(name string) float64 {
		if s := shapes[name]; len(s.Dims) == 4 {
			return float64(max(s.Dims[1], 1))
		}
		return 1
	}
	last := map[string]int{}
	for i, n := range m.Graph.Nodes {
		for _, in := range n.Inputs {
			last[place(in)] = i
		}
	}
	for _, o := range m.Graph.Outputs {
		last[o.Name] = len(m.Graph.Nodes)
	}
	alive, most := 0.0, 0.0
	if len(m.Graph.Inputs) > 0 {
		alive = bytes(m.Graph.Inputs[0].Name)
	}
	for i, n := range m.Graph.Nodes {
		work := 0.0 // beside what goes in and out
		pad := padding[n.Input(0)]
		switch n.Op {
		case "Conv":
			if len(n.Outputs) > 0 && products[n.Outputs[0]] {
				if w, out := m.Graph.Weight(place(n.Input(1))), shapes[n.Outputs[0]].Dims; w != nil && len(w.Dims) == 4 && w.Dims[2]*w.Dims[3] > 1 && len(out) == 4 {
					work = 8 * float64(w.Dims[2]*w.Dims[3]) * float64(out[2]) * float64(out[3]) // where each pixel of a window is
				}
				pad = 1
				break
			}
			if len(n.Outputs) > 0 {
				c := channels(n.Outputs[0])
				pad = math.Ceil(c/block) * block / c
			}
			if block > 1 {
				work = bytes(n.Input(0)) // reordered into blocks
			}
		case "ConvTranspose": // columns before they are summed
			if w := m.Graph.Weight(n.Input(1)); w != nil && len(w.Dims) == 4 {
				work = bytes(n.Input(0)) / channels(n.Input(0)) * float64(w.Dims[1]*w.Dims[2]*w.Dims[3])
			}
			pad = 1
		case "Concat":
			held, all := 0.0, 0.0
			for _, in := range n.Inputs {
				held, all = held+channels(in)*cmp.Or(padding[in], 1), all+channels(in)
			}
			pad = held / all
		case "ArgMax", "Transpose", "Shape":
			pad = 1
		}
		for _, out := range n.Outputs {
			padding[out] = pad
			if place(out) == out {
				alive += bytes(out)
			}
		}
		most = max(most, alive+work)
		for _, name := range slices.Concat(n.Inputs, n.Outputs) {
			if name = place(name); last[name] <= i {
				alive -= bytes(name)
				last[name] = len(m.Graph.Nodes) // once
			}
		}
	}
	return most
}
