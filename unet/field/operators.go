package field

import (
	"fmt"
	"math"
	"slices"

	"microtome/unet/onnx"
)

// An operator is how a value goes through a node: its shape, its elements where they are known, and its clean pixels.
type operator struct {
	least int // inputs that must be there
	rule  func(c *call) ([]*value, error)
}

// operators are those of ONNX, opset 7 to 25, that networks on images use.
var operators = map[string]operator{
	"Conv": {2, conv}, "QLinearConv": {8, qlinearConv}, "ConvInteger": {2, convInteger}, "ConvTranspose": {2, convTranspose},
	"MaxPool": {1, pool}, "AveragePool": {1, pool}, "LpPool": {1, pool},
	"Resize": {1, resize}, "Upsample": {1, resize}, "DepthToSpace": {1, depthToSpace}, "SpaceToDepth": {1, spaceToDepth},
	"Pad": {1, pad}, "Slice": {1, slice}, "Split": {1, split}, "Concat": {1, concat},
	"Transpose": {1, transpose}, "Reshape": {1, reshape}, "Flatten": {1, flatten}, "Squeeze": {1, squeeze}, "Unsqueeze": {1, unsqueeze},
	"Expand": {2, expand}, "Tile": {2, tile}, "Gather": {2, gather}, "OneHot": {3, oneHot},

	"Constant": {0, constantNode}, "ConstantOfShape": {1, constantOfShape}, "Shape": {1, shape}, "Size": {1, size}, "Range": {3, rangeOf},

	"Softmax": {1, softmax}, "LogSoftmax": {1, softmax}, "Hardmax": {1, softmax}, "LpNormalization": {1, lpNormalization},
	"CumSum": {2, cumSum}, "ArgMax": {1, arg}, "ArgMin": {1, arg}, "TopK": {1, topK},
	"GlobalAveragePool": {1, global}, "GlobalMaxPool": {1, global}, "GlobalLpPool": {1, global},
	"BatchNormalization": {5, batchNormalization}, "InstanceNormalization": {3, instanceNormalization}, "GroupNormalization": {3, instanceNormalization},
	"MeanVarianceNormalization": {1, meanVariance}, "LayerNormalization": {2, layerNormalization}, "RMSNormalization": {2, layerNormalization},
	"MatMul": {2, matMul}, "MatMulInteger": {2, matMul}, "QLinearMatMul": {8, matMul}, "Gemm": {2, gemm}, "Einsum": {1, einsum},
	"LSTM": {3, recurrent}, "GRU": {3, recurrent}, "RNN": {3, recurrent}, "Attention": {3, attention},
	"QuantizeLinear": {2, quantize}, "DequantizeLinear": {2, dequantize}, "DynamicQuantizeLinear": {1, dynamicQuantize}, "Dropout": {1, dropout},
	"GridSample": {2, warps}, "RoiAlign": {1, warps}, "MaxUnpool": {1, warps}, "AffineGrid": {1, warps},
	"GatherElements": {1, warps}, "GatherND": {1, warps}, "ScatterElements": {1, warps}, "ScatterND": {1, warps}, "NonZero": {1, warps}, "Compress": {1, warps},
	"DeformConv": {3, warps},
}

