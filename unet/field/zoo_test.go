package field_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	ort "github.com/yalue/onnxruntime_go"
	"pgregory.net/rapid"

	"microtome/internal/shared"
	"microtome/unet/field"
	"microtome/unet/onnx"
)

var startRuntime = sync.OnceValue(func() error {
	ort.SetSharedLibraryPath(os.Getenv("ONNXRUNTIME_LIB"))
	return ort.InitializeEnvironment(ort.WithLogLevelFatal())
})

// runs opens a model on ONNX Runtime.
func runs(t testing.TB, m *onnx.Model, a *field.Analysis) field.Run {
	t.Helper()
	options, err := ort.NewSessionOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer options.Destroy()
	options.SetIntraOpNumThreads(1)
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(m.Encode(), []string{a.In}, []string{a.Out}, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Destroy() })
	return func(w, h int, in []float32) ([]float32, error) {
		dims := make(ort.Shape, len(a.Input))
		last := a.Input[len(a.Input)-1] == 'C'
		for i, letter := range a.Input {
			dims[i] = int64(map[rune]int{'N': 1, 'C': a.Channels, 'H': h, 'W': w}[letter])
		}
		if last {
			in = turned(in, a.Channels, h*w)
		}
		tensor, err := ort.NewTensor(dims, in)
		if err != nil {
			return nil, err
		}
		defer tensor.Destroy()
		outputs := []ort.Value{nil}
		if err := session.Run([]ort.Value{tensor}, outputs); err != nil {
			return nil, err
		}
		defer outputs[0].Destroy()
		var out []float32
		switch o := outputs[0].(type) {
		case *ort.Tensor[float32]:
			out = append(out, o.GetData()...)
		case *ort.Tensor[uint8]:
			for _, v := range o.GetData() {
				out = append(out, float32(v))
			}
		case *ort.Tensor[int64]:
			for _, v := range o.GetData() {
				out = append(out, float32(v))
			}
		default:
			return nil, fmt.Errorf("an output of type %T", o)
		}
		if a.Output[len(a.Output)-1] == 'C' {
			out = turned(out, len(out)/a.OutChannels, a.OutChannels)
		}
		return out, nil
	}
}

// turned returns a matrix of rows × columns with both exchanged.
func turned(v []float32, rows, columns int) []float32 {
	out := make([]float32, len(v))
	for i := range v {
		out[i%columns*rows+i/columns] = v[i]
	}
	return out
}

// A net is a network under construction. Its weights are positive, and those of a pixel sum to about 1, so that nothing on the way to the output
// is dead, swallowed or overflows.
type net struct {
	*onnx.Model
	r        *rand.Rand
	channels map[string]int
}

const image = "image"

func newNet(seed uint64, opset int64, channels int) *net {
	return &net{
		Model: &onnx.Model{IR: 8, Opsets: []onnx.Opset{{Version: opset}}, Graph: &onnx.Graph{
			Name: "net", Inputs: []onnx.Value{onnx.NewValue(image, onnx.Float32, "n", channels, "h", "w")},
		}},
		r: rand.New(rand.NewPCG(seed, 2)), channels: map[string]int{image: channels},
	}
}

// node adds a node whose output has as many channels as its first input.
func (n *net) node(op string, inputs []string, attributes ...onnx.Attribute) string {
	name := fmt.Sprintf("%s_%d", op, len(n.Graph.Nodes))
	n.Graph.Nodes = append(n.Graph.Nodes, &onnx.Node{Op: op, Name: name, Inputs: inputs, Outputs: []string{name}, Attributes: attributes})
	if len(inputs) > 0 {
		n.channels[name] = n.channels[inputs[0]]
	}
	return name
}

func (n *net) ints(v ...int64) string {
	name := fmt.Sprintf("ints_%d", len(n.Graph.Weights))
	n.Graph.Weights = append(n.Graph.Weights, onnx.IntTensor(name, v...))
	return name
}

