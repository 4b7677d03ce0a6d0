package quantize

import (
	"strconv"

	"microtome/unet/onnx"
)

// widths returns, for the values of a network whose tiles are as its metadata says, a number that the width of the value is a multiple of
// whatever the tile; none where nothing is known.
func widths(m *onnx.Model) map[string]int {
	type width struct{ step, rest int } // step · n + rest pixels, for any n
	g := m.Graph
	number := func(key string) int { v, _ := strconv.Atoi(m.Get(key)); return v }
	known := map[string]width{}
	if len(g.Inputs) == 1 {
		known[g.Inputs[0].Name] = width{number("microtome.stride"), number("microtome.before") + number("microtome.after")}
	}
	for _, n := range g.Nodes {
		w, ok := known[n.Input(0)]
		if !ok {
			continue
		}
		switch n.Op {
		case "Transpose", "Cast", "Sub", "Mul", "Relu", "LeakyRelu", "Concat", "Add", "Identity", "BatchNormalization":
		case "Conv", "MaxPool", "AveragePool":
			kernel := n.Ints("kernel_shape")
			if t := g.Weight(n.Input(1)); n.Op == "Conv" && t != nil && len(t.Dims) == 4 {
				kernel = t.Dims[2:]
			}
			stride, pads, dilation := at(n.Ints("strides"), 1, 1), at(n.Ints("pads"), 1, 0)+at(n.Ints("pads"), 3, 0), at(n.Ints("dilations"), 1, 1)
			if len(kernel) != 2 || n.Text("auto_pad", "NOTSET") != "NOTSET" || stride < 1 {
				continue
			}
			w.rest += pads - dilation*(int(kernel[1])-1) - 1
			if w.step%stride != 0 {
				continue
			}
			w = width{w.step / stride, floor(w.rest, stride) + 1}
		case "Slice":
			starts, ends := g.Weight(n.Input(1)).Int64s(), g.Weight(n.Input(2)).Int64s()
			if !moves(g, n) || len(starts) != 2 || len(ends) != 2 || n.Input(4) != "" || starts[1] < 0 || ends[1] >= 0 && ends[1] < 1<<31 {
				continue
			}
			w.rest -= int(starts[1] - min(ends[1], 0))
		case "DepthToSpace":
			block := int(n.Int("blocksize", 1))
			w = width{w.step * block, w.rest * block}
		default:
			continue
		}
		known[n.Outputs[0]] = w
	}
	all := map[string]int{}
	for name, w := range known {
		all[name] = divisor(w.step, w.rest)
	}
	return all
}

func at(list []int64, i, fallback int) int {
	if i >= len(list) {
		return fallback
	}
	return int(list[i])
}

// floor is a divided by b, rounded down.
func floor(a, b int) int {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

// divisor is the greatest that two numbers have in common.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a)
}
