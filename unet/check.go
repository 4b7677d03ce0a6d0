package unet

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/unet/cards"
	"microtome/unet/npy"
	"microtome/unet/onnx"
)

// Tolerance is how far a network's output may lie from a test tensor, of values up to 1; of larger ones, relative to the largest.
const Tolerance = 1e-4

// A Check is how a network's output compares with a test tensor of its card.
type Check struct {
	Input, Output string  // files
	Values        int     // that were compared
	Deviation     float64 // the greatest
	Limit         float64 // of the deviation
	Cause         string  // what may have made it too great; "": it is not, or nothing is suspected
}

// Passed reports whether the output is the expected one.
func (c Check) Passed() bool { return c.Deviation <= c.Limit }

// RunTests runs the test tensors of a model's card through its network, as the file has it, on the CPU, with the pre- and
// postprocessing that the card asks for. There may be no card, or one without test tensors.
func RunTests(name string, cfg Config) (checks []Check, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("model %s: %w", name, err)
		}
	}()
	card, _, err := cardOf(name, cfg)
	if err != nil || len(card.Tests) == 0 {
		return nil, err
	}
	if err := startRuntime(cfg.Library); err != nil {
		return nil, err
	}
	for _, test := range card.Tests {
		c, err := runTest(name, cfg, card, test)
		if err != nil {
			return nil, err
		}
		checks = append(checks, c)
	}
	return checks, nil
}

// cardOf reads the card that is named, or the one beside a model's file, and returns where it is. There may be none.
func cardOf(name string, cfg Config) (card cards.Card, path string, err error) {
	if path = cfg.Card; path == "" && builtins[name] == nil {
		path, err = cards.Find(name)
	}
	if path == "" || err != nil {
		return card, path, err
	}
	card, err = cards.Read(path)
	return card, path, err
}

// runTest runs one of the test tensors.
func runTest(name string, cfg Config, card cards.Card, test cards.Test) (Check, error) {
	c := Check{Input: test.Input, Output: test.Output}
	in, err := readArray(test.Input)
	if err != nil {
		return c, err
	}
	want, err := readArray(test.Output)
	if err != nil {
		return c, err
	}
	m, err := load(name)
	if err != nil {
		return c, err
	}
	if len(m.Graph.Inputs) != 1 {
		return c, fmt.Errorf("the model takes %d inputs (%s), and the card has a tensor for one", len(m.Graph.Inputs), valueNames(m.Graph.Inputs))
	}
	at := slices.IndexFunc(m.Graph.Outputs, func(v onnx.Value) bool { return v.Name == cmp.Or(test.Name, cfg.Output) })
	if at < 0 && len(m.Graph.Outputs) > 1 {
		return c, fmt.Errorf("the model has several outputs: name one of them with --output: %s", valueNames(m.Graph.Outputs))
	}
	if err := prepare(in, cmp.Or(card.Axes, "bcyx"), card.Steps); err != nil {
		return c, err
	}
	got, err := runFloats(m, m.Graph.Outputs[max(at, 0)].Name, in)
	if err != nil {
		return c, err
	}
	if !slices.Equal(got.Shape, want.Shape) {
		return c, fmt.Errorf("%s has the shape %v, and the network gives %v", test.Output, want.Shape, got.Shape)
	}
	if test.Name == "" {
		activate(got, card)
	}
	c.Values = len(want.Values)
	most := 1.0
	for i, v := range want.Values {
		d := math.Abs(float64(v - got.Values[i]))
		if math.IsNaN(d) && !math.IsNaN(float64(v)) {
			d = math.Inf(1)
		}
		c.Deviation = max(c.Deviation, d)
		most = max(most, math.Abs(float64(v)))
	}
	c.Limit = Tolerance * most
	if !c.Passed() {
		c.Cause = suspect(m.Graph)
		if data, err := Read(name); err == nil && card.SHA256 != "" {
			if digest(data) != card.SHA256 {
				c.Cause = strings.TrimPrefix(c.Cause+"; and the card is of another file, as its SHA-256 says", "; and ")
			}
		}
	}
	return c, nil
}

// load reads a model as its file has it.
func load(name string) (*onnx.Model, error) {
	data, err := Read(name)
	if err != nil {
		return nil, err
	}
	m, err := onnx.Decode(data)
	if err != nil {
		return nil, err
	}
	_, err = m.Load(filepath.Dir(name))
	return m, err
}