func (n *net) floats(dims []int, v ...float32) string {
	name := fmt.Sprintf("floats_%d", len(n.Graph.Weights))
	n.Graph.Weights = append(n.Graph.Weights, onnx.FloatTensor(name, dims, v...))
	return name
}

// weights adds positive weights, as many as dims say, of which terms sum to about 1.
func (n *net) weights(terms int, dims ...int) string {
	v := make([]float32, 0, 64)
	for size := dims[0] * dims[1] * dims[2] * dims[3]; len(v) < size; {
		v = append(v, (0.5+n.r.Float32())/float32(terms))
	}
	return n.floats(dims, v...)
}

func (n *net) conv(x string, out, k int, attributes ...onnx.Attribute) string {
	in := n.channels[x]
	y := n.node("Conv", []string{x, n.weights(in*k*k, out, in, k, k)}, attributes...)
	n.channels[y] = out
	return y
}

// same is a convolution that keeps the size.
func (n *net) same(x string, out, k, dilation int) string {
	p := k / 2 * dilation
	return n.conv(x, out, k, onnx.Attr("pads", []int{p, p, p, p}), onnx.Attr("dilations", []int{dilation, dilation}))
}

func (n *net) relu(x string) string { return n.node("Relu", []string{x}) }

func (n *net) concat(x ...string) string {
	y := n.node("Concat", x, onnx.Attr("axis", 1))
	n.channels[y] = 0
	for _, name := range x {
		n.channels[y] += n.channels[name]
	}
	return y
}

func (n *net) pool(op, x string, attributes ...onnx.Attribute) string {
	return n.node(op, []string{x}, append([]onnx.Attribute{onnx.Attr("kernel_shape", []int{2, 2}), onnx.Attr("strides", []int{2, 2})}, attributes...)...)
}

func (n *net) transposed(x string, out, k, stride int, attributes ...onnx.Attribute) string {
	in := n.channels[x]
	y := n.node("ConvTranspose", []string{x, n.weights(in, in, out, k, k)}, append(attributes, onnx.Attr("strides", []int{stride, stride}))...)
	n.channels[y] = out
	return y
}

func (n *net) resize(x string, factor float32, attributes ...onnx.Attribute) string {
	return n.node("Resize", []string{x, "", n.floats([]int{4}, 1, 1, factor, factor)}, attributes...)
}

// done names the output.
func (n *net) done(x string) *onnx.Model {
	n.Graph.Outputs = []onnx.Value{{Name: x, Type: onnx.Float32}}
	return n.Model
}

// A plan is a U-Net that the zoo grows.
type plan struct {
	depth    int
	block    func(n *net, x string, width int) string // keeps the size, or takes off as much as valid says
	down     func(n *net, x string) string            // halves it
	up       func(n *net, x, skip string) string      // doubles it
	join     func(n *net, x, skip string) string
	opset    int64
	channels int
}

func (p plan) build(seed uint64) *onnx.Model {
	n := newNet(seed, p.opset, p.channels)
	x := image
	var skips []string
	for range p.depth {
		x = p.block(n, x, 2)
		skips = append(skips, x)
		x = p.down(n, x)
	}
	x = p.block(n, x, 2)
	for level := p.depth - 1; level >= 0; level-- {
		x = p.block(n, p.join(n, p.up(n, x, skips[level]), skips[level]), 2)
	}
	return n.done(n.conv(x, 2, 1))
}

