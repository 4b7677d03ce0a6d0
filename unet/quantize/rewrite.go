package quantize

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"microtome/unet"
	"microtome/unet/onnx"
)

// A Range is what a value of the network was seen to take.
type Range struct{ Low, High float32 }

// codes are a value as bytes: channel c of it is scale[c] · (byte - zero[c]).
type codes struct {
	name        string
	scale, zero []float64
}

// uniform reports whether all channels mean the same.
func (c codes) uniform() bool {
	for i := range c.scale {
		if c.scale[i] != c.scale[0] || c.zero[i] != c.zero[0] {
			return false
		}
	}
	return true
}

// rewriter turns a graph of floats into one that computes on bytes where it can. Nodes are taken in order; a value is
// known as bytes, as floats, or as both, and is turned into what is asked for when it is first asked for.
type rewriter struct {
	g         *onnx.Graph // as it was
	out       *onnx.Graph
	ranges    map[string]Range
	chosen    map[string]bool // convolutions, by their output, that compute on bytes
	limit     float64         // greatest weight
	names     map[string]bool
	consumers map[string][]*onnx.Node
	bytes     map[string]codes
	floats    map[string]bool
	channels  map[string]int    // of values; see channelsOf
	multiple  map[string]int    // of what the width of a value is a multiple, for any size of tile
	fed       map[string]string // bytes that convolutions take, as their DequantizeLinear gives them
	made      map[string]bool   // convolutions, by their output, that do compute on bytes
}

// toBytes returns the network with the chosen convolutions on bytes, and which of them are: what some take cannot be had as bytes.
func toBytes(m *onnx.Model, ranges map[string]Range, chosen map[string]bool, limit int) (*onnx.Model, map[string]bool) {
	g := m.Graph
	r := &rewriter{
		g: g, ranges: ranges, chosen: chosen, limit: float64(limit), names: g.Names(), consumers: g.Consumers(),
		out:      &onnx.Graph{Name: g.Name, Inputs: g.Inputs, Outputs: g.Outputs, Weights: slices.Clone(g.Weights)},
		multiple: widths(m), channels: channelsOf(g), bytes: map[string]codes{}, floats: map[string]bool{}, fed: map[string]string{}, made: map[string]bool{},
	}
	for _, in := range g.Inputs {
		r.floats[in.Name] = true
	}
	r.pixels()
	for _, n := range g.Nodes {
		r.node(n)
	}
	for _, o := range g.Outputs {
		r.asFloats(o.Name)
	}
	var outputs []string
	for _, o := range g.Outputs {
		outputs = append(outputs, o.Name)
	}
	r.out.Keep(outputs...)
	made := &onnx.Model{IR: m.IR, Producer: m.Producer, Opsets: m.Opsets, Graph: r.out, Meta: slices.Clone(m.Meta)}
	made.Set(unet.KeyQuantised, "int8") // the geometry is that of m: what packs pixels into channels does not show it
	return made, r.made
}

// node adds what a node computes.
func (r *rewriter) node(n *onnx.Node) {
	out := n.Outputs[0]
	switch {
	case r.done(out):
		return
	case n.Op == "Conv" && r.chosen[out] && r.conv(n):
		r.made[out] = true
		return
	case moves(r.g, n) && r.wanted(out) && r.pass(n):
		return
	}
	for _, in := range n.Inputs {
		r.asFloats(in)
	}
	r.out.Nodes = append(r.out.Nodes, n)
	for _, out := range n.Outputs {
		r.floats[out] = true
	}
}

func (r *rewriter) done(name string) bool {
	_, yes := r.bytes[name]
	return yes || r.floats[name]
}

// wanted reports whether a convolution on bytes takes a value, if only through others that pass bytes on.
func (r *rewriter) wanted(name string) bool {
	return slices.ContainsFunc(r.consumers[name], func(n *onnx.Node) bool {
		return n.Op == "Conv" && r.chosen[n.Outputs[0]] && n.Input(0) == name || moves(r.g, n) && r.wanted(n.Outputs[0])
	})
}