// pixelwise are the operators that make an element of one element of each input.
var pixelwise = map[string]int{
	"Relu": 1, "LeakyRelu": 1, "Elu": 1, "Selu": 1, "Celu": 1, "ThresholdedRelu": 1, "Sigmoid": 1, "HardSigmoid": 1, "HardSwish": 1, "Swish": 1, "Mish": 1,
	"Softplus": 1, "Softsign": 1, "Gelu": 1, "Tanh": 1, "Erf": 1, "Exp": 1, "Log": 1, "Sqrt": 1, "Reciprocal": 1, "Abs": 1, "Neg": 1, "Sign": 1, "Floor": 1,
	"Ceil": 1, "Round": 1, "Sin": 1, "Cos": 1, "Tan": 1, "Asin": 1, "Acos": 1, "Atan": 1, "Sinh": 1, "Cosh": 1, "Asinh": 1, "Acosh": 1, "Atanh": 1,
	"Not": 1, "BitwiseNot": 1, "Identity": 1, "Cast": 1, "CastLike": 2, "Clip": 1, "IsNaN": 1, "IsInf": 1, "Shrink": 1, "LRN": 1,
	"Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Pow": 2, "Mod": 2, "Min": 1, "Max": 1, "Sum": 1, "Mean": 1, "And": 2, "Or": 2, "Xor": 2, "BitShift": 2,
	"BitwiseAnd": 2, "BitwiseOr": 2, "BitwiseXor": 2, "Equal": 2, "Greater": 2, "GreaterOrEqual": 2, "Less": 2, "LessOrEqual": 2, "Where": 3, "PRelu": 2,
}

var reduceNames = []string{"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"}

// lookup returns the operator of a name.
func lookup(name string) (operator, bool) {
	if op, ok := operators[name]; ok {
		return op, true
	}
	if least, ok := pixelwise[name]; ok {
		return operator{least, elementwise}, true
	}
	return operator{1, reduce}, slices.Contains(reduceNames, name)
}

// kindOf returns the type of what an elementwise operator gives.
func (c *call) kindOf() int64 {
	switch c.node.Op {
	case "Not", "And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "IsNaN", "IsInf":
		return onnx.Bool
	case "Cast":
		return c.node.Int("to", onnx.Float32)
	case "Where", "CastLike":
		return c.in[1].kind
	}
	return c.in[0].kind
}

func elementwise(c *call) ([]*value, error) {
	in := c.in
	switch c.node.Op {
	case "Clip", "CastLike":
		in = in[:1] // the others are bounds, or an example of a type
	}
	dims, err := broadcast(in...)
	if err != nil {
		return nil, err
	}
	out, err := c.join(dims, in...)
	if err != nil {
		return nil, err
	}
	out.kind = c.kindOf()
	f := arithmetic[c.node.Op]
	if c.node.Op == "Mod" {
		f = modulo(c.node.Int("fmod", 0) != 0)
	}
	if f != nil && !out.image {
		out.data = compute(f, dims, in)
		if c.node.Op == "Div" || c.node.Op == "Cast" {
			out.round()
		}
	}
	return []*value{out}, nil
}

// round drops the fractions of elements whose type has none.
func (v *value) round() {
	if !wholeNumbers(v.kind) {
		return
	}
	for i, f := range v.data {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			v.data = nil
			return
		}
		v.data[i] = math.Trunc(f)
	}
}

func reduce(c *call) ([]*value, error) {
	in := c.in[0]
	axes, given, err := c.axes(1)
	if err != nil {
		return nil, err
	}
	if !given {
		if c.node.Int("noop_with_empty_axes", 0) != 0 {
			return []*value{in}, nil
		}
		for i := range in.dims {
			axes = append(axes, i)
		}
	}
	out := c.reduced(axes, c.node.Int("keepdims", 1) != 0)
	if f := reductions[c.node.Op]; f != nil && in.all() != nil && len(axes) == len(in.dims) && in.size() > 0 {
		out.data = []float64{f(in.all())}
		out.round()
	}
	return []*value{out}, nil
}

// reduced returns the first input with one element along each of the axes, or without these.
func (c *call) reduced(axes []int, keep bool) *value {
	in := c.in[0]
	var dims, kept []int
	for i, d := range in.dims {
		if slices.Contains(axes, i) {
			d = 1
			if !keep {
				continue
			}
		}
		dims, kept = append(dims, d), append(kept, i)
	}
	where := func(axis int) int { return slices.Index(kept, axis) }
	for _, a := range axes {
		if in.holds(a) || in.image && !in.spatial() {
			return lose(c.spread(in, "takes together all of the image's pixels")).rearranged(dims, where)
		}
	}
	return in.rearranged(dims, where)
}