var blocks = map[string]func(n *net, x string, width int) string{
	"plain":   func(n *net, x string, w int) string { return n.relu(n.same(n.relu(n.same(x, w, 3, 1)), w, 3, 1)) },
	"one":     func(n *net, x string, w int) string { return n.relu(n.same(x, w, 3, 1)) },
	"five":    func(n *net, x string, w int) string { return n.relu(n.same(x, w, 5, 1)) },
	"dilated": func(n *net, x string, w int) string { return n.relu(n.same(n.same(x, w, 3, 2), w, 3, 3)) },
	"residual": func(n *net, x string, w int) string {
		return n.relu(n.node("Add", []string{n.same(n.relu(n.same(x, w, 3, 1)), w, 3, 1), n.conv(x, w, 1)}))
	},
	"uneven": func(n *net, x string, w int) string {
		return n.relu(n.conv(x, w, 3, onnx.Attr("pads", []int{2, 2, 0, 0})))
	},
	"late": func(n *net, x string, w int) string {
		return n.relu(n.conv(x, w, 3, onnx.Attr("pads", []int{0, 0, 2, 2})))
	},
	"upper": func(n *net, x string, w int) string {
		return n.relu(n.conv(x, w, 4, onnx.Attr("auto_pad", "SAME_UPPER")))
	},
	"lower": func(n *net, x string, w int) string {
		return n.relu(n.conv(x, w, 4, onnx.Attr("auto_pad", "SAME_LOWER")))
	},
	"normed": func(n *net, x string, w int) string {
		x = n.same(x, w, 3, 1)
		half, unit := n.floats([]int{w}, .5, .5), n.floats([]int{w}, 1, 1)
		return n.node("LeakyRelu", []string{n.node("BatchNormalization", []string{x, unit, half, half, unit})})
	},
	"mirrored": func(n *net, x string, w int) string {
		return n.relu(n.conv(n.node("Pad", []string{x, n.ints(0, 0, 1, 1, 0, 0, 1, 1)}, onnx.Attr("mode", "reflect")), w, 3))
	},
	"padded by hand": func(n *net, x string, w int) string { // wrapped around, as torch's circular padding is exported
		for axis := int64(2); axis < 4; axis++ {
			first := n.node("Slice", []string{x, n.ints(0), n.ints(1), n.ints(axis)})
			last := n.node("Slice", []string{x, n.ints(-1), n.ints(1 << 62), n.ints(axis)})
			c := n.channels[x]
			x = n.node("Concat", []string{last, x, first}, onnx.Attr("axis", int(axis)))
			n.channels[x] = c
		}
		return n.relu(n.conv(x, w, 3))
	},
	"separable": func(n *net, x string, w int) string {
		c := n.channels[x]
		y := n.node("Conv", []string{x, n.weights(9, c, 1, 3, 3)}, onnx.Attr("group", c), onnx.Attr("pads", []int{1, 1, 1, 1}))
		return n.relu(n.conv(y, w, 1))
	},
	"softmax": func(n *net, x string, w int) string {
		return n.node("Softmax", []string{n.same(x, w, 3, 1)}, onnx.Attr("axis", 1))
	},
}

var downs = map[string]func(n *net, x string) string{
	"max":     func(n *net, x string) string { return n.pool("MaxPool", x) },
	"average": func(n *net, x string) string { return n.pool("AveragePool", x) },
	"wide": func(n *net, x string) string {
		return n.node("MaxPool", []string{x}, onnx.Attr("kernel_shape", []int{3, 3}), onnx.Attr("strides", []int{2, 2}), onnx.Attr("pads", []int{1, 1, 1, 1}))
	},
	"ceil": func(n *net, x string) string { return n.pool("MaxPool", x, onnx.Attr("ceil_mode", 1)) },
	"strided": func(n *net, x string) string {
		return n.conv(x, 2, 3, onnx.Attr("strides", []int{2, 2}), onnx.Attr("pads", []int{1, 1, 1, 1}))
	},
	"patch": func(n *net, x string) string { return n.conv(x, 2, 2, onnx.Attr("strides", []int{2, 2})) },
	"mean": func(n *net, x string) string {
		return n.node("AveragePool", []string{x}, onnx.Attr("kernel_shape", []int{3, 3}), onnx.Attr("strides", []int{2, 2}), onnx.Attr("pads", []int{1, 1, 1, 1}), onnx.Attr("count_include_pad", 0))
	},
	"depth": func(n *net, x string) string {
		c := n.channels[x]
		x = n.node("SpaceToDepth", []string{x}, onnx.Attr("blocksize", 2))
		n.channels[x] = 4 * c
		return n.conv(x, 2, 1)
	},
	"every second": func(n *net, x string) string {
		return n.node("Slice", []string{x, n.ints(0, 0), n.ints(1<<62, 1<<62), n.ints(2, 3), n.ints(2, 2)})
	},
	"linear": func(n *net, x string) string { return n.resize(x, .5, onnx.Attr("mode", "linear")) },
}

