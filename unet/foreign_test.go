package unet

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"microtome/internal/shared"
	"microtome/unet/npy"
	"microtome/unet/onnx"
)

// A guest describes a model as somebody might bring it: two padded 3×3 convolutions.
type guest struct {
	last     bool  // channels come last
	channels int   // of the image
	element  int64 // of the image
	classes  int
	tail     string // what follows the logits
	edge     int    // of the input, 0: free
	opset    int64
}

// tails are the outputs that the test makes, with the number of classes that suits them.
var tails = []struct {
	name    string
	classes int
}{
	{"", 1},
	{"", 3},
	{"Softmax", 3},
	{"Sigmoid", 1},
	{"Sigmoid", 3},
	{"Sigmoid squeezed", 1},
	{"ArgMax int64", 3},
	{"ArgMax int32", 3},
	{"ArgMax uint8", 3},
	{"ArgMax float", 3},
	{"ArgMax kept", 3},
	{"Softmax ArgMax", 3},
	{"Greater", 1},
}

// model builds the graph, at the tail's end in the guest's layout.
func (g guest) model() *onnx.Model {
	r := rand.New(rand.NewPCG(uint64(g.channels), uint64(g.classes)))
	weights := func(n int) []float32 {
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(r.NormFloat64() / 3)
		}
		return w
	}
	b := &builder{opset: g.opset}
	size := func(name string) any {
		if g.edge > 0 {
			return g.edge
		}
		return name
	}
	x, axis := "picture", 1
	if g.last {
		axis = 3
		b.Inputs = []onnx.Value{onnx.NewValue(x, g.element, 1, size("h"), size("w"), g.channels)}
		x = b.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 3, 1, 2}))
	} else {
		b.Inputs = []onnx.Value{onnx.NewValue(x, g.element, 1, g.channels, size("h"), size("w"))}
	}
	x = b.node("Cast", []string{x}, onnx.Attr("to", onnx.Float32))
	if g.element == onnx.Uint8 {
		x = b.node("Mul", []string{x, b.floats("by", nil, 0.01)})
	}
	pads := onnx.Attr("pads", []int{1, 1, 1, 1})
	x = b.node("Conv", []string{x, b.floats("w1", []int{4, g.channels, 3, 3}, weights(36*g.channels)...)}, pads)
	x = b.node("Tanh", []string{x})
	x = b.node("Conv", []string{x, b.floats("w2", []int{g.classes, 4, 3, 3}, weights(36*g.classes)...)}, pads)
	if g.last {
		x = b.node("Transpose", []string{x}, onnx.Attr("perm", []int{0, 2, 3, 1}))
	}
	element := int64(onnx.Float32)
	if g.element == onnx.Float16 {
		element = onnx.Float16
	}
	to := func(kind int64) { x, element = b.node("Cast", []string{x}, onnx.Attr("to", kind)), kind }
	for word := range strings.FieldsSeq(g.tail) {
		switch word {
		case "Softmax":
			x = b.node("Softmax", []string{x}, onnx.Attr("axis", axis))
		case "Sigmoid":
			x = b.node("Sigmoid", []string{x})
		case "squeezed":
			x = b.node("Squeeze", []string{x, b.int64s("squeezed", int64(axis))})
		case "ArgMax":
			keep := 0
			if strings.HasSuffix(g.tail, "kept") {
				keep = 1
			}
			x, element = b.node("ArgMax", []string{x}, onnx.Attr("axis", axis), onnx.Attr("keepdims", keep)), onnx.Int64
		case "Greater":
			x, element = b.node("Greater", []string{x, b.floats("zero", nil, 0)}), onnx.Bool
		case "int32":
			to(onnx.Int32)
		case "uint8":
			to(onnx.Uint8)
		case "float":
			to(onnx.Float32)
		}
	}
	if element == onnx.Float16 {
		to(onnx.Float16)
	}
	b.Outputs = []onnx.Value{{Name: x, Type: element}}
	b.Name = "guest"
	return &onnx.Model{IR: 8, Opsets: []onnx.Opset{{Version: g.opset}}, Graph: &b.Graph}
}