func arg(c *call) ([]*value, error) {
	a, err := c.axis(0, c.rank())
	if err != nil {
		return nil, err
	}
	out := c.reduced([]int{a}, c.node.Int("keepdims", 1) != 0)
	out.kind = onnx.Int64
	return []*value{out}, nil
}

func topK(c *call) ([]*value, error) {
	a, err := c.axis(-1, c.rank())
	if err != nil {
		return nil, err
	}
	k, given, err := c.list("k", 1)
	if err != nil || !given || len(k) != 1 {
		return nil, refuse("how many it takes cannot be followed")
	}
	out := c.across([]int{a}, "sorts all of the image's pixels").with(resized(c.in[0].dims, a, k[0]))
	which := *out
	which.kind = onnx.Int64
	return []*value{out, &which}, nil
}

// across returns the first input as an operator leaves it whose output takes together all elements along axes.
func (c *call) across(axes []int, why string) *value {
	in := c.in[0]
	for _, a := range axes {
		if in.holds(a) {
			return c.spread(in, why)
		}
	}
	return in.with(in.dims)
}

func softmax(c *call) ([]*value, error) {
	fallback := int64(-1)
	if c.graph.opset < 13 {
		fallback = 1
	}
	a, err := c.axis(fallback, c.rank())
	if err != nil {
		return nil, err
	}
	axes := []int{a}
	if c.graph.opset < 13 { // over this axis and all that follow
		for a++; a < c.rank(); a++ {
			axes = append(axes, a)
		}
	}
	return []*value{c.across(axes, "takes together all of the image's pixels")}, nil
}

func lpNormalization(c *call) ([]*value, error) {
	a, err := c.axis(-1, c.rank())
	return []*value{c.across([]int{a}, "normalises by all of the image's pixels")}, err
}

func cumSum(c *call) ([]*value, error) {
	list := c.in[1].wholes()
	if len(list) != 1 {
		return nil, refuse("its axis cannot be followed")
	}
	a, err := axisOf(list[0], c.rank())
	return []*value{c.across([]int{a}, "sums from the image's edge on")}, err
}

func batchNormalization(c *call) ([]*value, error) {
	in := c.in[0]
	if c.node.Int("training_mode", 0) != 0 {
		in = c.spread(in, "normalises by the mean of what it sees: export the model in evaluation mode")
	}
	out := in.with(in.dims)
	return []*value{out, c.in[1], c.in[2], c.in[3], c.in[4]}, nil
}

func instanceNormalization(c *call) ([]*value, error) {
	return []*value{c.spread(c.in[0], "normalises by mean and variance of the whole image").with(c.in[0].dims)}, nil
}

func meanVariance(c *call) ([]*value, error) {
	axes, given, err := c.axes(len(c.in))
	if err != nil {
		return nil, err
	}
	if !given {
		axes = []int{0, 2, 3}
	}
	return []*value{c.across(axes, "normalises by mean and variance of the whole image")}, nil
}

func layerNormalization(c *call) ([]*value, error) {
	a, err := c.axis(-1, c.rank())
	if err != nil {
		return nil, err
	}
	var axes []int
	for ; a < c.rank(); a++ {
		axes = append(axes, a)
	}
	return []*value{c.across(axes, "normalises by mean and variance of the whole image")}, nil
}

func global(c *call) ([]*value, error) {
	in := c.in[0]
	if c.rank() < 3 {
		return nil, refuse("it pools a tensor of %d dimensions: the file is damaged", c.rank())
	}
	dims := append(slices.Clone(in.dims[:2]), slices.Repeat([]int{1}, c.rank()-2)...)
	return []*value{lose(c.spread(in, "pools the whole image")).with(dims)}, nil
}

// mixed returns a value that depends on all of the image and has no axes of height and width.
func (c *call) mixed(dims []int, why string) *value {
	out := &value{kind: c.in[0].kind, dims: dims, batch: -1, axis: [2]int{-1, -1}}
	for _, v := range c.in {
		if v != nil && v.image {
			out.image = true
			out.taint(v)
		}
	}
	return c.spread(out, why)
}