var ups = map[string]func(n *net, x, skip string) string{
	"transposed": func(n *net, x, _ string) string { return n.transposed(x, 2, 2, 2) },
	"transposed 3": func(n *net, x, _ string) string {
		return n.transposed(x, 2, 3, 2, onnx.Attr("pads", []int{1, 1, 1, 1}), onnx.Attr("output_padding", []int{1, 1}))
	},
	"transposed 4": func(n *net, x, _ string) string {
		return n.transposed(x, 2, 4, 2, onnx.Attr("pads", []int{1, 1, 1, 1}))
	},
	"transposed auto": func(n *net, x, _ string) string { return n.transposed(x, 2, 3, 2, onnx.Attr("auto_pad", "SAME_UPPER")) },
	"pixel shuffle": func(n *net, x, _ string) string {
		x = n.node("DepthToSpace", []string{n.conv(x, 8, 1)}, onnx.Attr("blocksize", 2), onnx.Attr("mode", "CRD"))
		n.channels[x] = 2
		return x
	},
	"pixel shuffle by hand": func(n *net, x, _ string) string { // as torch exports it below opset 11, with sizes from the shape
		x = n.conv(x, 8, 1)
		size := n.node("Shape", []string{x})
		h, w := n.node("Gather", []string{size, n.ints(2)}), n.node("Gather", []string{size, n.ints(3)})
		six := n.node("Concat", []string{n.ints(1, 2, 2, 2), h, w}, onnx.Attr("axis", 0))
		four := n.node("Concat", []string{n.ints(1, 2), n.node("Mul", []string{h, n.ints(2)}), n.node("Mul", []string{w, n.ints(2)})}, onnx.Attr("axis", 0))
		y := n.node("Reshape", []string{n.node("Transpose", []string{n.node("Reshape", []string{x, six})}, onnx.Attr("perm", []int{0, 1, 4, 2, 5, 3})), four})
		n.channels[y] = 2
		return y
	},
	"to the skip's size": func(n *net, x, skip string) string { // as torch's interpolate is exported with size=
		size := n.node("Slice", []string{n.node("Shape", []string{skip}), n.ints(2), n.ints(4), n.ints(0)})
		own := n.node("Slice", []string{n.node("Shape", []string{x}), n.ints(0), n.ints(2), n.ints(0)})
		return n.node("Resize", []string{x, "", "", n.node("Concat", []string{own, size}, onnx.Attr("axis", 0))}, onnx.Attr("mode", "linear"), onnx.Attr("coordinate_transformation_mode", "pytorch_half_pixel"))
	},
}

var joins = map[string]func(n *net, x, skip string) string{
	"concat": func(n *net, x, skip string) string { return n.concat(skip, x) },
	"add":    func(n *net, x, skip string) string { return n.node("Add", []string{x, skip}) },
	"attention gate": func(n *net, x, skip string) string {
		q := n.relu(n.node("Add", []string{n.conv(x, 2, 1), n.conv(skip, 2, 1)}))
		gate := n.node("Sigmoid", []string{n.conv(q, 1, 1)})
		return n.concat(n.node("Mul", []string{skip, gate}), x)
	},
}

// Every mode of Resize that doubles is a way up.
func init() { //nolint:gochecknoinits // a table
	for _, coordinates := range []string{"half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric"} {
		for _, mode := range []string{"linear", "cubic"} {
			ups[mode+" "+coordinates] = func(n *net, x, _ string) string {
				return n.resize(x, 2, onnx.Attr("mode", mode), onnx.Attr("coordinate_transformation_mode", coordinates))
			}
		}
		for _, rounding := range []string{"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"} {
			ups["nearest "+coordinates+" "+rounding] = func(n *net, x, _ string) string {
				return n.resize(x, 2, onnx.Attr("mode", "nearest"), onnx.Attr("coordinate_transformation_mode", coordinates), onnx.Attr("nearest_mode", rounding))
			}
		}
	}
}

