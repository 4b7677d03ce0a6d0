package unet

import (
	"fmt"
	"math"
	"slices"

	"microtome/unet/cards"
	"microtome/unet/onnx"
)

// luma are the weights of red, green and blue in grey: Rec. 601, what Pillow and OpenCV make of colour.
var luma = []float32{0.299, 0.587, 0.114}

// A kind says what the numbers of a network's output are.
type kind string

// Kinds of outputs. Probabilities of sigmoid are of each class by itself: a pixel may be of none.
const (
	ofLogits  kind = "logits"
	ofSoftmax kind = "softmax"
	ofSigmoid kind = "sigmoid"
	ofLabels  kind = "labels"
)

// A tensor is the network's image or its output.
type tensor struct {
	name     string
	element  int64 // type
	last     bool  // channels come last
	channels int   // 0: there is no such axis, as in labels
	squeezed bool  // there is no such axis, for a single channel
}

// A foreign is a model that is not in microtome's form, as far as it is known.
type foreign struct {
	*onnx.Model
	in, out     tensor
	kind        kind
	independent bool         // classes exclude each other not
	tail        string       // the operator at its end, where that is none that logits come from
	activated   bool         // its last step, before it was left out, or another before the end, makes probabilities
	steps       []cards.Step // from bytes to what the network sees
	first, last int          // pixels of the output before and behind the core
	single      bool         // it takes one image at a time
	threshold   float64      // of the probability of foreground
	classes     []string     // with background
}

// channels returns how many channels the logits get.
func (f *foreign) channels() int {
	switch {
	case f.kind == ofLabels:
		return len(f.classes) + 1
	case f.independent && f.out.channels > 1:
		return f.out.channels + 1
	}
	return f.out.channels
}

// wrap brings the model into microtome's form: what makes the network's image of bytes is put before its graph; the
// crop to the core and the choice of the class behind it.
func (f *foreign) wrap() {
	g := f.Graph
	g.Keep(f.out.name)
	b := &builder{opset: f.Opset(""), prefix: freePrefix(g), handicap: Card{Threshold: f.threshold}.handicap()}
	b.image(f)
	before := b.Nodes
	b.Nodes = slices.Clone(before)
	b.finish(b.logits(f), f.first, f.last, f.channels())
	g.Nodes = slices.Concat(before, g.Nodes, b.Nodes[len(before):])
	g.Weights = append(g.Weights, b.Weights...)
	g.Inputs, g.Outputs = b.Inputs, b.Outputs
}

// freePrefix returns a beginning of names that no name in the graph has.
func freePrefix(g *onnx.Graph) string {
	names := g.Names()
	prefix := "microtome/"
	for i := 1; ; i++ {
		taken := false
		for name := range names {
			taken = taken || len(name) >= len(prefix) && name[:len(prefix)] == prefix
		}
		if !taken {
			return prefix
		}
		prefix = fmt.Sprintf("microtome%d/", i)
	}
}

// image adds the input and what makes the network's image of it.
func (b *builder) image(f *foreign) {
	in := f.in
	x := b.prefix + inputName
	b.Inputs = append(b.Inputs, onnx.NewValue(x, onnx.Uint8, "n", "h", "w", 3))
	if f.single {
		b.Inputs[0].Dims[0] = onnx.Dim{N: 1}
	}
	if in.element == onnx.Uint8 && in.channels == 3 && len(f.steps) == 0 {
		if in.last {
			b.named("Identity", in.name, []string{x})
		} else {
			b.named("Transpose", in.name, []string{x}, onnx.Attr("perm", []int{0, 3, 1, 2}))
		}
		return
	}
	x = b.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 3, 1, 2}))
	x = b.node("Cast", []string{x}, onnx.Attr("to", onnx.Float32))
	if in.channels == 1 {
		x = b.node("Conv", []string{x, b.floats("luma", []int{1, 3, 1, 1}, luma...)})
	}
	for i, s := range f.steps {
		x = b.step(fmt.Sprintf("step%d", i), x, s, in.channels)
	}
	if in.element == onnx.Uint8 { // Cast cuts off
		x = b.node("Add", []string{x, b.floats("half", nil, 0.5)})
	}
	if in.element != onnx.Float32 {
		x = b.node("Cast", []string{x}, onnx.Attr("to", int(in.element)))
	}
	if in.last {
		b.named("Transpose", in.name, []string{x}, onnx.Attr("perm", []int{0, 2, 3, 1}))
	} else {
		b.named("Identity", in.name, []string{x})
	}
}

