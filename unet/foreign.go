package unet

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"microtome/unet/cards"
	"microtome/unet/field"
	"microtome/unet/onnx"
)

// refuse says what of a model no engine of ours can do.
func refuse(m *onnx.Model) error {
	for _, n := range m.Graph.Nodes {
		switch n.Op {
		case "If", "Loop", "Scan", "SequenceMap":
			return fmt.Errorf("the model has control flow, %s%s: export it with what it decides fixed, by tracing it in inference mode", n.Op, called(n.Name))
		case "Conv", "ConvTranspose":
			if w := m.Graph.Weight(n.Input(1)); w != nil && len(w.Dims) == 5 {
				return fmt.Errorf("the model convolves in 3 dimensions, %s: a slide has 2", n.Op+called(n.Name))
			}
		}
	}
	for _, t := range m.Graph.Weights {
		if !t.Finite() {
			return fmt.Errorf("the weights %s are not finite: the training has diverged: take an earlier checkpoint", t.Name)
		}
	}
	return nil
}

func called(name string) string {
	if name == "" {
		return ""
	}
	return " " + name
}

// openForeign finds out how a model that is not in microtome's form is to be read, and brings it into that form. The metadata
// of its file goes before a card that stands beside it, a card that the user names before both, and other flags before all.
func openForeign(m *onnx.Model, spec *Spec, card cards.Card, cfg Config) error {
	if v := m.Opset(""); v < 7 {
		return fmt.Errorf("the model uses version %d of the ONNX operators: export it with opset 11 or later", v)
	}
	f := &foreign{Model: m}
	var err error
	if f.in, err = imageInput(m.Graph, card); err != nil {
		return err
	}
	if err := f.findOutput(cmp.Or(cfg.Output, m.Get(keyOutput))); err != nil {
		return err
	}
	if err := f.measure(spec, card); err != nil {
		return err
	}
	if err := f.normalisation(spec, card); err != nil {
		return err
	}
	if err := f.decide(spec, card, cfg); err != nil {
		return err
	}
	if spec.Card.MPP == 0 {
		spec.warn("nothing says what resolution the model was made for, so it sees the slide's own: a card, or the metadata %s, would say", keyMPP)
	}
	spec.Takes, spec.Gives = f.in.String(), string(f.kind)
	f.wrap()
	return nil
}

// elements are the types of images that can be made, by name.
var elements = map[int64]string{onnx.Float32: "float32", onnx.Float16: "float16", onnx.Float64: "float64", onnx.Uint8: "uint8"}

// String says what the tensor is.
func (t tensor) String() string {
	axes := fmt.Sprintf("N × %d × H × W", t.channels)
	if t.last {
		axes = fmt.Sprintf("N × H × W × %d", t.channels)
	}
	return elements[t.element] + " " + axes + map[int]string{1: ", grey", 3: ", red, green, blue"}[t.channels]
}

// imageInput finds the network's image among its inputs.
func imageInput(g *onnx.Graph, card cards.Card) (tensor, error) {
	if len(g.Inputs) != 1 {
		return tensor{}, fmt.Errorf("the model takes %d inputs (%s): microtome gives it one image, export it with the others fixed", len(g.Inputs), valueNames(g.Inputs))
	}
	in := g.Inputs[0]
	t := tensor{name: in.Name, element: in.Type}
	switch {
	case in.Sequence || elements[in.Type] == "":
		return t, fmt.Errorf("the model's input %s is no tensor of float32, float16 or uint8: export it so", in.Name)
	case len(in.Dims) == 5:
		return t, fmt.Errorf("the model takes images of 3 dimensions, %s: a slide has 2", shape(in))
	case len(in.Dims) != 4:
		return t, fmt.Errorf("the model takes a tensor %s: microtome gives N × channels × H × W or N × H × W × channels, export it so", shape(in))
	}
	first, last := in.Dims[1].N, in.Dims[3].N
	image := func(n int64) bool { return n == 1 || n == 3 }
	switch {
	case len(card.Axes) == 4 && strings.HasSuffix(card.Axes, "c"), !image(first) && image(last):
		t.last, t.channels = true, int(last)
	case len(card.Axes) == 4 && card.Axes[1] == 'c', image(first):
		t.channels = int(first)
	case first < 0 && last < 0:
		return t, fmt.Errorf("the model leaves the number of its input's channels open, %s: export it for 3 channels, or for 1", shape(in))
	default:
		if t.channels = int(first); first < 0 {
			t.channels, t.last = int(last), true
		}
	}
	if t.channels < 0 {
		t.channels = cmp.Or(card.Channels, 3)
	}
	if !image(int64(t.channels)) {
		return t, fmt.Errorf("the model takes images of %d channels, a slide has 3 (red, green, blue): export it for 3, or for 1 of grey", t.channels)
	}
	return t, nil
}