// agree checks that analysis and probing find the same. slack is how much larger than a stride a margin may be beyond what matters, px.
func agree(t testing.TB, m *onnx.Model, slack int) (*field.Analysis, *field.Probed) {
	t.Helper()
	a, err := field.Analyse(m, "", "")
	if err != nil {
		t.Fatal(err)
	}
	core := max(2*a.Stride, 4)
	if a.Fixed > 0 {
		core = a.Fixed - a.Before - a.After
	}
	p, err := a.Probe(core, runs(t, m, a), 3)
	if err != nil {
		t.Fatalf("%v: %+v", err, *a)
	}
	if a.Unbounded != "" {
		if p.Differ == 0 {
			t.Errorf("bounded, but the analysis says %s: %+v, %+v", a.Unbounded, *a, *p)
		}
		return a, p
	}
	if p.Differ > 0 && (a.Rounding == "" || p.Deviation > 1e-6) {
		t.Errorf("seams: %d of %d values, by up to %.2g: %+v", p.Differ, p.Compared, p.Deviation, *a)
	}
	if max(a.Before-p.Left, a.Before-p.Top, a.After-p.Right, a.After-p.Bottom) >= a.Stride+slack || a.Tight(p) == (slack > 0) {
		t.Errorf("margins of %d and %d, stride %d, but only %+v matters", a.Before, a.After, a.Stride, *p)
	}
	return a, p
}

func needRuntime(t testing.TB) {
	shared.Runtime(t, func() error { return startRuntime() })
}

var standard = plan{2, blocks["plain"], downs["max"], ups["transposed"], joins["concat"], 18, 1}

// Each part of the zoo in a U-Net that is plain but for it.
func TestZoo(t *testing.T) {
	needRuntime(t)
	slack := map[string]int{"cubic asymmetric": 4} // its windows do not all move to the right: every second one is a single pixel
	try := func(name string, p plan) {
		t.Run(name, func(t *testing.T) {
			_, part := path.Split(name)
			a, probed := agree(t, p.build(5), slack[part])
			t.Logf("%d + %d, stride %d %s; %+v", a.Before, a.After, a.Stride, a.Unbounded, *probed)
			if a.Unbounded != "" {
				t.Error("it is bounded")
			}
		})
	}
	for name, block := range blocks {
		p := standard
		p.block = block
		try("block/"+name, p)
	}
	for name, down := range downs {
		p := standard
		p.down = down
		try("down/"+name, p)
	}
	for name, up := range ups {
		p := standard
		p.up = up
		try("up/"+name, p)
	}
	for name, join := range joins {
		p := standard
		p.join = join
		try("join/"+name, p)
	}
}

// Any parts of the zoo in any order, another at each level.
func TestRandomNets(t *testing.T) {
	needRuntime(t)
	rapid.Check(t, func(r *rapid.T) {
		shy := false // whether something saturates, so that a change may be swallowed
		p := plan{depth: rapid.IntRange(1, 3).Draw(r, "depth"), opset: 18, channels: rapid.SampledFrom([]int{1, 3}).Draw(r, "channels")}
		p.block = func(n *net, x string, w int) string { return drawn(r, "block", blocks, &shy)(n, x, w) }
		p.down = func(n *net, x string) string { return drawn(r, "down", downs, &shy)(n, x) }
		p.up = func(n *net, x, skip string) string { return drawn(r, "up", ups, &shy)(n, x, skip) }
		p.join = func(n *net, x, skip string) string { return drawn(r, "join", joins, &shy)(n, x, skip) }
		m := p.build(rapid.Uint64().Draw(r, "seed"))
		a, err := field.Analyse(m, "", "")
		if err != nil {
			r.Fatal(err)
		}
		probed, err := a.Probe(2*a.Stride, runs(t, m, a), 7)
		if err != nil {
			r.Fatal(err)
		}
		if a.Unbounded != "" || probed.Differ > 0 {
			r.Errorf("seams, or not bounded: %+v, %+v", *a, *probed)
		}
		if !a.Tight(probed) && !shy {
			r.Errorf("margins of %d and %d, stride %d, but only %+v matters", a.Before, a.After, a.Stride, *probed)
		}
	})
}