// step adds a step of preprocessing, on floats, channels second.
func (b *builder) step(name, x string, s cards.Step, channels int) string {
	constant := func(part string, v []float64) string {
		each := make([]float32, channels)
		for c := range each {
			each[c] = float32(v[min(c, len(v)-1)])
		}
		return b.floats(name+part, []int{1, channels, 1, 1}, each...)
	}
	one := func(part string, v float64) string { return b.floats(name+part, nil, float32(v)) }
	switch s.Op {
	case cards.Linear:
		if slices.ContainsFunc(s.Gain, func(v float64) bool { return v != 1 }) {
			x = b.node("Mul", []string{x, constant(".gain", s.Gain)})
		}
		if slices.ContainsFunc(s.Offset, func(v float64) bool { return v != 0 }) {
			x = b.node("Add", []string{x, constant(".offset", s.Offset)})
		}
	case cards.Clip:
		if b.opset >= 12 {
			return b.node("Clip", []string{x, one(".low", s.Low), one(".high", s.High)})
		}
		x = b.node("Min", []string{b.node("Max", []string{x, one(".low", s.Low)}), one(".high", s.High)})
	case cards.Above:
		x = b.node("Cast", []string{b.node("Greater", []string{x, one(".threshold", s.Low)})}, onnx.Attr("to", onnx.Float32))
	case cards.Sigmoid:
		x = b.node("Sigmoid", []string{x})
	default: // of the slide
		statistics := b.prefix + statisticsName
		b.Inputs = append(b.Inputs, onnx.NewValue(statistics, onnx.Float32, 2, channels, 1, 1))
		x = b.node("Mul", []string{x, b.node("Gather", []string{statistics, b.int64s("first", 0)})})
		x = b.node("Add", []string{x, b.node("Gather", []string{statistics, b.int64s("second", 1)})})
	}
	return x
}

// logits adds what makes logits, float and channels second, of the network's output.
func (b *builder) logits(f *foreign) string {
	x, out := f.out.name, f.out
	if f.kind == ofLabels {
		return b.oneHot(x, out, len(f.classes))
	}
	if out.element != onnx.Float32 {
		x = b.node("Cast", []string{x}, onnx.Attr("to", onnx.Float32))
	}
	if out.last {
		x = b.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 3, 1, 2}))
	}
	if out.squeezed {
		x = b.unsqueeze(x)
	}
	log := func(x string) string {
		return b.node("Log", []string{b.node("Max", []string{x, b.floats("least", nil, 1e-30)})})
	}
	switch f.kind {
	case ofSoftmax:
		x = log(x)
	case ofSigmoid:
		against := b.node("Max", []string{b.node("Sub", []string{b.floats("certain", nil, 1), x}), b.floats("little", nil, 1e-30)})
		x = b.node("Sub", []string{log(x), b.node("Log", []string{against})})
	}
	if f.independent && out.channels > 1 {
		// A background whose logit is 0 is as likely as not, which is what a class of its own is compared with.
		first := b.cut(x, "first_class", 1, 0, 1)
		none := b.node("Cast", []string{b.node("Less", []string{first, b.floats("lowest", nil, float32(math.Inf(-1)))})}, onnx.Attr("to", onnx.Float32))
		x = b.node("Concat", []string{none, x}, onnx.Attr("axis", 1))
	}
	return x
}

// oneHot makes logits of labels: 1 for the label, 0 for others. One channel more, of a half, wins where a label is of no class, so that
// [onnxEngine.Predict] finds it. Of two classes, 255 is the second: many masks are written so.
func (b *builder) oneHot(x string, out tensor, classes int) string {
	x = b.node("Cast", []string{x}, onnx.Attr("to", onnx.Int64))
	switch {
	case out.channels == 0:
		x = b.unsqueeze(x)
	case out.last:
		x = b.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 3, 1, 2}))
	}
	if classes == 2 {
		white := b.node("Cast", []string{b.node("Equal", []string{x, b.int64s("white", 255)})}, onnx.Attr("to", onnx.Int64))
		x = b.node("Sub", []string{x, b.node("Mul", []string{white, b.int64s("too_much", 254)})})
	}
	each, none := make([]int64, classes+1), make([]float32, classes+1)
	for i := range each {
		each[i] = int64(i)
	}
	each[classes], none[classes] = math.MinInt64, 0.5
	t := onnx.IntTensor(b.prefix+"classes", each...)
	t.Dims = []int64{1, int64(classes) + 1, 1, 1}
	b.Weights = append(b.Weights, t)
	x = b.node("Cast", []string{b.node("Equal", []string{x, t.Name})}, onnx.Attr("to", onnx.Float32))
	return b.node("Add", []string{x, b.floats("none", []int{1, classes + 1, 1, 1}, none...)})
}

// unsqueeze puts an axis for channels, 1 long, behind the first.
func (b *builder) unsqueeze(x string) string {
	if b.opset < 13 { // ONNX operators, Unsqueeze: an attribute until then
		return b.node("Unsqueeze", []string{x}, onnx.Attr("axes", []int{1}))
	}
	return b.node("Unsqueeze", []string{x, b.int64s("channel_axis", 1)})
}