// moves reports whether a node gives bytes where it takes bytes: it moves or compares values and computes nothing.
func moves(g *onnx.Graph, n *onnx.Node) bool {
	if n.Domain != "" || len(n.Outputs) != 1 {
		return false
	}
	switch n.Op {
	case "MaxPool", "DepthToSpace":
		return true
	case "Concat":
		return n.Int("axis", 0) == 1
	case "Slice":
		return slices.Equal(g.Weight(n.Input(3)).Int64s(), []int64{2, 3})
	case "Resize":
		return n.Text("mode", "nearest") == "nearest" && g.Weight(n.Input(2)) != nil
	}
	return false
}

// pass lets a node work on bytes. It reports false where what it takes has no such form.
func (r *rewriter) pass(n *onnx.Node) bool {
	values := n.Inputs[:1]
	if n.Op == "Concat" {
		values = n.Inputs
	}
	var taken []codes
	for _, in := range values {
		c, ok := r.asBytes(in)
		if !ok || n.Op == "DepthToSpace" && !c.uniform() {
			return false
		}
		taken = append(taken, c)
	}
	c := codes{name: r.fresh(n.Outputs[0] + ".bytes")}
	inputs := slices.Clone(n.Inputs)
	for i, t := range taken {
		inputs[i] = t.name
		c.scale, c.zero = append(c.scale, t.scale...), append(c.zero, t.zero...)
	}
	if n.Op == "DepthToSpace" {
		square := int(n.Int("blocksize", 1) * n.Int("blocksize", 1))
		c.scale, c.zero = c.scale[:len(c.scale)/square], c.zero[:len(c.zero)/square]
	}
	r.add(&onnx.Node{Op: n.Op, Inputs: inputs, Attributes: n.Attributes}, c.name)
	r.bytes[n.Outputs[0]] = c
	return true
}

// pixels finds what turns an image into the numbers that the network takes: (byte - mean) · scale is a value as bytes already, so a
// first convolution takes the image as it is.
func (r *rewriter) pixels() {
	if len(r.g.Inputs) != 1 || r.g.Inputs[0].Type != onnx.Uint8 || len(r.g.Inputs[0].Dims) != 4 {
		return
	}
	channels := int(r.g.Inputs[0].Dims[3].N)
	next := func(name, op string) *onnx.Node {
		if c := r.consumers[name]; len(c) == 1 && c[0].Op == op && c[0].Input(0) == name {
			return c[0]
		}
		return nil
	}
	turn := next(r.g.Inputs[0].Name, "Transpose")
	if turn == nil || channels < 1 || !slices.Equal(turn.Ints("perm"), []int64{0, 3, 1, 2}) {
		return
	}
	cast := next(turn.Outputs[0], "Cast")
	if cast == nil || cast.Int("to", 0) != onnx.Float32 {
		return
	}
	sub := next(cast.Outputs[0], "Sub")
	if sub == nil {
		return
	}
	mul := next(sub.Outputs[0], "Mul")
	if mul == nil {
		return
	}
	zero, scale := perChannel(r.g.Weight(sub.Input(1)), channels), perChannel(r.g.Weight(mul.Input(1)), channels)
	if zero == nil || scale == nil || slices.ContainsFunc(scale, func(s float64) bool { return !(s > 0) }) || !r.wanted(mul.Outputs[0]) {
		return
	}
	for _, n := range []*onnx.Node{turn, cast, sub, mul} {
		r.out.Nodes = append(r.out.Nodes, n)
		r.floats[n.Outputs[0]] = true
	}
	r.bytes[mul.Outputs[0]] = codes{turn.Outputs[0], scale, zero}
}

// perChannel returns a constant for each channel, nil if it is not one.
func perChannel(t *onnx.Tensor, channels int) []float64 {
	v := t.Float32s()
	if len(v) != 1 && len(v) != channels || len(v) == channels && channels > 1 && !slices.Equal(t.Dims, []int64{1, int64(channels), 1, 1}) && !slices.Equal(t.Dims, []int64{int64(channels), 1, 1}) {
		return nil
	}
	out := make([]float64, channels)
	for i := range out {
		out[i] = float64(v[min(i, len(v)-1)])
	}
	return out
}