// Whatever a model takes and gives, the labels are those that follow from what it gives for the same image.
func TestForeignModels(t *testing.T) {
	needRuntime(t)
	const edge = 40
	seen := map[string]map[byte]int{}
	for _, last := range []bool{false, true} {
		for _, channels := range []int{1, 3} {
			for _, element := range []int64{onnx.Float32, onnx.Uint8, onnx.Float16} {
				for _, tail := range tails {
					g := guest{last: last, channels: channels, element: element, classes: tail.classes, tail: tail.name, opset: 17}
					t.Run(fmt.Sprintf("%v %d %s %s %d", last, channels, elements[element], tail.name, tail.classes), func(t *testing.T) {
						counts := seen[fmt.Sprint(tail)]
						if counts == nil {
							counts = map[byte]int{}
							seen[fmt.Sprint(tail)] = counts
						}
						g.compare(t, edge, counts)
					})
				}
			}
		}
	}
	for name, counts := range seen {
		if len(counts) < 2 {
			t.Errorf("%s: labels %v: the comparison is blind", name, counts)
		}
	}
}

// compare runs a guest as microtome does and as it is.
func (g guest) compare(t *testing.T, edge int, counts map[byte]int) {
	names := "background,a,b"
	if g.classes == 1 {
		names = "background,a"
	} else if strings.HasPrefix(g.tail, "Sigmoid") {
		names = "a,b,c" // and a background
	}
	meta := []string{keyClasses, names, keyMPP, "0.5"}
	if g.element != onnx.Uint8 {
		meta = append(meta, keyMean, "120", keyScale, "0.01")
	}
	e, err := OpenLogits(writeFile(t, withMetadata(g.model().Encode(), meta...)), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := e.Spec()
	if s.Geometry != (Geometry{1, 2, 2}) || s.Input != 0 || len(s.Warnings) > 0 {
		t.Fatalf("geometry %+v, input %d, warnings %q", s.Geometry, s.Input, s.Warnings)
	}
	pixels := randomPicture(rand.New(rand.NewPCG(5, 6)), edge, edge).pixels
	core := edge - 4
	labels, logits := make([]byte, core*core), make([]float32, s.Logits*core*core)
	if err := e.Predict(t.Context(), 1, pixels, labels); err != nil {
		t.Fatal(err)
	}
	if err := e.Logits(t.Context(), core, core, pixels, logits); err != nil {
		t.Fatal(err)
	}
	raw, err := runFloats(g.model(), g.model().Graph.Outputs[0].Name, g.image(pixels, edge))
	if err != nil {
		t.Fatal(err)
	}
	for i := range labels {
		y, x := i/core+2, i%core+2
		want, sure := g.choose(raw, edge, y, x)
		if labels[i] != want && sure {
			t.Fatalf("pixel %d, %d: label %d, the model's own output says %d", x, y, labels[i], want)
		}
		counts[labels[i]]++
		if g.tail == "" {
			for c := range s.Logits {
				if got, want := logits[c*core*core+i], g.at(raw, edge, y, x, c); math.Abs(float64(got-want)) > 2e-3 {
					t.Fatalf("logit %d of pixel %d, %d: %g, the model gives %g", c, x, y, got, want)
				}
			}
		}
	}
}

// image is what the guest sees of pixels, in its layout.
func (g guest) image(pixels []byte, edge int) npy.Array {
	a := npy.Array{Shape: []int{1, g.channels, edge, edge}}
	if g.last {
		a.Shape = []int{1, edge, edge, g.channels}
	}
	a.Values = make([]float32, g.channels*edge*edge)
	for i := range edge * edge {
		for c := range g.channels {
			v := float64(pixels[3*i+c])
			if g.channels == 1 {
				v = 0.299*float64(pixels[3*i]) + 0.587*float64(pixels[3*i+1]) + 0.114*float64(pixels[3*i+2])
			}
			if g.element == onnx.Uint8 {
				v = math.Floor(v + 0.5)
			} else {
				v = (v - 120) * 0.01
			}
			at := c*edge*edge + i
			if g.last {
				at = i*g.channels + c
			}
			a.Values[at] = float32(v)
		}
	}
	return a
}

// at returns a value of the guest's output.
func (g guest) at(out npy.Array, edge, y, x, c int) float32 {
	channels := len(out.Values) / edge / edge
	if g.last {
		return out.Values[(y*edge+x)*channels+c]
	}
	return out.Values[(c*edge+y)*edge+x]
}

// choose says which label the guest's output means, and whether that is beyond what rounding may change.
func (g guest) choose(out npy.Array, edge, y, x int) (label byte, sure bool) {
	const near = 5e-3
	v := func(c int) float64 { return float64(g.at(out, edge, y, x, c)) }
	switch {
	case strings.Contains(g.tail, "ArgMax"), g.tail == "Greater":
		return byte(v(0)), g.element == onnx.Float32
	case g.classes == 1:
		limit := 0.0
		if g.tail != "" {
			limit = 0.5
		}
		if v(0) > limit {
			label = 1
		}
		return label, math.Abs(v(0)-limit) > near
	}
	best := 0
	values := []float64{v(0), v(1), v(2)}
	for c := range values {
		if values[c] > values[best] {
			best = c
		}
	}
	sorted := slices.Sorted(slices.Values(values))
	sure = sorted[2]-sorted[1] > near
	if g.tail == "Sigmoid" { // each class by itself
		if values[best] <= 0.5 {
			return 0, math.Abs(values[best]-0.5) > near
		}
		return byte(best + 1), sure && math.Abs(values[best]-0.5) > near
	}
	return byte(best), sure
}

// Sizes that a file fixes are made free, unless the graph depends on them.
func TestFixedSizes(t *testing.T) {
	needRuntime(t)
	g := guest{channels: 3, element: onnx.Float32, classes: 2, edge: 64, opset: 17}
	open := func(m *onnx.Model) Spec {
		t.Helper()
		m.Set(keyClasses, "a,b")
		e, err := Open(writeFile(t, m.Encode()), Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		s := e.Spec()
		core := 60
		if s.Input == 0 {
			core = 17
		}
		edge := s.Geometry.Input(core)
		if err := e.Predict(t.Context(), 1, make([]byte, 3*edge*edge), make([]byte, core*core)); err != nil {
			t.Error(err)
		}
		return s
	}
	if s := open(g.model()); s.Input != 0 {
		t.Errorf("takes only %d", s.Input)
	}
	m := g.model()
	out := m.Graph.Outputs[0].Name
	for _, step := range [][]int64{{1, 2, 64 * 64}, {1, 2, 64, 64}} {
		name := fmt.Sprint("shape", len(step))
		m.Graph.Weights = append(m.Graph.Weights, onnx.IntTensor(name, step...))
		m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Op: "Reshape", Inputs: []string{out, name}, Outputs: []string{"by " + name}})
		out = "by " + name
	}
	m.Graph.Outputs[0].Name = out
	if s := open(m); s.Input != 64 {
		t.Errorf("with a size in the graph, takes %d", s.Input)
	}
}