// drawn picks a part of the zoo, but for the one that is not tight by itself.
func drawn[F any](r *rapid.T, what string, from map[string]F, shy *bool) F {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(from)), func(name string) bool { return name == "cubic asymmetric" })
	name := rapid.SampledFrom(names).Draw(r, what)
	*shy = *shy || name == "softmax" || name == "attention gate"
	return from[name]
}

// whole are networks that are no U-Net of parts. The expected margins are worked out by hand.
var whole = map[string]struct {
	build                 func() *onnx.Model
	stride, before, after int
	unbounded             string // a part of the reason
	slack                 int
}{
	"pixel by pixel": {func() *onnx.Model {
		n := newNet(1, 17, 3)
		return n.done(n.node("Sigmoid", []string{n.conv(image, 2, 1)}))
	}, 1, 0, 0, "", 0},
	"unpadded": {func() *onnx.Model { n := newNet(1, 17, 3); return n.done(n.conv(n.conv(image, 2, 3), 2, 5)) }, 1, 3, 3, "", 0},
	"unpadded, cropped by size": {func() *onnx.Model { // a U-Net of depth 2 as torch exports center_crop
		n := newNet(1, 17, 1)
		p := standard
		a := n.conv(n.conv(image, 2, 3), 2, 3)
		b := n.conv(n.conv(p.down(n, a), 2, 3), 2, 3)
		x := n.conv(n.conv(p.down(n, b), 2, 3), 2, 3)
		x = n.transposed(x, 2, 2, 2)
		x = n.conv(n.conv(n.concat(n.centre(b, x), x), 2, 3), 2, 3)
		x = n.transposed(x, 2, 2, 2)
		return n.done(n.conv(n.conv(n.concat(n.centre(a, x), x), 2, 3), 2, 3))
	}, 4, 20, 20, "", 0},
	"padded to fit": {func() *onnx.Model { // F.pad of what is upsampled to the skip's size
		n := newNet(1, 17, 1)
		skip := n.same(image, 2, 3, 1)
		x := n.transposed(standard.down(n, skip), 2, 2, 2)
		return n.done(n.same(n.concat(skip, n.padTo(x, skip)), 2, 3, 1))
	}, 2, 4, 3, "", 0}, // tiles of an odd edge fit too
	"NHWC": {func() *onnx.Model { // as tf2onnx writes it
		n := newNet(1, 17, 3)
		n.Graph.Inputs = []onnx.Value{onnx.NewValue(image, onnx.Float32, "n", "h", "w", 3)}
		x := n.node("Transpose", []string{image}, onnx.Attr("perm", []int{0, 3, 1, 2}))
		x = n.conv(x, 4, 3, onnx.Attr("auto_pad", "SAME_UPPER"), onnx.Attr("strides", []int{2, 2}))
		x = n.transposed(x, 4, 2, 2, onnx.Attr("auto_pad", "SAME_UPPER"))
		x = n.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 2, 3, 1}))
		return n.done(n.node("Softmax", []string{x}, onnx.Attr("axis", -1)))
	}, 2, 0, 2, "", 0},
	"dense layer of pixels": {func() *onnx.Model {
		n := newNet(1, 17, 3)
		x := n.node("Transpose", []string{n.same(image, 4, 3, 1)}, onnx.Attr("perm", []int{0, 2, 3, 1}))
		x = n.node("LayerNormalization", []string{x, n.floats([]int{4}, 1, 1.5, 2, 2.5)})
		x = n.node("MatMul", []string{x, n.floats([]int{4, 2}, 1, 2, 3, 4, 5, 6, 7, 9)})
		return n.done(n.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 3, 1, 2})))
	}, 1, 1, 1, "", 0},
	"softmax of a list of pixels": {func() *onnx.Model { // as Keras' U-Nets of 2016
		n := newNet(1, 17, 1)
		x := n.same(image, 2, 3, 1)
		size := n.node("Shape", []string{x})
		x = n.node("Reshape", []string{x, n.ints(0, 2, -1)})
		x = n.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 2, 1}))
		x = n.node("Softmax", []string{x}, onnx.Attr("axis", 2))
		x = n.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 2, 1}))
		return n.done(n.node("Reshape", []string{x, size}))
	}, 1, 1, 1, "", 0},
	"argmax": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		x := n.node("Mul", []string{n.same(image, 2, 3, 1), n.floats([]int{1, 2, 1, 1}, 1, -1)})
		x = n.node("Add", []string{x, n.floats([]int{1, 2, 1, 1}, -5, 5)})
		m := n.done(n.node("ArgMax", []string{x}, onnx.Attr("axis", 1), onnx.Attr("keepdims", 0)))
		m.Graph.Outputs[0].Type = onnx.Int64
		return m
	}, 1, 1, 1, "", 0},
	"opset 9 Upsample": {func() *onnx.Model {
		n := newNet(1, 9, 1)
		x := n.node("Upsample", []string{standard.down(n, n.same(image, 1, 3, 1)), n.floats([]int{4}, 1, 1, 2, 2)}, onnx.Attr("mode", "linear"))
		return n.done(n.node("Add", []string{x, image}))
	}, 2, 2, 4, "", 0}, // the last pixel takes half of the next block of 2, whose convolution sees 1 more: 3, to a whole stride
	"thirds": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		x := n.conv(image, 2, 3, onnx.Attr("strides", []int{3, 3}))
		return n.done(n.resize(x, 3, onnx.Attr("mode", "linear")))
	}, 3, 3, 3, "", 0},
	"nearest thirds": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		return n.done(n.same(n.resize(n.conv(image, 2, 3, onnx.Attr("strides", []int{3, 3})), 3), 2, 3, 1))
	}, 3, 3, 3, "", 0},
	"fixed size": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		n.Graph.Inputs = []onnx.Value{onnx.NewValue(image, onnx.Float32, 1, 1, 64, 64)}
		x := n.transposed(standard.down(n, n.same(image, 2, 3, 1)), 2, 2, 2)
		return n.done(n.same(n.node("Reshape", []string{x, n.ints(1, 2, 64, 64)}), 2, 3, 1))
	}, 2, 4, 4, "", 0},
	"quantised": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		scale, zero := n.floats(nil, 1e-2), "zero"
		n.Graph.Weights = append(n.Graph.Weights, onnx.NewTensor(zero, onnx.Uint8, nil, []byte{3}))
		x := n.node("QuantizeLinear", []string{n.same(image, 2, 3, 1), scale, zero})
		return n.done(n.same(n.node("DequantizeLinear", []string{x, scale, zero}), 2, 3, 1))
	}, 1, 2, 2, "", 0},

	"squeeze and excite": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		x := n.same(image, 2, 3, 1)
		g := n.node("Sigmoid", []string{n.conv(n.node("GlobalAveragePool", []string{x}), 2, 1)})
		return n.done(n.node("Mul", []string{x, g}))
	}, 1, 1, 1, `"GlobalAveragePool_1" (GlobalAveragePool) pools the whole image`, 0},
	"squeeze by mean": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		x := n.same(image, 2, 3, 1)
		return n.done(n.node("Sub", []string{x, n.node("ReduceMean", []string{x}, onnx.Attr("axes", []int{2, 3}))}))
	}, 1, 1, 1, "ReduceMean) takes together all", 0},
	"instance normalisation": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		unit := n.floats([]int{2}, 1, 1)
		return n.done(n.same(n.node("InstanceNormalization", []string{n.same(image, 2, 3, 1), unit, unit}), 2, 3, 1))
	}, 1, 2, 2, "normalises by mean and variance of the whole image", 0},
	"group normalisation by reshaping": {func() *onnx.Model { // as torch exports it
		n := newNet(1, 17, 1)
		x := n.same(image, 2, 3, 1)
		y := n.node("InstanceNormalization", []string{n.node("Reshape", []string{x, n.ints(0, 1, -1)}), n.floats([]int{1}, 1), n.floats([]int{1}, 0)})
		y = n.node("Reshape", []string{y, n.node("Shape", []string{x})})
		n.channels[y] = 2
		return n.done(n.same(n.node("Mul", []string{y, n.floats([]int{2, 1, 1}, 1, 2)}), 2, 3, 1))
	}, 1, 2, 2, "(InstanceNormalization)", 0},
	"attention": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		x := n.same(image, 2, 3, 1)
		flat := n.node("Reshape", []string{x, n.ints(0, 2, -1)})
		turned := n.node("Transpose", []string{flat}, onnx.Attr("perm", []int{0, 2, 1}))
		weights := n.node("Softmax", []string{n.node("MatMul", []string{turned, flat})}, onnx.Attr("axis", -1))
		y := n.node("Reshape", []string{n.node("MatMul", []string{flat, weights}), n.node("Shape", []string{x})})
		return n.done(n.node("Add", []string{x, y}))
	}, 1, 1, 1, "(MatMul) relates each pixel to all others", 0},
	"softmax over the image": {func() *onnx.Model { // before opset 13 Softmax takes this axis and all that follow
		n := newNet(1, 11, 1)
		return n.done(n.node("Softmax", []string{n.same(image, 2, 3, 1)}, onnx.Attr("axis", 1)))
	}, 1, 1, 1, "(Softmax) takes together", 0},
	"align corners": {func() *onnx.Model {
		n := newNet(1, 17, 1)
		return n.done(n.resize(standard.down(n, n.same(image, 2, 3, 1)), 2, onnx.Attr("mode", "linear"), onnx.Attr("coordinate_transformation_mode", "align_corners")))
	}, 2, 4, 3, "align_corners", 0},
}

