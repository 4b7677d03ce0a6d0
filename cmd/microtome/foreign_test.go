package main

import (
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"

	"microtome/unet/onnx"
)

// exportForeign is a program of its own: foreign [-norm] [-shy] [-thirds] [-input N] FILE KEY=VALUE... writes a network as somebody
// else's framework exports it, floats in planes, with metadata microtome.KEY. It has a 5 × 5 convolution, a pooling and a 3 × 3 one,
// padded: stride 2, and margins of 4. -norm and -shy are as in [hazy], -thirds pools and enlarges by 3, and -input fixes the size.
func exportForeign() {
	norm, shy := flag.Bool("norm", false, ""), flag.Bool("shy", false, "")
	thirds := flag.Bool("thirds", false, "")
	input := flag.Int("input", 0, "")
	flag.Parse()
	by, mode := 2, "nearest"
	if *thirds {
		by, mode = 3, "linear"
	}
	m := &onnx.Model{IR: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{Name: "foreign"}}
	g := m.Graph
	r := rand.New(rand.NewPCG(5, 5))
	x := "image"
	node := func(op string, inputs []string, attributes ...onnx.Attribute) {
		name := op + strconv.Itoa(len(g.Nodes))
		g.Nodes = append(g.Nodes, &onnx.Node{Op: op, Name: name, Inputs: append([]string{x}, inputs...), Outputs: []string{name}, Attributes: attributes})
		x = name
	}
	conv := func(in, out, k int) {
		w := make([]float32, out*in*k*k)
		for i := range w {
			w[i] = float32(r.NormFloat64() * math.Sqrt(2/float64(in*k*k)))
		}
		name := "w" + strconv.Itoa(len(g.Nodes))
		g.Weights = append(g.Weights, onnx.FloatTensor(name, []int{out, in, k, k}, w...))
		node("Conv", []string{name}, onnx.Attr("pads", []int{k / 2, k / 2, k / 2, k / 2}))
	}
	conv(3, 6, 5)
	node("Relu", nil)
	node("MaxPool", nil, onnx.Attr("kernel_shape", []int{by, by}), onnx.Attr("strides", []int{by, by}))
	conv(6, 6, 3)
	node("Relu", nil)
	g.Weights = append(g.Weights, onnx.FloatTensor("scales", []int{4}, 1, 1, float32(by), float32(by)))
	resize := []onnx.Attribute{onnx.Attr("mode", mode)}
	if !*thirds {
		resize = append(resize, onnx.Attr("coordinate_transformation_mode", "asymmetric"), onnx.Attr("nearest_mode", "floor"))
	}
	to := []string{"", "scales"}
	if *input > 0 { // which nobody can make free
		g.Weights = append(g.Weights, onnx.IntTensor("sizes", 1, 6, int64(*input), int64(*input)))
		to = []string{"", "", "sizes"}
	}
	node("Resize", to, resize...)
	conv(6, 2, 1)
	edge := any("free")
	if *input > 0 {
		edge = *input
	}
	g.Inputs = []onnx.Value{onnx.NewValue("image", onnx.Float32, "n", 3, edge, edge)}
	g.Outputs = []onnx.Value{onnx.NewValue(x, onnx.Float32, "n", 2, edge, edge)}
	if *norm || *shy {
		hazy(g, *shy)
	}
	for _, kv := range flag.Args()[1:] {
		key, value, _ := strings.Cut(kv, "=")
		m.Set("microtome."+key, value)
	}
	must(os.WriteFile(flag.Arg(0), m.Encode(), 0o666))
}

// hazy puts an instance normalisation before the first convolution, which sees all of a tile; or, shy, the mean of all of it, which does
// not count.
func hazy(g *onnx.Graph, shy bool) {
	at := slices.IndexFunc(g.Nodes, func(n *onnx.Node) bool { return n.Op == "Conv" })
	conv := g.Nodes[at]
	x := conv.Inputs[0]
	conv.Inputs[0] = "haze"
	haze := []*onnx.Node{{Op: "InstanceNormalization", Name: "norm1", Inputs: []string{x, "one", "none"}, Outputs: []string{"haze"}}}
	g.Weights = append(g.Weights, onnx.FloatTensor("none", []int{3}, 0, 0, 0))
	if shy {
		g.Weights = append(g.Weights, onnx.FloatTensor("nothing", nil, 0))
		haze = []*onnx.Node{
			{Op: "GlobalAveragePool", Name: "mean", Inputs: []string{x}, Outputs: []string{"mean"}},
			{Op: "Mul", Inputs: []string{"mean", "nothing"}, Outputs: []string{"no mean"}},
			{Op: "Add", Inputs: []string{x, "no mean"}, Outputs: []string{"haze"}},
		}
	} else {
		g.Weights = append(g.Weights, onnx.FloatTensor("one", []int{3}, 1, 1, 1))
	}
	g.Nodes = slices.Insert(g.Nodes, at, haze...)
}