// A graph that needs more than its file states is used with what it needs, and says so; more than it needs is kept.
func TestGraphWins(t *testing.T) {
	needRuntime(t)
	for _, c := range []struct {
		before, after string
		want          Geometry
		warn          bool
	}{
		{"1", "1", Geometry{1, 2, 2}, true},
		{"1", "2", Geometry{1, 2, 2}, true},
		{"2", "1", Geometry{1, 2, 2}, true},
		{"2", "2", Geometry{1, 2, 2}, false},
		{"9", "3", Geometry{1, 9, 3}, false},
	} {
		m := guest{channels: 3, element: onnx.Float32, classes: 2, opset: 17}.model()
		m.Set(keyBefore, c.before)
		m.Set(keyAfter, c.after)
		m.Set(keyStride, "1")
		m.Set(keyMPP, "0.5")
		m.Set(keyMean, "1")
		e, err := Open(writeFile(t, m.Encode()), Config{})
		if err != nil {
			t.Fatal(err)
		}
		s := e.Spec()
		if s.Geometry != c.want || (len(s.Warnings) == 1) != c.warn || len(s.Warnings) > 1 {
			t.Errorf("stated %s and %s: %+v, warnings %q", c.before, c.after, s.Geometry, s.Warnings)
		}
		e.Close()
	}
	// A file of our own form that was cut to too little is cut anew, and gives the same logits.
	a := Architecture{Depth: 1, Base: 3, Classes: 2, Same: true, Seed: 3, Card: Card{MPP: 0.5}}
	narrow, err := a.onnx(Geometry{2, 4, 4})
	if err != nil {
		t.Fatal(err)
	}
	e, err := OpenLogits(writeFile(t, narrow), Config{Device: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	whole, err := OpenLogits(writeModel(t, a), Config{Device: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if e.Spec().Geometry != a.Geometry() || len(e.Spec().Warnings) != 1 {
		t.Fatalf("%+v, %q", e.Spec().Geometry, e.Spec().Warnings)
	}
	const core = 16
	edge := a.Geometry().Input(core)
	pixels := randomPicture(rand.New(rand.NewPCG(1, 1)), edge, edge).pixels
	got, want := make([]float32, 2*core*core), make([]float32, 2*core*core)
	for e, out := range map[Engine][]float32{e: got, whole: want} {
		if err := e.Logits(t.Context(), core, core, pixels, out); err != nil {
			t.Fatal(err)
		}
	}
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > 1e-5 {
			t.Fatalf("logit %d: %g and %g", i, got[i], want[i])
		}
	}
}

const perSampleCard = `format_version: 0.4.9
type: model
name: standardised
inputs: [{name: picture, axes: bcyx, preprocessing: [{name: scale_linear, kwargs: {gain: 0.5, offset: 3, axes: yx}}, {name: zero_mean_unit_variance, kwargs: {mode: per_sample, axes: yx}}]}]
outputs: [{name: logits, axes: bcyx}]
`

// beside writes a model with a card beside it.
func beside(t *testing.T, data []byte, card string) string {
	t.Helper()
	path := writeFile(t, data)
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "rdf.yaml"), []byte(card), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// A model that normalises by the image normalises all tiles of a slide alike, and slides side by side each by itself.
func TestForSlide(t *testing.T) {
	needRuntime(t)
	g := guest{channels: 3, element: onnx.Float32, classes: 2, opset: 17}
	m, err := OpenLogits(beside(t, g.model().Encode(), perSampleCard), Config{Classes: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const core = 20
	edge := m.Spec().Geometry.Input(core)
	tile := randomPicture(rand.New(rand.NewPCG(3, 3)), edge, edge).pixels
	logits := func(m Model) []float32 {
		out := make([]float32, 2*core*core)
		if err := m.(LogitsModel).Logits(context.Background(), core, core, tile, out); err != nil {
			t.Error(err)
		}
		return out
	}
	// The statistics of these are known: 50 and 150 in equal parts are 28 and 78 after the first step, so mean 53, deviation 25.
	half := bytes.Repeat([]byte{50, 50, 50, 150, 150, 150}, 500)
	view, n, err := ForSlide(m, half)
	if err != nil {
		t.Fatal(err)
	}
	for c := range 3 {
		if math.Abs(n.Gain[c]-1/25.0) > 1e-6 || math.Abs(n.Offset[c]+53/25.0) > 1e-6 {
			t.Errorf("channel %d: gain %g, offset %g", c, n.Gain[c], n.Offset[c])
		}
	}
	fixed, err := OpenLogits(writeFile(t, withMetadata(g.model().Encode(), keyMean, "100", keyScale, "0.02")), Config{}) // (0.5 v + 3 - 53) / 25
	if err != nil {
		t.Fatal(err)
	}
	defer fixed.Close()
	want := logits(fixed)
	other, _, err := ForSlide(m, bytes.Repeat([]byte{10, 20, 30, 250, 240, 230}, 500))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []float32)
	go func() { done <- logits(view) }()
	apart := logits(other)
	for i, v := range <-done {
		if math.Abs(float64(v-want[i])) > 1e-5 {
			t.Fatalf("logit %d: %g, with the same normalisation in the file %g", i, v, want[i])
		}
	}
	if slices.Equal(apart, want) || slices.Equal(logits(m), want) {
		t.Error("another slide, or the tile by itself, gives the same: the comparison is blind")
	}
	if same, n, err := ForSlide(fixed, half); same != Model(fixed) || n != nil || err != nil {
		t.Errorf("a model that normalises all alike: %v, %v", n, err)
	}
	turned, _, err := ForSlide(TTA(m), half)
	if err != nil {
		t.Fatal(err)
	}
	tta, ttaFixed := logits(turned), logits(TTA(fixed))
	for i, v := range tta {
		if math.Abs(float64(v-ttaFixed[i])) > 1e-4 {
			t.Fatalf("augmented, logit %d: %g and %g", i, v, ttaFixed[i])
		}
	}
}

// Of what is told of a model flags go first, then a card that is named, the metadata, and a card beside the file.
func TestPrecedence(t *testing.T) {
	g := guest{channels: 3, element: onnx.Float32, classes: 2, opset: 17}
	card := func(name string) string {
		return fmt.Sprintf(`format_version: 0.4.9
type: model
name: %s
inputs: [{name: picture, axes: bcyx, preprocessing: [{name: scale_linear, kwargs: {gain: 0.25, offset: 0, axes: yx}}]}]
outputs: [{name: logits, axes: bcyx}]
`, name)
	}
	named := filepath.Join(t.TempDir(), "named.yaml")
	if err := os.WriteFile(named, []byte(card("named")), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what       string
		meta       []string
		cfg        Config
		name       string
		classes    string
		normalised float64 // gain
	}{
		{"card beside", nil, Config{}, "beside", "class 0", 0.25},
		{"metadata", []string{keyName, "meta", keyClasses, "a,b", keyScale, "0.5"}, Config{}, "meta", "a", 0.5},
		{"named card", []string{keyName, "meta", keyClasses, "a,b", keyScale, "0.5"}, Config{Card: named}, "named", "a", 0.25},
		{"flags", []string{keyName, "meta", keyClasses, "a,b", keyScale, "0.5"}, Config{Card: named, Classes: []string{"x", "y"}}, "named", "x", 0.25},
	} {
		path := beside(t, withMetadata(g.model().Encode(), c.meta...), card("beside"))
		_, spec, err := understand(path, c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if gain := spec.normalise.before[0].Gain[0]; spec.Name != c.name || spec.Classes[0] != c.classes || gain != c.normalised {
			t.Errorf("%s: name %s, classes %v, gain %g", c.what, spec.Name, spec.Classes, gain)
		}
	}
}

// Batches, and several devices, keep slides apart whose tiles are labelled at a time.
func TestForSlideOnDevices(t *testing.T) {
	needRuntime(t)
	g := guest{channels: 3, element: onnx.Float32, classes: 2, opset: 17}
	m, err := OpenLogits(beside(t, g.model().Encode(), perSampleCard), Config{Classes: []string{"a", "b"}, Device: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const core, slides, each = 20, 3, 12
	edge := m.Spec().Geometry.Input(core)
	batched := func() Engine { return Batch(m, Batching{Pixels: 1 << 20, Most: 4, Runs: 2, Wait: time.Second}) }
	for name, device := range map[string]Engine{"batches": batched(), "several": several([]Engine{batched(), batched()})} {
		var views [slides][2]Model // of the engine by itself, of the device
		for i := range views {
			grey := byte(60 * (i + 1))
			for k, m := range []Model{m, device} {
				if views[i][k], _, err = ForSlide(m, bytes.Repeat([]byte{grey, grey, grey, 255, 255, 255}, 100)); err != nil {
					t.Fatal(err)
				}
			}
		}
		tile := randomPicture(rand.New(rand.NewPCG(3, 3)), edge, edge).pixels
		var want, got [slides][]byte
		var tiles sync.WaitGroup
		for i, v := range views {
			want[i] = make([]byte, core*core)
			if err := v[0].Predict(t.Context(), 1, tile, want[i]); err != nil {
				t.Fatal(err)
			}
			got[i] = make([]byte, each*core*core)
			for k := range each {
				tiles.Go(func() {
					if err := v[1].Predict(t.Context(), 1, tile, got[i][k*core*core:][:core*core]); err != nil {
						t.Error(err)
					}
				})
			}
		}
		tiles.Wait()
		for i := range views {
			if !bytes.Equal(got[i], bytes.Repeat(want[i], each)) {
				t.Errorf("%s: slide %d has other labels than by itself", name, i)
			}
		}
		if bytes.Equal(want[0], want[1]) || bytes.Equal(want[1], want[2]) {
			t.Error("slides have the same labels: the comparison is blind")
		}
	}
}

// A graph whose Reshape is to one image is never given several, whatever its input says.
func TestOneImageAtATime(t *testing.T) {
	needRuntime(t)
	for _, fixed := range []bool{false, true} {
		m := guest{channels: 3, element: onnx.Float32, classes: 2, opset: 17}.model()
		m.Graph.Inputs[0].Dims[0] = onnx.Dim{N: -1, Name: "n"}
		if fixed {
			m.Graph.Weights = append(m.Graph.Weights, onnx.IntTensor("sizes", 2), onnx.IntTensor("end", 4), onnx.IntTensor("first", 1, 2))
			x := m.Graph.Outputs[0].Name
			add := func(op, out string, in ...string) {
				m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Op: op, Inputs: in, Outputs: []string{out}})
			}
			add("Shape", "shape", x)
			add("Slice", "size", "shape", "sizes", "end")
			m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Op: "Concat", Inputs: []string{"first", "size"}, Outputs: []string{"to"}, Attributes: []onnx.Attribute{onnx.Attr("axis", 0)}})
			add("Reshape", "out", x, "to")
			m.Graph.Outputs[0].Name = "out"
		}
		opened, spec, err := understand(writeFile(t, withMetadata(m.Encode(), keyClasses, "a,b")), Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := opened.Graph.Inputs[0].Dims[0].N; (got == 1) != fixed {
			t.Errorf("a batch of %d images, %v, %+v", got, fixed, spec.Geometry)
		}
	}
}

// Weights in a file beside the model are read; without them, or outside its folder, it is said what is missing.
func TestExternalWeights(t *testing.T) {
	needRuntime(t)
	whole := guest{channels: 3, element: onnx.Float32, classes: 2, opset: 17}.model()
	whole.Set(keyMean, "1")
	inside := writeFile(t, whole.Encode())
	outside := func(location string) (path string, data []byte) {
		m := guest{channels: 3, element: onnx.Float32, classes: 2, opset: 17}.model()
		m.Set(keyMean, "1")
		for i, w := range m.Graph.Weights {
			m.Graph.Weights[i] = w.At(location, int64(len(data)))
			data = append(data, w.Data...)
		}
		return writeFile(t, m.Encode()), data
	}
	path, data := outside("weights.bin")
	_, err := Open(path, Config{})
	wantLine(t, "missing", err, "keeps its weights in another file, weights.bin, which is not beside it")
	at := filepath.Join(filepath.Dir(path), "weights.bin")
	if err := os.WriteFile(at, data[:len(data)-1], 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, Config{})
	wantLine(t, "short", err, "weights.bin is too short")
	if err := os.WriteFile(at, data, 0o666); err != nil {
		t.Fatal(err)
	}
	var sums []string
	var all [][]float32
	for _, path := range []string{inside, path} {
		e, err := OpenLogits(path, Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		edge := e.Spec().Geometry.Input(8)
		out := make([]float32, 2*64)
		if err := e.Logits(t.Context(), 8, 8, randomPicture(rand.New(rand.NewPCG(3, 3)), edge, edge).pixels, out); err != nil {
			t.Fatal(err)
		}
		all, sums = append(all, out), append(sums, e.Spec().SHA256)
	}
	if !slices.Equal(all[0], all[1]) || sums[0] != sums[1] {
		t.Errorf("weights outside and inside differ: %s %s", sums[0], sums[1])
	}
	path, _ = outside("../weights.bin")
	_, err = Open(path, Config{})
	wantLine(t, "elsewhere", err, "outside the model's folder")
}

// The network of bioimage.io gives what ONNX Runtime gave elsewhere; what another framework gives for its upsampling is
// found to differ, with the reason.
func TestCheckOfBioimageModel(t *testing.T) {
	needRuntime(t)
	const folder = "models/unet2d_nuclei_broad/"
	read := func(name string) []byte {
		data, err := os.ReadFile(shared.File(t, folder+name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	model, input := read("weights.onnx"), read("ort_input_zmuv.npy")
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("weights.onnx", model)
	write("model.yaml", read("UNet2DNucleiBroad.model.yaml"))
	path := filepath.Join(dir, "weights.onnx")
	_, err := RunTests(path, Config{})
	wantLine(t, "no tensors", err, "test_input.npy is not there")
	write("test_input.npy", input)
	write("test_output.npy", read("ort_output_zmuv.npy"))
	checks, err := RunTests(path, Config{})
	if err != nil || len(checks) != 1 || checks[0].Deviation > 1e-4 || checks[0].Values != 512*512 || !checks[0].Passed() {
		t.Fatalf("%+v, %v", checks, err)
	}
	// PyTorch's bilinear upsampling, half_pixel, in place of the asymmetric one of opset 9.
	half := edited(model, func(m *onnx.Model) {
		m.Opsets[0].Version = 13
		for _, n := range m.Graph.Nodes {
			if n.Op == "Upsample" {
				n.Op, n.Inputs = "Resize", []string{n.Inputs[0], "", n.Inputs[1]}
				n.Attributes = append(n.Attributes, onnx.Attr("coordinate_transformation_mode", "half_pixel"))
			}
		}
	})
	m, err := onnx.Decode(half)
	if err != nil {
		t.Fatal(err)
	}
	in, err := npy.Decode(input)
	if err != nil {
		t.Fatal(err)
	}
	out, err := runFloats(m, m.Graph.Outputs[0].Name, in)
	if err != nil {
		t.Fatal(err)
	}
	write("test_output.npy", npy.Encode(out.Shape, out.Values))
	checks, err = RunTests(path, Config{})
	if err != nil || checks[0].Passed() || checks[0].Deviation < 0.01 || !strings.Contains(checks[0].Cause, "asymmetric") {
		t.Errorf("%+v, %v", checks, err)
	}
	e, err := Open(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := e.Spec()
	if s.Before+s.After < 2*48 || max(s.Before, s.After) != 56 || s.Input != 0 || !s.PerSlide || !strings.Contains(strings.Join(s.Warnings, ";"), "halo of 32 pixels, the graph looks 56") {
		t.Errorf("%+v", s)
	}
}

// The form of a model tells apart whatever changes its labels or what they are called, though the file is the same; and nothing else.
func TestForm(t *testing.T) {
	m := guest{channels: 3, element: onnx.Float32, classes: 1, opset: 17}.model()
	out := m.Graph.Outputs[0]
	m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Op: "Neg", Inputs: []string{out.Name}, Outputs: []string{"negated"}})
	negated := out
	negated.Name = "negated"
	m.Graph.Outputs = append(m.Graph.Outputs, negated)
	path := writeFile(t, m.Encode())
	card := func(name, preprocessing, threshold string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "rdf.yaml")
		text := fmt.Sprintf("format_version: 0.4.9\ntype: model\nname: %s\ninputs: [{name: picture, axes: bcyx, preprocessing: [%s]}]\n"+
			"outputs: [{name: %s, axes: bcyx, postprocessing: [{name: sigmoid}, {name: binarize, kwargs: {threshold: %s}}]}]\n", name, preprocessing, out.Name, threshold)
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const linear, perImage = "{name: scale_linear, kwargs: {gain: %s, offset: 3, axes: yx}}", "{name: zero_mean_unit_variance, kwargs: {mode: per_sample, axes: yx, eps: %s}}"
	step := func(format, v string) string { return fmt.Sprintf(format, v) }
	own := Config{Output: out.Name}
	carded := func(file string) Config { return Config{Output: out.Name, Card: file} }
	trained := writeModel(t, Architecture{Depth: 1, Base: 2, Classes: 2, Seed: 3})
	forms := map[string]string{}
	for _, c := range []struct {
		what, model string
		cfg         Config
		like        string // what it has the form of; "": of none before it
	}{
		{"the file", path, own, ""},
		{"again", path, own, "the file"},
		{"its classes, named", path, Config{Output: out.Name, Classes: []string{"background", "foreground"}}, "the file"},
		{"other classes", path, Config{Output: out.Name, Classes: []string{"background", "nucleus"}}, ""},
		{"other output", path, Config{Output: "negated"}, ""},
		{"half precision", path, Config{Output: out.Name, Half: true}, ""},
		{"card", path, carded(card("a", step(linear, "0.5"), "0.4")), ""},
		{"card of another name", path, carded(card("b", step(linear, "0.5"), "0.4")), "card"},
		{"threshold", path, carded(card("a", step(linear, "0.5"), "0.41")), ""},
		{"normalisation", path, carded(card("a", step(linear, "0.25"), "0.4")), ""},
		{"by the image", path, carded(card("a", step(perImage, "1.0e-6"), "0.4")), ""},
		{"by the image, again", path, carded(card("a", step(perImage, "1.0e-6"), "0.4")), "by the image"},
		{"by the image, otherwise", path, carded(card("a", step(perImage, "1.0e-2"), "0.4")), ""},
		{"microtome's own", trained, Config{}, ""},
		{"microtome's own, a card", trained, carded(card("c", step(linear, "0.5"), "0.3")), "microtome's own"},
		{"microtome's own, other classes", trained, Config{Classes: []string{"no", "yes"}}, ""},
		{"built in", "passthrough", Config{}, ""},
	} {
		_, spec, err := understand(c.model, c.cfg)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		for other, form := range forms {
			if same := form == spec.Form; same && c.like == "" {
				t.Errorf("%s has the form of %s", c.what, other)
			}
		}
		if c.like == "" {
			forms[c.what] = spec.Form
		} else if spec.Form != forms[c.like] {
			t.Errorf("%s has not the form of %s", c.what, c.like)
		}
	}
}