// centre crops to the middle, as long as another, by sizes that the graph computes.
func (n *net) centre(x, like string) string {
	var starts, ends []string
	for axis := int64(2); axis < 4; axis++ {
		own := n.node("Gather", []string{n.node("Shape", []string{x}), n.ints(axis)})
		other := n.node("Gather", []string{n.node("Shape", []string{like}), n.ints(axis)})
		start := n.node("Div", []string{n.node("Sub", []string{own, other}), n.ints(2)})
		starts, ends = append(starts, start), append(ends, n.node("Add", []string{start, other}))
	}
	c := n.channels[x]
	y := n.node("Slice", []string{x, n.node("Concat", starts, onnx.Attr("axis", 0)), n.node("Concat", ends, onnx.Attr("axis", 0)), n.ints(2, 3)})
	n.channels[y] = c
	return y
}

// padTo pads to the right and below until x is as large as another.
func (n *net) padTo(x, like string) string {
	missing := n.node("Sub", []string{n.node("Shape", []string{like}), n.node("Shape", []string{x})})
	pads := n.node("Concat", []string{n.ints(0, 0, 0, 0), n.ints(0, 0), n.node("Slice", []string{missing, n.ints(2), n.ints(4)})}, onnx.Attr("axis", 0))
	return n.node("Pad", []string{x, pads})
}

func TestWholeNets(t *testing.T) {
	needRuntime(t)
	for name, c := range whole {
		t.Run(name, func(t *testing.T) {
			a, probed := agree(t, c.build(), c.slack)
			t.Logf("%+v; %+v", *a, *probed)
			if a.Stride != c.stride || a.Before != c.before || a.After != c.after {
				t.Errorf("stride %d, %d + %d, want %d, %d + %d", a.Stride, a.Before, a.After, c.stride, c.before, c.after)
			}
			if !strings.Contains(a.Unbounded, c.unbounded) || (a.Unbounded == "") != (c.unbounded == "") {
				t.Errorf("unbounded %q, want %q", a.Unbounded, c.unbounded)
			}
		})
	}
}
