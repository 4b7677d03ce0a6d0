package main

import (
	"encoding/binary"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// exportForeign is a program of its own: foreign [-norm] [-input N] FILE KEY=VALUE... writes a network as somebody else's
// framework exports it, floats in planes, with metadata microtome.KEY. It has a 5 × 5 convolution, a pooling and a 3 × 3 one, padded:
// stride 2, and margins of 4. -norm adds an instance normalisation, which sees the whole tile; -input fixes the size.
func exportForeign() {
	norm := flag.Bool("norm", false, "")
	input := flag.Int("input", 0, "")
	flag.Parse()
	g := &foreignGraph{r: rand.New(rand.NewPCG(5, 5))}
	x := g.node("Relu", "", g.conv("image", 3, 6, 5))
	if *norm {
		x = g.node("InstanceNormalization", "norm1", x, g.tensor([]int{6}, ones(6)), g.tensor([]int{6}, make([]float32, 6)))
	}
	x = g.node("MaxPool", "", x, ints("kernel_shape", 2, 2), ints("strides", 2, 2))
	x = g.node("Relu", "", g.conv(x, 6, 6, 3))
	x = g.node("Resize", "", x, "", g.tensor([]int{4}, []float32{1, 1, 2, 2}), text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "floor"))
	g.rename = "out"
	g.conv(x, 6, 2, 1)
	in, out := []int{0, 3, *input, *input}, []int{0, 2, *input, *input}
	g.field(11, valueInfo("image", in))
	g.field(12, valueInfo("out", out))

	model := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 8)
	model = field(model, 7, g.encoded)
	model = field(model, 8, number(nil, 2, 17))
	for _, kv := range flag.Args()[1:] {
		key, value, _ := strings.Cut(kv, "=")
		model = metadata(model, key, value)
	}
	must(os.WriteFile(flag.Arg(0), model, 0o666))
}

// metadata adds to that of an ONNX file.
func metadata(model []byte, key, value string) []byte {
	return field(model, 14, field(field(nil, 1, []byte("microtome."+key)), 2, []byte(value)))
}

// A foreignGraph is a GraphProto in the making. Names are those of the outputs.
type foreignGraph struct {
	r       *rand.Rand
	encoded []byte
	names   int
	rename  string // of the next node's output
}

func (g *foreignGraph) field(n protowire.Number, b []byte) { g.encoded = field(g.encoded, n, b) }

func (g *foreignGraph) name() string {
	g.names++
	return "t" + string(rune('a'+g.names))
}

// node adds a node with inputs (strings) and attributes (bytes).
func (g *foreignGraph) node(op, title string, args ...any) string {
	out := g.name()
	if g.rename != "" {
		out, g.rename = g.rename, ""
	}
	var b []byte
	for _, a := range args {
		switch a := a.(type) {
		case string:
			b = field(b, 1, []byte(a))
		case []byte:
			b = field(b, 5, a)
		}
	}
	g.field(1, field(field(field(b, 2, []byte(out)), 3, []byte(title)), 4, []byte(op)))
	return out
}

// conv adds a padded convolution with random weights.
func (g *foreignGraph) conv(x string, in, out, k int) string {
	w := make([]float32, out*in*k*k)
	for i := range w {
		w[i] = float32(g.r.NormFloat64() * math.Sqrt(2/float64(in*k*k)))
	}
	return g.node("Conv", "", x, g.tensor([]int{out, in, k, k}, w), ints("pads", k/2, k/2, k/2, k/2))
}

func (g *foreignGraph) tensor(dims []int, v []float32) string {
	name := g.name()
	var b, raw []byte
	for _, d := range dims {
		b = number(b, 1, d)
	}
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	g.field(5, field(field(number(b, 2, 1), 8, []byte(name)), 9, raw))
	return name
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

func field(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func number(b []byte, n protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

func ints(name string, v ...int) []byte {
	b := field(nil, 1, []byte(name))
	for _, i := range v {
		b = number(b, 8, i)
	}
	return number(b, 20, 7)
}

func text(name, value string) []byte {
	return number(field(field(nil, 1, []byte(name)), 4, []byte(value)), 20, 3)
}

// valueInfo encodes a ValueInfoProto of floats; a dimension of 0 is free.
func valueInfo(name string, dims []int) []byte {
	var shape []byte
	for _, d := range dims {
		dim := field(nil, 2, []byte("free"))
		if d > 0 {
			dim = number(nil, 1, d)
		}
		shape = field(shape, 1, dim)
	}
	return field(field(nil, 1, []byte(name)), 2, field(nil, 1, field(number(nil, 1, 1), 2, shape)))
}