// asBytes returns a value as bytes, if need be by rounding it to its range.
func (r *rewriter) asBytes(name string) (codes, bool) {
	if c, ok := r.bytes[name]; ok {
		return c, true
	}
	seen, ok := r.ranges[name]
	channels := r.channels[name]
	if !ok || channels == 0 || !r.floats[name] {
		return codes{}, false
	}
	c := r.round(name, name, seen, channels)
	r.bytes[name] = c
	return c, true
}

// round adds what rounds floats to bytes.
func (r *rewriter) round(floats, name string, seen Range, channels int) codes {
	scale, zero := seen.affine()
	c := codes{name: r.fresh(name + ".bytes"), scale: slices.Repeat([]float64{scale}, channels), zero: slices.Repeat([]float64{zero}, channels)}
	r.add(&onnx.Node{Op: "QuantizeLinear", Inputs: []string{floats, r.scalar(name+".step", scale), r.byteScalar(name+".zero", zero)}}, c.name)
	return c
}

// affine returns the step of bytes that cover a range and 0, and which of them is 0.
func (s Range) affine() (scale, zero float64) {
	low, high := min(float64(s.Low), 0), max(float64(s.High), 0)
	if !(high-low > 1e-30) {
		return 1, 0 // it was always 0
	}
	scale = float64(float32((high - low) / 255))
	return scale, math.Round(-low / scale)
}

// asFloats makes sure that a value is there as floats.
func (r *rewriter) asFloats(name string) {
	c, ok := r.bytes[name]
	if !ok || r.floats[name] {
		return
	}
	r.floats[name] = true
	if c.uniform() {
		r.add(&onnx.Node{Op: "DequantizeLinear", Inputs: []string{c.name, r.scalar(name+".step", c.scale[0]), r.byteScalar(name+".zero", c.zero[0])}}, name)
		return
	}
	var steps []float32
	var zeros []byte
	for i := range c.scale {
		steps, zeros = append(steps, float32(c.scale[i])), append(zeros, byte(c.zero[i]))
	}
	step, zero := r.fresh(name+".steps"), r.fresh(name+".zeros")
	r.out.Weights = append(r.out.Weights, onnx.FloatTensor(step, []int{len(steps)}, steps...), onnx.NewTensor(zero, onnx.Uint8, []int{len(zeros)}, zeros))
	r.add(&onnx.Node{Op: "DequantizeLinear", Inputs: []string{c.name, step, zero}, Attributes: []onnx.Attribute{onnx.Attr("axis", 1)}}, name)
}

// conv adds a convolution in the form that ONNX Runtime makes one of bytes of: what it takes, its weights and its biases each behind a
// DequantizeLinear, and a QuantizeLinear behind it. A ReLU that follows is what rounding to bytes from 0 on does.
// It reports false where what the convolution takes cannot be had as bytes.
func (r *rewriter) conv(n *onnx.Node) bool {
	x, ok := r.asBytes(n.Input(0))
	if w := r.g.Weight(n.Input(1)); !ok || int64(len(x.scale)) != n.Int("group", 1)*w.Dims[1] {
		return false
	}
	out := n.Outputs[0]
	k := r.kernelOf(n, x)
	if up := r.shuffled(n); up != nil {
		scale, zero := r.ranges[out].affine()
		rows := [2]string{}
		for dy := range rows {
			rows[dy] = r.turn(r.product(fmt.Sprintf("%s.row%d", out, dy), x, k.part(dy*k.outs/2, k.outs/2), n.Attributes, scale, zero), toLast)
		}
		// One row of 2·W pixels after the other: joined along W, they are an image of twice the height.
		joined := r.fresh(out + ".rows")
		r.add(&onnx.Node{Op: "Concat", Inputs: rows[:], Attributes: []onnx.Attribute{onnx.Attr("axis", 2)}}, joined)
		r.image(up.Outputs[0], joined, []int64{0, -1, 0, int64(k.outs / 4)}, scale, zero)
		return true
	}
	value := activated(r.g, r.consumers, out)
	scale, zero := r.ranges[value].affine()
	if p := r.packing(n, k); p > 1 {
		wide := k.packed(p)
		pads := n.Ints("pads")
		attributes := []onnx.Attribute{onnx.Attr("kernel_shape", []int{wide.h, wide.w}), onnx.Attr("strides", []int{1, p})}
		if pads != nil {
			attributes = append(attributes, onnx.Attr("pads", pads))
		}
		r.image(value, r.turn(r.product(out, x, wide, attributes, scale, zero), toLast), []int64{0, 0, -1, int64(k.outs)}, scale, zero)
		return true
	}
	r.bytes[value] = codes{r.product(out, x, k, n.Attributes, scale, zero), slices.Repeat([]float64{scale}, k.outs), slices.Repeat([]float64{zero}, k.outs)}
	return true
}