const mixes = "relates each pixel to all others (attention)"

func matMul(c *call) ([]*value, error) {
	a, b := c.in[0], c.in[1]
	if c.node.Op == "QLinearMatMul" {
		b = c.in[3]
	}
	ra, rb := len(a.dims), len(b.dims)
	if ra < 2 || rb < 2 { // a vector: of sizes, not of pixels
		if a.image || b.image {
			return nil, refuse("it multiplies an image with a vector: export the model without it")
		}
		return nil, refuse("it multiplies vectors: export the model without it")
	}
	if a.dims[ra-1] != b.dims[rb-2] {
		return nil, fmt.Errorf("matrices %v and %v do not fit", a.dims, b.dims)
	}
	lead, err := broadcast(numbers(a.dims[:ra-2]), numbers(b.dims[:rb-2]))
	if err != nil {
		return nil, err
	}
	dims := append(slices.Clone(lead), a.dims[ra-2], b.dims[rb-1])
	c.multiply(dims, a.dims[ra-1])
	v, lost := a, ra-1 // the axis that is summed over
	if b.image {
		v, lost = b, rb-2
	}
	var out *value
	switch {
	case a.image && b.image || v.holds(lost):
		out = c.mixed(dims, mixes)
	case max(ra, rb) > len(v.dims) && v.image:
		out = v.rearranged(dims, func(axis int) int { return axis + max(ra, rb) - len(v.dims) })
	default:
		out = v.with(dims)
	}
	if c.node.Op == "MatMulInteger" {
		out.kind = onnx.Int32
	}
	return []*value{out}, nil
}

// multiply counts sums of so many products, as many as a tensor of dims has elements.
func (c *call) multiply(dims []int, products int) {
	n := 2 * float64(products)
	for _, d := range dims {
		n *= float64(d)
	}
	if slices.ContainsFunc(c.in, func(v *value) bool { return v != nil && v.image }) {
		c.flop += n
	}
}

func gemm(c *call) ([]*value, error) {
	a, b := slices.Clone(c.in[0].dims), slices.Clone(c.in[1].dims)
	if len(a) != 2 || len(b) != 2 {
		return nil, refuse("matrices %v and %v: the file is damaged", a, b)
	}
	turned := c.node.Int("transA", 0) != 0
	if turned {
		slices.Reverse(a)
	}
	if c.node.Int("transB", 0) != 0 {
		slices.Reverse(b)
	}
	if a[1] != b[0] {
		return nil, fmt.Errorf("matrices %v and %v do not fit", a, b)
	}
	c.multiply([]int{a[0], b[1]}, a[1])
	in := c.in[0]
	if in.image && !c.in[1].image && !turned && !in.holds(1) {
		return []*value{in.with([]int{a[0], b[1]})}, nil // pixels are rows
	}
	return []*value{c.mixed([]int{a[0], b[1]}, mixes)}, nil
}

// einsum follows sums over letters; letters of height and width that are summed over make it unbounded.
func einsum(c *call) ([]*value, error) {
	terms, result, ok := letters(c.node.Text("equation", ""))
	if !ok || len(terms) != len(c.in) {
		return nil, refuse("its equation %q cannot be followed: export the model without it", c.node.Text("equation", ""))
	}
	length := map[byte]int{}
	images := 0
	var image *value
	var term string
	for i, v := range c.in {
		if v == nil || len(v.dims) != len(terms[i]) {
			return nil, refuse("its equation does not fit its inputs: the file is damaged")
		}
		for k := range terms[i] {
			length[terms[i][k]] = max(length[terms[i][k]], v.dims[k])
		}
		if v.image {
			images, image, term = images+1, v, terms[i]
		}
	}
	dims := make([]int, len(result))
	products := 1.0
	for k := range result {
		dims[k] = length[result[k]]
	}
	for letter, n := range length {
		if !slices.Contains([]byte(result), letter) {
			products *= float64(n)
		}
	}
	c.multiply(dims, int(min(products, 1<<40)))
	if images == 1 {
		where := func(axis int) int { return slices.Index([]byte(result), term[axis]) }
		if !image.spatial() || where(image.axis[0]) >= 0 && where(image.axis[1]) >= 0 {
			return []*value{image.rearranged(dims, where)}, nil
		}
	}
	return []*value{c.mixed(dims, mixes)}, nil
}