func readArray(path string) (npy.Array, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return npy.Array{}, fmt.Errorf("the card's test tensor %s is not there: get it from where the model came from", path)
	}
	if err != nil {
		return npy.Array{}, err
	}
	a, err := npy.Decode(data)
	if err != nil {
		return a, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// prepare does a card's preprocessing to an array, image by image.
func prepare(a npy.Array, axes string, steps []cards.Step) error {
	if len(a.Shape) != len(axes) || len(a.Shape) < 2 {
		return fmt.Errorf("a test tensor has the shape %v, and the card the axes %s", a.Shape, axes)
	}
	if len(steps) == 0 {
		return nil
	}
	stride := make([]int, len(axes))
	for i, n := len(axes)-1, 1; i >= 0; i-- {
		stride[i], n = n, n*a.Shape[i]
	}
	along := func(letter string) (n, step int) {
		if i := strings.Index(axes, letter); i >= 0 {
			return a.Shape[i], stride[i]
		}
		return 1, 0
	}
	images, toImage := along("b")
	channels, toChannel := along("c")
	rows, toRow := along("y")
	columns, toColumn := along("x")
	for i := range images {
		visit := func(do func(c, k int, v *float32)) {
			for c := range channels {
				for k := range rows * columns {
					do(c, k, &a.Values[i*toImage+c*toChannel+k/columns*toRow+k%columns*toColumn])
				}
			}
		}
		planes := make([][]float32, channels)
		for c := range planes {
			planes[c] = make([]float32, rows*columns)
		}
		visit(func(c, k int, v *float32) { planes[c][k] = *v })
		for _, s := range steps {
			if s.PerImage() {
				s = s.Fit(planes)
			}
			s.Apply(planes)
		}
		visit(func(c, k int, v *float32) { *v = planes[c][k] })
	}
	return nil
}

// activate does a card's postprocessing to an output, channels second.
func activate(a npy.Array, card cards.Card) {
	switch card.Activated {
	case "sigmoid":
		for i, v := range a.Values {
			a.Values[i] = float32(1 / (1 + math.Exp(-float64(v))))
		}
	case "softmax":
		if len(a.Shape) == 4 {
			n := a.Shape[2] * a.Shape[3]
			for image := range a.Shape[0] {
				values := a.Values[image*a.Shape[1]*n:]
				for k := range n {
					softmax(values[k:], a.Shape[1], n)
				}
			}
		}
	}
	if card.Threshold != 0 {
		cards.Step{Op: cards.Above, Low: card.Threshold}.Apply([][]float32{a.Values})
	}
}

// runFloats runs a model on an array; see openFloats.
func runFloats(m *onnx.Model, output string, in npy.Array) (npy.Array, error) {
	session, err := openFloats(m, output)
	if err != nil {
		return npy.Array{}, err
	}
	defer session.close()
	return session.run(in)
}

// A floatSession runs a network as its file has it, on the CPU.
type floatSession struct{ *ort.DynamicAdvancedSession }

// openFloats changes a model, which may take and give other types, to one that takes and gives float32.
func openFloats(m *onnx.Model, output string) (floatSession, error) {
	g := m.Graph
	g.Keep(output)
	b := &builder{opset: m.Opset(""), prefix: freePrefix(g)}
	input := g.Inputs[0]
	first := &onnx.Node{Op: "Cast", Inputs: []string{b.prefix + "in"}, Outputs: []string{input.Name}, Attributes: []onnx.Attribute{onnx.Attr("to", input.Type)}}
	last := &onnx.Node{Op: "Cast", Inputs: []string{output}, Outputs: []string{b.prefix + "out"}, Attributes: []onnx.Attribute{onnx.Attr("to", onnx.Float32)}}
	g.Nodes = slices.Concat([]*onnx.Node{first}, g.Nodes, []*onnx.Node{last})
	input.Name, input.Type = b.prefix+"in", onnx.Float32
	g.Inputs, g.Outputs = []onnx.Value{input}, []onnx.Value{{Name: b.prefix + "out", Type: onnx.Float32}}
	s, err := device{kind: cpuName}.session(m, b.prefix+"out", false)
	return floatSession{s}, err
}

func (s floatSession) close() { _ = s.Destroy() } // it has nothing to report

func (s floatSession) run(in npy.Array) (npy.Array, error) {
	shape := make(ort.Shape, len(in.Shape))
	for i, d := range in.Shape {
		shape[i] = int64(d)
	}
	tensor, err := ort.NewTensor(shape, in.Values)
	if err != nil {
		return npy.Array{}, fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	defer func() { _ = tensor.Destroy() }()
	results := []ort.Value{nil} // ONNX Runtime makes it
	if err := s.Run([]ort.Value{tensor}, results); err != nil {
		return npy.Array{}, fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	result, ok := results[0].(*ort.Tensor[float32])
	if !ok {
		return npy.Array{}, errors.New("the output is no tensor of numbers")
	}
	defer func() { _ = result.Destroy() }()
	out := npy.Array{Values: slices.Clone(result.GetData())}
	for _, d := range result.GetShape() {
		out.Shape = append(out.Shape, int(d))
	}
	return out, nil
}

// suspect says what in a graph is computed differently by the frameworks that networks come from.
func suspect(g *onnx.Graph) string {
	linear, modes := 0, map[string]bool{}
	for _, n := range g.Nodes {
		switch {
		case n.Op == "Upsample" && strings.HasPrefix(n.Text("mode", "nearest"), "linear"):
			linear++
			modes["asymmetric"] = true
		case n.Op == "Resize" && n.Text("mode", "nearest") != "nearest":
			linear++
			modes[n.Text("coordinate_transformation_mode", "half_pixel")] = true
		}
	}
	if linear == 0 {
		return ""
	}
	return fmt.Sprintf("%d nodes of the graph interpolate linearly, with %s coordinates: other frameworks place the pixels otherwise (PyTorch: half_pixel, or align_corners), "+
		"and an export with opset 9 or 10 cannot say so: export again with opset 11 or later, and compare", linear, strings.Join(slices.Sorted(maps.Keys(modes)), " and "))
}