// A kernel is the weights of a convolution on bytes: weight w of output o counts w · step · steps[o], and a bias as much.
type kernel struct {
	outs, ins, h, w int
	step, zero      float64 // of what is taken
	weights         []int8  // outs × ins × h × w
	steps           []float32
	biases          []int32
}

// kernelOf rounds the weights of a convolution that takes x. Channels of x may mean different numbers, as those of a Concat do. They are all taken as
// the coarsest; the weights make up for the steps, and the biases for the zeros. Only zeros that pad the image are others then, and those no
// core ever sees.
func (r *rewriter) kernelOf(n *onnx.Node, x codes) kernel {
	w := r.g.Weight(n.Input(1))
	values, bias := w.Float32s(), r.g.Weight(n.Input(2)).Float32s()
	k := kernel{outs: int(w.Dims[0]), ins: int(w.Dims[1]), h: int(w.Dims[2]), w: int(w.Dims[3]), step: float64(float32(slices.Max(x.scale))), zero: math.Round(x.zero[0])}
	size := k.ins * k.h * k.w
	k.weights, k.steps, k.biases = make([]int8, len(values)), make([]float32, k.outs), make([]int32, k.outs)
	group := k.outs / int(n.Int("group", 1))
	row := make([]float64, size)
	for o := range k.outs {
		b, most := 0.0, 0.0
		if bias != nil {
			b = float64(bias[o])
		}
		for i := range row {
			c := o/group*k.ins + i/(k.h*k.w)
			v := float64(values[o*size+i]) * x.scale[c]
			b += v * (k.zero - x.zero[c])
			row[i] = v / k.step
			most = max(most, math.Abs(row[i]))
		}
		k.steps[o] = float32(max(most/r.limit, math.Abs(b)/k.step/(1<<30), 1e-30)) // biases are int32
		s := float64(k.steps[o])
		for i, v := range row {
			k.weights[o*size+i] = int8(max(-r.limit, min(r.limit, math.RoundToEven(v/s))))
		}
		k.biases[o] = int32(math.RoundToEven(b / (k.step * s)))
	}
	return k
}

// part returns the kernel of n outputs from one on.
func (k kernel) part(from, n int) kernel {
	size := k.ins * k.h * k.w
	k.weights, k.steps, k.biases = k.weights[from*size:(from+n)*size], k.steps[from:from+n], k.biases[from:from+n]
	k.outs = n
	return k
}

// packed returns the kernel that gives p pixels of a row at once, each with its channels, for a stride of p.
func (k kernel) packed(p int) kernel {
	wide := kernel{outs: p * k.outs, ins: k.ins, h: k.h, w: k.w + p - 1, step: k.step, zero: k.zero, steps: slices.Repeat(k.steps, p), biases: slices.Repeat(k.biases, p)}
	wide.weights = make([]int8, wide.outs*wide.ins*wide.h*wide.w)
	for d := range p {
		for i := range k.outs * k.ins * k.h {
			copy(wide.weights[(d*k.outs*k.ins*k.h+i)*wide.w+d:], k.weights[i*k.w:(i+1)*k.w])
		}
	}
	return wide
}

