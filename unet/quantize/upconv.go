package quantize

import (
	"math"
	"slices"

	"microtome/unet/onnx"
)

// splitUpConvolutions replaces transposed convolutions of 2 × 2 with stride 2, which ONNX Runtime has no int8 kernel for, by what
// they are: each input pixel gives four output pixels, so a 1×1 convolution to four times the channels, whose result is
// laid out as pixels. It computes the same products; sums may be taken in another order.
func splitUpConvolutions(g *onnx.Graph) {
	names := g.Names()
	var nodes []*onnx.Node
	for _, n := range g.Nodes {
		w := g.Weight(n.Input(1))
		if !doubles(n, w) {
			nodes = append(nodes, n)
			continue
		}
		in, out := int(w.Dims[0]), int(w.Dims[1])
		// Row d·out + c is what offset d, row by row, of channel c takes.
		values, split := w.Float32s(), make([]float32, 4*out*in)
		for i := range in {
			for c := range out {
				for d := range 4 {
					split[(d*out+c)*in+i] = values[(i*out+c)*4+d]
				}
			}
		}
		weight := fresh(names, w.Name+".split")
		wide := fresh(names, n.Outputs[0]+".wide")
		g.Weights = append(g.Weights, onnx.FloatTensor(weight, []int{4 * out, in, 1, 1}, split...))
		conv := &onnx.Node{
			Op: "Conv", Name: wide, Inputs: []string{n.Input(0), weight}, Outputs: []string{wide},
			Attributes: []onnx.Attribute{onnx.Attr("kernel_shape", []int{1, 1})},
		}
		if b := g.Weight(n.Input(2)).Float32s(); b != nil {
			bias := fresh(names, n.Outputs[0]+".split_bias")
			g.Weights = append(g.Weights, onnx.FloatTensor(bias, []int{4 * out}, slices.Concat(b, b, b, b)...))
			conv.Inputs = append(conv.Inputs, bias)
		}
		nodes = append(nodes, conv, &onnx.Node{
			Op: "DepthToSpace", Name: n.Name, Inputs: []string{wide}, Outputs: n.Outputs,
			Attributes: []onnx.Attribute{onnx.Attr("blocksize", 2), onnx.Attr("mode", "DCR")},
		})
	}
	g.Nodes = nodes
}

// doubles reports whether a node is a transposed convolution of 2 × 2 with stride 2 and without padding.
func doubles(n *onnx.Node, w *onnx.Tensor) bool {
	two, one := []int64{2, 2}, []int64{1, 1}
	is := func(name string, want, fallback []int64) bool {
		v := n.Ints(name)
		if v == nil {
			v = fallback
		}
		return slices.Equal(v, want)
	}
	return n.Op == "ConvTranspose" && n.Domain == "" && w.Float32s() != nil && len(w.Dims) == 4 &&
		slices.Equal(w.Dims[2:], two) && is("strides", two, one) && is("dilations", one, one) &&
		is("pads", []int64{0, 0, 0, 0}, []int64{0, 0, 0, 0}) && is("output_padding", []int64{0, 0}, []int64{0, 0}) &&
		n.Attribute("output_shape") == nil && n.Int("group", 1) == 1 && slices.Contains([]string{"NOTSET", "VALID"}, n.Text("auto_pad", "NOTSET"))
}

// fresh returns a name that the graph does not have yet, and takes it.
func fresh(names map[string]bool, name string) string {
	for names[name] {
		name += "_"
	}
	names[name] = true
	return name
}

// cropEarlier moves what crops the result to the core before the convolution of one pixel that gives it, which need not compute what is cut
// off.
func cropEarlier(g *onnx.Graph) {
	consumers, names := g.Consumers(), g.Names()
	for i, n := range g.Nodes {
		w := g.Weight(n.Input(1))
		c := consumers[n.Outputs[0]]
		if n.Op != "Conv" || w == nil || len(w.Dims) != 4 || w.Dims[2] != 1 || w.Dims[3] != 1 || len(c) != 1 || c[0].Op != "Slice" || !moves(g, c[0]) ||
			slices.ContainsFunc(n.Ints("pads"), func(p int64) bool { return p != 0 }) || slices.ContainsFunc(n.Ints("strides"), func(s int64) bool { return s != 1 }) ||
			slices.ContainsFunc(g.Outputs, func(v onnx.Value) bool { return v.Name == n.Outputs[0] }) {
			continue
		}
		at := slices.Index(g.Nodes, c[0])
		cropped := fresh(names, n.Input(0)+".core")
		slice, conv := *c[0], *n
		slice.Inputs, slice.Outputs = slices.Concat([]string{n.Input(0)}, c[0].Inputs[1:]), []string{cropped}
		conv.Inputs, conv.Outputs = slices.Concat([]string{cropped}, n.Inputs[1:]), c[0].Outputs
		g.Nodes[i], g.Nodes[at] = &slice, &conv
	}
}

// foldNormalisations makes batch normalisations part of the convolutions before them.
func foldNormalisations(g *onnx.Graph) {
	consumers, names := g.Consumers(), g.Names()
	for _, n := range g.Nodes {
		c := consumers[n.Outputs[0]]
		w := g.Weight(n.Input(1))
		if n.Op != "Conv" || w.Float32s() == nil || len(w.Dims) != 4 || len(c) != 1 || c[0].Op != "BatchNormalization" || len(c[0].Outputs) != 1 || c[0].Int("training_mode", 0) != 0 ||
			n.Input(2) != "" && g.Weight(n.Input(2)).Float32s() == nil || slices.ContainsFunc(g.Outputs, func(v onnx.Value) bool { return v.Name == n.Outputs[0] }) {
			continue
		}
		outs := int(w.Dims[0])
		var of [4][]float32 // factor, summand, mean, variance
		whole := true
		for k := range of {
			of[k] = g.Weight(c[0].Input(1 + k)).Float32s()
			whole = whole && len(of[k]) == outs
		}
		if !whole {
			continue
		}
		values, bias := w.Float32s(), g.Weight(n.Input(2)).Float32s()
		if bias == nil {
			bias = make([]float32, outs)
		}
		for o := range outs {
			by := float64(of[0][o]) / math.Sqrt(float64(of[3][o])+float64(c[0].Float("epsilon", 1e-5)))
			for i := range values[:len(values)/outs] {
				v := &values[o*len(values)/outs+i]
				*v = float32(float64(*v) * by)
			}
			bias[o] = float32((float64(bias[o])-float64(of[2][o]))*by + float64(of[1][o]))
		}
		dims := make([]int, len(w.Dims))
		for i, d := range w.Dims {
			dims[i] = int(d)
		}
		weight, biases := fresh(names, w.Name+".folded"), fresh(names, n.Outputs[0]+".folded_bias")
		g.Weights = append(g.Weights, onnx.FloatTensor(weight, dims, values...), onnx.FloatTensor(biases, []int{outs}, bias...))
		n.Inputs = []string{n.Input(0), weight, biases}
		n.Outputs, c[0].Op = c[0].Outputs, ""
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnx.Node) bool { return n.Op == "" })
}