// letters splits the equation of an Einsum.
func letters(equation string) (terms []string, result string, ok bool) {
	var all []byte
	arrow := false
	at := 0
	for i := range len(equation) {
		switch ch := equation[i]; {
		case ch == ' ':
		case ch == ',':
			terms, at = append(terms, string(all[at:])), len(all)
		case ch == '-' && i+1 < len(equation) && equation[i+1] == '>' && !arrow:
			terms, at, arrow = append(terms, string(all[at:])), len(all), true
		case ch == '>' && arrow:
		case ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z':
			all = append(all, ch)
		default: // dots
			return nil, "", false
		}
	}
	return terms, string(all[at:]), arrow
}

func recurrent(c *call) ([]*value, error) {
	x, w := c.in[0].dims, c.in[1].dims
	hidden := int(min(c.node.Int("hidden_size", 1), 1<<20))
	if len(x) != 3 || len(w) != 3 || hidden < 1 {
		return nil, refuse("sizes %v and %v: the file is damaged", x, w)
	}
	const why = "goes over the whole image step by step (a recurrent layer)"
	y, last := c.mixed([]int{x[0], w[0], x[1], hidden}, why), c.mixed([]int{w[0], x[1], hidden}, why)
	return []*value{y, last, last}, nil
}

func attention(c *call) ([]*value, error) {
	q, v := c.in[0].dims, c.in[2].dims
	if len(q) != len(v) || len(q) < 3 {
		return nil, refuse("sizes %v and %v: the file is damaged", q, v)
	}
	dims := slices.Clone(q)
	if len(q) == 4 {
		dims[3] = v[3]
	}
	return []*value{c.mixed(dims, mixes)}, nil
}

func quantize(c *call) ([]*value, error) {
	out := c.in[0].with(c.in[0].dims)
	out.kind = onnx.Uint8
	if zero := c.input(2); zero != nil {
		out.kind = zero.kind
	}
	return []*value{out}, nil
}

func dequantize(c *call) ([]*value, error) {
	out := c.in[0].with(c.in[0].dims)
	out.kind = c.in[1].kind
	return []*value{out}, nil
}

func dynamicQuantize(c *call) ([]*value, error) {
	out := c.spread(c.in[0], "takes its scale from the range of the whole image: quantise the model statically").with(c.in[0].dims)
	out.kind = onnx.Uint8
	scale := lose(out).with([]int{})
	zero := *scale
	scale.kind = onnx.Float32
	return []*value{out, scale, &zero}, nil
}

func dropout(c *call) ([]*value, error) {
	if t := c.input(2); t != nil && (t.data == nil || t.size() < 1 || t.whole(0) != 0) {
		return nil, refuse("it drops values at random: export the model in evaluation mode")
	}
	mask := c.in[0].with(c.in[0].dims)
	mask.kind = onnx.Bool
	return []*value{c.in[0], mask}, nil
}

// warps are operators that take pixels from places which nothing bounds.
func warps(*call) ([]*value, error) {
	return nil, refuse("it takes pixels from places that cannot be followed: export the model without it")
}

// Operators returns the names of all operators that are known, in order.
func Operators() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range operators {
			if !yield(name) {
				return
			}
		}
		for name := range pixelwise {
			if !yield(name) {
				return
			}
		}
		for _, name := range reduceNames {
			if !yield(name) {
				return
			}
		}
	})
}