// shuffled returns the node that lays out what a convolution gives as pixels, nil if there is none.
func (r *rewriter) shuffled(n *onnx.Node) *onnx.Node {
	if c := r.consumers[n.Outputs[0]]; len(c) == 1 && c[0].Op == "DepthToSpace" && c[0].Int("blocksize", 0) == 2 && c[0].Text("mode", "DCR") == "DCR" {
		return c[0]
	}
	return nil
}

// fullWidth is how many outputs ONNX Runtime's kernels for bytes compute at once, on processors with 512 bits. With 16 they reach
// a fifth of their speed.
const fullWidth = 64

// packing returns how many pixels of a row a convolution should give at once; 1 where the width of the image is no multiple.
func (r *rewriter) packing(n *onnx.Node, k kernel) int {
	p := 4
	for p > 1 && (p*k.outs > fullWidth || max(r.multiple[n.Outputs[0]], 1)%p != 0) {
		p /= 2
	}
	one := []int64{1, 1}
	is := func(name string) bool { v := n.Ints(name); return v == nil || slices.Equal(v, one) }
	if k.w != 3 || n.Int("group", 1) != 1 || !is("strides") || !is("dilations") || n.Text("auto_pad", "NOTSET") != "NOTSET" {
		return 1
	}
	return p
}

// product adds a convolution of bytes that gives bytes, and returns their name.
func (r *rewriter) product(name string, x codes, k kernel, attributes []onnx.Attribute, scale, zero float64) string {
	weights, biases := make([]byte, len(k.weights)), make([]byte, 0, 4*k.outs)
	for i, w := range k.weights {
		weights[i] = byte(w)
	}
	bSteps := make([]float32, k.outs)
	for o, b := range k.biases {
		biases = binary.LittleEndian.AppendUint32(biases, uint32(b))
		bSteps[o] = float32(k.step) * k.steps[o]
	}
	w := r.constant(name+".weight", onnx.Int8, []int{k.outs, k.ins, k.h, k.w}, weights, k.steps)
	b := r.constant(name+".bias", onnx.Int32, []int{k.outs}, biases, bSteps)
	wide, out := r.fresh(name+".wide"), r.fresh(name+".bytes")
	r.add(&onnx.Node{Op: "Conv", Inputs: []string{r.feed(x.name, k.step, k.zero), w, b}, Attributes: attributes}, wide)
	r.add(&onnx.Node{Op: "QuantizeLinear", Inputs: []string{wide, r.scalar(name+".step", scale), r.byteScalar(name+".zero", zero)}}, out)
	return out
}

// constant adds whole numbers with a step for each output, and what makes floats of them.
func (r *rewriter) constant(name string, kind int64, dims []int, data []byte, steps []float32) string {
	name = r.fresh(name)
	step, zero, floats := r.fresh(name+".steps"), r.fresh(name+".zeros"), r.fresh(name+".floats")
	outs := dims[:1]
	r.out.Weights = append(r.out.Weights, onnx.NewTensor(name, kind, dims, data), onnx.FloatTensor(step, outs, steps...),
		onnx.NewTensor(zero, kind, outs, make([]byte, outs[0]*onnx.Size(kind))))
	r.add(&onnx.Node{Op: "DequantizeLinear", Inputs: []string{name, step, zero}, Attributes: []onnx.Attribute{onnx.Attr("axis", 0)}}, floats)
	return floats
}

// Layouts of an image: channels behind the pixels, as ONNX Runtime's kernels for bytes want them, or before them.
var toLast, toFirst = []int{0, 2, 3, 1}, []int{0, 3, 1, 2}

func (r *rewriter) turn(name string, layout []int) string {
	out := r.fresh(name + ".turned")
	r.add(&onnx.Node{Op: "Transpose", Inputs: []string{name}, Attributes: []onnx.Attribute{onnx.Attr("perm", layout)}}, out)
	return out
}

// image makes a value of bytes with channels last, of another shape.
func (r *rewriter) image(value, bytes string, shape []int64, scale, zero float64) {
	dims, shaped := r.fresh(value+".shape"), r.fresh(value+".shaped")
	r.out.Weights = append(r.out.Weights, onnx.IntTensor(dims, shape...))
	r.add(&onnx.Node{Op: "Reshape", Inputs: []string{bytes, dims}}, shaped)
	channels := int(shape[3])
	r.bytes[value] = codes{r.turn(shaped, toFirst), slices.Repeat([]float64{scale}, channels), slices.Repeat([]float64{zero}, channels)}
}