func valueNames(values []onnx.Value) string {
	var names []string
	for _, v := range values {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}

// shape writes the dimensions of a value.
func shape(v onnx.Value) string {
	if len(v.Dims) == 0 {
		return "of no stated shape"
	}
	var parts []string
	for _, d := range v.Dims {
		if d.N >= 0 {
			parts = append(parts, strconv.FormatInt(d.N, 10))
		} else {
			parts = append(parts, cmp.Or(d.Name, "?"))
		}
	}
	return strings.Join(parts, " × ")
}

// findOutput chooses the output: by its name, or the only one that is an image.
func (f *foreign) findOutput(name string) error {
	var images []onnx.Value
	for _, v := range f.Graph.Outputs {
		if name != "" && v.Name == name {
			images = []onnx.Value{v}
			break
		}
		if spatial(v) {
			images = append(images, v)
		}
	}
	switch {
	case name != "" && (len(images) != 1 || images[0].Name != name):
		return fmt.Errorf("the model has no output %s: it has %s", name, valueNames(f.Graph.Outputs))
	case len(images) == 0:
		v := f.Graph.Outputs[0]
		return fmt.Errorf("the model's output %s is %s, no image: microtome needs a model that gives something for each pixel", v.Name, shape(v))
	case len(images) > 1:
		return fmt.Errorf("the model has several outputs: name one of them with --output: %s", valueNames(images))
	}
	v := images[0]
	if len(v.Dims) == 5 {
		return fmt.Errorf("the model's output %s has 3 dimensions, %s: a slide has 2", v.Name, shape(v))
	}
	if !spatial(v) {
		return fmt.Errorf("the model's output %s is %s, no image: microtome needs a model that gives something for each pixel", v.Name, shape(v))
	}
	f.out = tensor{name: v.Name, element: v.Type}
	f.Graph.Keep(v.Name)
	f.readTail(v)
	return nil
}

// spatial reports whether a value can be an image.
func spatial(v onnx.Value) bool {
	if v.Sequence {
		return false
	}
	d := v.Dims
	one := func(a, b int) bool { return d[a].N == 1 && d[b].N == 1 }
	return !v.Ranked || len(d) == 3 && !one(1, 2) || len(d) == 4 && !one(1, 2) && !one(2, 3) || len(d) == 5
}

// readTail finds out what the numbers of the output are by the nodes that end in it. Where that is a softmax, a sigmoid or
// an argmax over the channels, it is left out, and the logits before it are the output: they say more.
func (f *foreign) readTail(v onnx.Value) {
	g := f.Graph
	f.kind = ofLogits
	if v.Type != onnx.Float32 && v.Type != onnx.Float16 && v.Type != onnx.Float64 {
		f.kind = ofLabels
	}
	producers, consumers := g.Producers(), g.Consumers()
	exclusive := false     // an argmax has chosen
	var chain []*onnx.Node // behind the node that is looked at, the last first
	for at := f.out.name; ; {
		n := producers[at]
		if n == nil {
			return
		}
		switch n.Op {
		case "Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze":
			chain, at = append(chain, n), n.Input(0)
			continue
		case "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Round", "Floor":
			f.kind = ofLabels
			return
		case "ArgMax":
			f.kind = ofLabels
			axis := n.Int("axis", 0)
			turned := slices.ContainsFunc(chain, func(n *onnx.Node) bool { return n.Op == "Transpose" })
			if turned || exclusive || n.Int("select_last_index", 0) != 0 || axis != 1 && axis != 3 && axis != -1 {
				return
			}
			at, chain, exclusive = n.Input(0), nil, true
			f.out = tensor{name: at, element: onnx.Float32, last: axis != 1}
			f.kind = ofLogits
			g.Outputs[0] = onnx.Value{Name: at, Type: onnx.Float32}
			g.Keep(at)
			continue
		case "Softmax", "Sigmoid":
			f.activated = true
			if f.kind == ofLabels {
				return
			}
			f.kind = ofSoftmax
			if n.Op == "Sigmoid" {
				f.kind, f.independent = ofSigmoid, !exclusive
			}
			if n.Op == "Softmax" && !f.perPixel(n) || len(consumers[at]) > min(len(chain), 1) {
				return
			}
			f.kind = ofLogits
			if len(chain) == 0 {
				f.out.name = n.Input(0)
				g.Outputs[0].Name = f.out.name
			} else {
				behind := chain[len(chain)-1]
				behind.Inputs = append([]string{n.Input(0)}, behind.Inputs[1:]...)
			}
			g.Keep(f.out.name)
		default:
			if f.kind == ofLogits && !exclusive {
				f.kind, f.independent = activation(producers, n)
				f.activated = f.kind != ofLogits
				if !slices.Contains(keepers, n.Op) && !slices.Contains(summers, n.Op) {
					f.tail = n.Op + called(n.Name)
				}
			}
		}
		return
	}
}

// keepers are the operators whose outputs are values, or mixtures, of their first input: what comes from a probability stays one.
var keepers = []string{
	"Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "Split", "Pad", "Reshape", "Flatten", "Clip", "Resize", "Upsample",
	"DepthToSpace", "AveragePool", "MaxPool", "Concat", "Dropout",
}

// summers are the operators that a network ends in when it gives logits.
var summers = []string{"Conv", "ConvTranspose", "Add", "BatchNormalization", "InstanceNormalization", "MatMul", "Gemm", "DequantizeLinear", "Softmax", "Sigmoid", "HardSigmoid"}

// activation returns what the numbers of a node are that does not end in an activation itself, but may cut, pad or resize what does.
func activation(producers map[string]*onnx.Node, n *onnx.Node) (of kind, independent bool) {
	for n != nil && slices.Contains(keepers, n.Op) {
		n = producers[n.Input(0)]
	}
	switch {
	case n == nil:
	case n.Op == "Softmax":
		return ofSoftmax, false
	case n.Op == "Sigmoid" || n.Op == "HardSigmoid":
		return ofSigmoid, true
	}
	return ofLogits, false
}

// perPixel reports whether a softmax is over one axis. Before version 13 of the operators it was over all from its axis on.
func (f *foreign) perPixel(n *onnx.Node) bool {
	if f.Opset("") >= 13 {
		return true
	}
	axis := n.Int("axis", 1)
	return axis == 3 || axis == -1
}

// measure finds the geometry: the graph's own, or what the file or a card states where that is more. Fixed sizes are made
// free where the graph then still works.
func (f *foreign) measure(spec *Spec, card cards.Card) error {
	stated, isStated, err := statedGeometry(f.Model)
	if err != nil {
		return err
	}
	a, err := f.free()
	if err != nil {
		return err
	}
	if a.Batch > 1 {
		return fmt.Errorf("the model takes %d images at a time and no other number: export it for one, or with a free first dimension", a.Batch)
	}
	f.out.channels, f.out.last = a.OutChannels, a.Output == "NHWC"
	switch a.Output {
	case "NCHW", "NHWC":
	case "NHW":
		f.out.channels = 0
		if f.kind != ofLabels {
			f.out.squeezed = true
			f.out.channels = 1
		}
	default:
		return fmt.Errorf("the model's output %s has the axes %s: microtome takes N × classes × H × W, N × H × W × classes or N × H × W", a.Out, a.Output)
	}
	if f.kind == ofSoftmax && f.out.channels == 1 { // one that was cut out
		f.kind = ofSigmoid
	}
	spec.FLOP, spec.Parameters, spec.Unbounded, spec.Input = a.FLOP, a.Parameters, a.Unbounded, a.Fixed
	spec.Geometry = settle(spec, a, stated, isStated, card)
	if err := f.cuts(spec.Geometry, a); err != nil {
		return err
	}
	if spec.Input > 0 {
		if err := spec.Check(spec.Input - spec.Before - spec.After); err != nil {
			return fmt.Errorf("the model takes only inputs of %d pixels, which its geometry does not allow: export it with free height and width", spec.Input)
		}
	}
	if a.Rounding != "" {
		spec.warn("what is computed across tiles may differ from the whole in the last bits: %s", a.Rounding)
	}
	return nil
}

// cuts finds out what of the output lies before the core and behind it. A pooling may have dropped pixels at the end, so that it is less
// than the margin.
func (f *foreign) cuts(g Geometry, a *field.Analysis) error {
	core := max(a.Fixed-g.Before-g.After, g.Stride)
	edge := g.Input(core)
	axis := strings.IndexByte(string(a.Output), 'W')
	shape := field.Shapes(f.Model, edge, edge)[f.out.name].Dims
	if len(shape) != len(a.Output) {
		return fmt.Errorf("the model's output %s has %d axes where %s were expected: export it with fewer shape operations", f.out.name, len(shape), a.Output)
	}
	f.first = g.Before - a.Origin
	f.last = shape[axis] - f.first - core
	if f.first < 0 || f.last < 0 {
		return fmt.Errorf("the model gives %d pixels of %d, fewer than its margins leave: export it without what crops its output", shape[axis], edge)
	}
	return nil
}

// free analyses the graph with free sizes, and leaves them free; where the graph does not allow that, as it stands. It finds out
// as well whether the graph takes several images at a time, which a Reshape to one may forbid.
func (f *foreign) free() (*field.Analysis, error) {
	g := f.Graph
	in, out := g.Inputs[0], g.Outputs[0]
	axes := map[bool][3]int{false: {0, 2, 3}, true: {0, 1, 2}}[f.in.last]
	channel := 1
	if f.in.last {
		channel = 3
	}
	in.Dims = slices.Clone(in.Dims)
	in.Dims[channel] = onnx.Dim{N: int64(f.in.channels)} // a card may say what the file does not
	fixed := in
	fixed.Dims = slices.Clone(in.Dims)
	stands := false
	for i, axis := range axes {
		stands = stands || in.Dims[axis].N >= 0
		in.Dims[axis] = onnx.Dim{N: -1, Name: []string{"n", "h", "w"}[i]}
	}
	g.Inputs[0], g.Outputs[0] = in, onnx.Value{Name: out.Name, Type: out.Type}
	a, err := field.Analyse(f.Model, in.Name, out.Name)
	if err == nil || !stands {
		if err == nil {
			g.DropShapes()
			in.Dims[0] = onnx.Dim{N: 2}
			two, err := field.Analyse(f.Model, in.Name, out.Name)
			f.single = err != nil || two.Output != a.Output
			in.Dims[0] = onnx.Dim{N: -1, Name: "n"}
		}
		return a, err
	}
	g.Inputs[0], g.Outputs[0], f.single = fixed, out, true
	return field.Analyse(f.Model, in.Name, out.Name)
}

// settle chooses between the graph's geometry and what is stated of it.
func settle(spec *Spec, a *field.Analysis, stated Geometry, isStated bool, card cards.Card) Geometry {
	g := Geometry{Stride: a.Stride, Before: a.Before, After: a.After}
	if isStated {
		more := stated.Before - g.Before
		fits := stated.Stride%g.Stride == 0 && more%g.Stride == 0 && (stated.After-g.After)%g.Stride == 0
		if fits && more >= 0 && stated.After >= g.After && (a.Fixed == 0 || a.Fixed > stated.Before+stated.After) {
			return stated
		}
		spec.warn("the file states stride %d and margins of %d and %d pixels, its graph needs %d, %d and %d: the graph's are used",
			stated.Stride, stated.Before, stated.After, g.Stride, g.Before, g.After)
		return g
	}
	if !card.HasHalo {
		return g
	}
	needs := max(g.Before, g.After) - a.Origin
	switch {
	case card.Halo < needs && a.Unbounded == "":
		spec.warn("the card asks for a halo of %d pixels, the graph looks %d pixels around a tile: the graph's is used", card.Halo, needs)
	case card.Halo > needs && a.Fixed == 0:
		more := (card.Halo - needs + g.Stride - 1) / g.Stride * g.Stride
		g.Before, g.After = g.Before+more, g.After+more
	}
	return g
}

// normalisation finds the steps from bytes to what the network sees.
func (f *foreign) normalisation(spec *Spec, card cards.Card) error {
	mean, err := metaFloats(f.Model, keyMean, f.in.channels)
	if err != nil {
		return err
	}
	scale, err := metaFloats(f.Model, keyScale, f.in.channels)
	if err != nil {
		return err
	}
	switch {
	case mean != nil || scale != nil:
		s := cards.Step{Op: cards.Linear}
		for c := range f.in.channels {
			m, k := 0.0, 1.0/255
			if mean != nil {
				m = mean[min(c, len(mean)-1)]
			}
			if scale != nil {
				k = scale[min(c, len(scale)-1)]
			}
			s.Gain, s.Offset = append(s.Gain, k), append(s.Offset, -m*k)
		}
		f.steps = []cards.Step{s}
	case card.HasSteps:
		f.steps = joined(card.Steps)
	case f.in.element == onnx.Uint8:
	default:
		f.steps = []cards.Step{{Op: cards.Linear, Gain: []float64{1.0 / 255}, Offset: []float64{0}}}
		if f.Get(keyClasses) == "" {
			spec.warn("nothing says how the model wants its pixels: they are divided by 255; a card, or the metadata %s and %s, would say", keyMean, keyScale)
		}
	}
	for _, s := range f.steps {
		for _, numbers := range [][]float64{s.Gain, s.Offset} {
			if len(numbers) > 1 && len(numbers) != f.in.channels {
				return fmt.Errorf("the card normalises %d channels, and the model takes %d: correct the card", len(numbers), f.in.channels)
			}
		}
		if s.PerImage() {
			if spec.normalise.per != nil {
				return errors.New("the card normalises by the image twice: leave one of the steps out of it")
			}
			spec.PerSlide = true
			spec.normalise.per = &s
		}
		if spec.normalise.per == nil {
			spec.normalise.before = append(spec.normalise.before, s)
		}
	}
	spec.normalise.channels = f.in.channels
	return nil
}

// joined makes one step of linear ones that follow each other.
func joined(steps []cards.Step) []cards.Step {
	var out []cards.Step
	for _, s := range steps {
		if n := len(out) - 1; n >= 0 && s.Op == cards.Linear && out[n].Op == cards.Linear {
			var both cards.Step
			both.Op = cards.Linear
			for c := range max(len(s.Gain), len(s.Offset), len(out[n].Gain), len(out[n].Offset)) {
				at := func(v []float64) float64 { return v[min(c, len(v)-1)] }
				both.Gain = append(both.Gain, at(out[n].Gain)*at(s.Gain))
				both.Offset = append(both.Offset, at(out[n].Offset)*at(s.Gain)+at(s.Offset))
			}
			out[n] = both
			continue
		}
		out = append(out, s)
	}
	return out
}

// decide finds the classes and the threshold.
func (f *foreign) decide(spec *Spec, card cards.Card, cfg Config) error {
	names := cfg.Classes
	if len(names) == 0 && f.Get(keyClasses) != "" {
		names = strings.Split(f.Get(keyClasses), ",")
	}
	if len(names) == 0 {
		names = card.Classes
	}
	if card.Activated == "sigmoid" && f.kind == ofLogits {
		f.independent = true
	}
	f.threshold = spec.Card.Threshold
	if t := card.Threshold; f.threshold == 0 && t != 0 {
		if f.kind == ofLogits && card.Activated == "" && !f.independent && !f.activated {
			t = 1 / (1 + math.Exp(-t)) // it is one of logits
		}
		if !(t > 0 && t < 1) {
			return fmt.Errorf("the card's threshold is %g: give a probability between 0 and 1", t)
		}
		f.threshold = t
	}
	if f.kind == ofLabels {
		if f.out.channels > 1 {
			return fmt.Errorf("the model gives %d channels of whole numbers: export it without its last step, so that it gives logits or probabilities", f.out.channels)
		}
		if len(names) < 2 {
			return errors.New("the model gives labels, and nothing says of which classes: name them with --classes, or in a card")
		}
		f.classes, f.threshold = names, 0
		return f.count(spec)
	}
	if f.out.channels > 1 && f.independent {
		switch {
		case len(names) == f.out.channels && isBackground(names[0]):
			f.independent = false // background is a class with a channel
		case len(names) == f.out.channels:
			names = append([]string{"background"}, names...)
		case len(names) == 0:
			names = append([]string{"background"}, classNames(nil, f.out.channels+1)[1:]...)
		}
	}
	if f.tail != "" && f.out.channels == 1 {
		spec.warn("the model ends in %s, and what it gives is taken for a logit, foreground above 0: export it without that step if it is a probability", f.tail)
	}
	var err error
	if f.classes, err = named(names, f.channels()); err != nil {
		return err
	}
	return f.count(spec)
}

func isBackground(name string) bool {
	return slices.Contains([]string{"background", "bg", "other", "none"}, strings.ToLower(strings.TrimSpace(name)))
}

// count checks the names and tells spec of them.
func (f *foreign) count(spec *Spec) error {
	if n := len(f.classes); n > 255 {
		return fmt.Errorf("the model tells %d classes apart: microtome writes at most 255", n)
	}
	for i, name := range f.classes {
		f.classes[i] = strings.ReplaceAll(name, ",", ";")
	}
	spec.Classes, spec.Card.Classes, spec.Card.Threshold = f.classes, f.classes, f.threshold
	return spec.Card.Validate()
}