// feed returns bytes as floats for a convolution that will take the bytes.
func (r *rewriter) feed(name string, step, zero float64) string {
	if have := r.fed[name]; have != "" {
		return have
	}
	fed := r.fresh(name + ".fed")
	r.fed[name] = fed
	r.add(&onnx.Node{Op: "DequantizeLinear", Inputs: []string{name, r.scalar(name+".fed_step", step), r.byteScalar(name+".fed_zero", zero)}}, fed)
	return fed
}

// activated returns the value that a convolution is rounded as: that of the ReLU behind it, if nothing else takes its output.
func activated(g *onnx.Graph, consumers map[string][]*onnx.Node, out string) string {
	isOutput := slices.ContainsFunc(g.Outputs, func(v onnx.Value) bool { return v.Name == out })
	if c := consumers[out]; len(c) == 1 && c[0].Op == "Relu" && !isOutput {
		return c[0].Outputs[0]
	}
	return out
}

// channelsOf returns how many channels values have, for those where it follows from a convolution or the image before them.
func channelsOf(g *onnx.Graph) map[string]int {
	channels := map[string]int{}
	of := func(name string) int { // 0: not known
		if w := g.Weight(name); w != nil {
			if len(w.Dims) < 3 {
				return 1
			}
			return int(w.Dims[len(w.Dims)-3])
		}
		return channels[name]
	}
	for _, n := range g.Nodes {
		c := 0
		switch n.Op {
		case "Conv", "ConvTranspose":
			if w := g.Weight(n.Input(1)); w != nil && len(w.Dims) == 4 && n.Op == "Conv" {
				c = int(w.Dims[0])
			} else if w != nil && len(w.Dims) == 4 {
				c = int(w.Dims[1] * n.Int("group", 1))
			}
		case "Concat":
			if n.Int("axis", 0) != 1 || slices.ContainsFunc(n.Inputs, func(in string) bool { return of(in) == 0 }) {
				continue
			}
			for _, in := range n.Inputs {
				c += of(in)
			}
		case "Add", "Mul", "Sub", "Div": // an attention gate multiplies all channels by one
			if slices.ContainsFunc(n.Inputs, func(in string) bool { return of(in) == 0 }) {
				continue
			}
			for _, in := range n.Inputs {
				c = max(c, of(in))
			}
		case "Relu", "LeakyRelu", "MaxPool", "AveragePool", "Resize", "Slice", "Sigmoid", "Clip", "BatchNormalization", "InstanceNormalization", "Cast", "Elu", "PRelu", "HardSwish", "Identity":
			c = of(n.Input(0))
		case "Transpose":
			if slices.Equal(n.Ints("perm"), []int64{0, 3, 1, 2}) && len(g.Inputs) == 1 && n.Input(0) == g.Inputs[0].Name && len(g.Inputs[0].Dims) == 4 {
				c = int(max(g.Inputs[0].Dims[3].N, 0))
			}
		}
		if c > 0 {
			channels[n.Outputs[0]] = c
		}
	}
	return channels
}

// add appends a node with one output.
func (r *rewriter) add(n *onnx.Node, out string) {
	n.Name, n.Outputs = out, []string{out}
	r.out.Nodes = append(r.out.Nodes, n)
}

func (r *rewriter) fresh(name string) string { return fresh(r.names, name) }

func (r *rewriter) scalar(name string, v float64) string {
	name = r.fresh(name)
	r.out.Weights = append(r.out.Weights, onnx.FloatTensor(name, nil, float32(v)))
	return name
}

func (r *rewriter) byteScalar(name string, v float64) string {
	name = r.fresh(name)
	r.out.Weights = append(r.out.Weights, onnx.NewTensor(name, onnx.Uint8, nil, []byte{byte(v)}))
	return name
}
