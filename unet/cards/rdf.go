package cards

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// An rdf is what microtome reads of a resource description file of bioimage.io, of a model. Until 0.4 axes are a text;
// from 0.5 on they are objects that hold what stood beside them.
type rdf struct {
	Version     string      `yaml:"format_version"`
	Type        string      `yaml:"type"`
	Name        string      `yaml:"name"`
	Description string      `yaml:"description"`
	Licence     string      `yaml:"license"`
	Inputs      []rdfTensor `yaml:"inputs"`
	Outputs     []rdfTensor `yaml:"outputs"`
	TestInputs  []yaml.Node `yaml:"test_inputs"`
	TestOutputs []yaml.Node `yaml:"test_outputs"`
	Weights     struct {
		ONNX struct {
			SHA256 string `yaml:"sha256"`
		} `yaml:"onnx"`
	} `yaml:"weights"`
}

type rdfTensor struct {
	Name  string    `yaml:"name"`
	ID    string    `yaml:"id"`
	Axes  yaml.Node `yaml:"axes"`
	Halo  []int     `yaml:"halo"`
	Shape yaml.Node `yaml:"shape"`
	Pre   []rdfStep `yaml:"preprocessing"`
	Post  []rdfStep `yaml:"postprocessing"`
	Test  yaml.Node `yaml:"test_tensor"`
}

type rdfAxis struct {
	Type     string    `yaml:"type"`
	ID       string    `yaml:"id"`
	Channels yaml.Node `yaml:"channel_names"`
	Halo     int       `yaml:"halo"`
	Scale    float64   `yaml:"scale"`
	Unit     string    `yaml:"unit"`
}

type rdfStep struct {
	Name string  `yaml:"name"`
	ID   string  `yaml:"id"`
	With rdfWith `yaml:"kwargs"`
}

type rdfWith struct {
	Mode      string    `yaml:"mode"`
	Axes      yaml.Node `yaml:"axes"`
	Axis      string    `yaml:"axis"`
	Mean      list      `yaml:"mean"`
	Std       list      `yaml:"std"`
	Gain      list      `yaml:"gain"`
	Offset    list      `yaml:"offset"`
	Threshold list      `yaml:"threshold"`
	Min       *float64  `yaml:"min"`
	Max       *float64  `yaml:"max"`
	Low       *float64  `yaml:"min_percentile"`
	High      *float64  `yaml:"max_percentile"`
	Eps       *float64  `yaml:"eps"`
	Reference string    `yaml:"reference_tensor"`
	Dtype     string    `yaml:"dtype"`
}

// A list is numbers as the formats write them: one, or lists within lists, one for each channel.
type list []float64

func (l *list) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		var v float64
		err := n.Decode(&v)
		*l = append(*l, v)
		return err
	}
	for _, inner := range n.Content {
		if err := l.UnmarshalYAML(inner); err != nil {
			return err
		}
	}
	return nil
}

func decodeRDF(data []byte) (Card, error) {
	var keys map[string]yaml.Node
	if yaml.Unmarshal(data, &keys) != nil {
		return Card{}, ErrNone
	}
	_, version := keys["format_version"]
	_, inputs := keys["inputs"]
	if !version || !inputs {
		return Card{}, ErrNone
	}
	var file rdf
	if err := yaml.Unmarshal(data, &file); err != nil {
		return Card{}, fmt.Errorf("not an RDF of bioimage.io: %s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if v := file.Version; !strings.HasPrefix(v, "0.3") && !strings.HasPrefix(v, "0.4") && !strings.HasPrefix(v, "0.5") {
		return Card{}, fmt.Errorf("an RDF of version %s: microtome reads 0.3, 0.4 and 0.5", v)
	}
	if file.Type != "" && file.Type != "model" {
		return Card{}, fmt.Errorf("an RDF of a %s: give that of a model", file.Type)
	}
	if len(file.Inputs) != 1 || len(file.Outputs) == 0 {
		return Card{}, fmt.Errorf("the model takes %d inputs and gives %d outputs: microtome gives it one image", len(file.Inputs), len(file.Outputs))
	}
	c := Card{Name: file.Name, Description: file.Description, Licence: file.Licence, HasSteps: true, SHA256: file.Weights.ONNX.SHA256}
	in, out := file.Inputs[0], file.Outputs[0]
	axes, err := in.axes()
	if err != nil {
		return Card{}, err
	}
	for _, a := range axes {
		c.Axes += a.letter()
		if a.Unit == "micrometer" && a.Type == "space" {
			c.MPP = a.Scale
		}
	}
	for _, step := range in.Pre {
		s, err := step.read(strings.Contains(c.Axes, "c"))
		if err != nil {
			return Card{}, err
		}
		if s.Op != "" {
			c.Steps = append(c.Steps, s)
		}
	}
	if err := c.output(out); err != nil {
		return Card{}, err
	}
	c.tests(file)
	return c, nil
}

// axes returns the axes of a tensor.
func (t rdfTensor) axes() ([]rdfAxis, error) {
	var text string
	var all []rdfAxis
	if t.Axes.Kind == yaml.SequenceNode {
		err := t.Axes.Decode(&all)
		return all, err
	}
	if err := t.Axes.Decode(&text); err != nil {
		return nil, fmt.Errorf("tensor %s%s has no axes: correct the card", t.Name, t.ID)
	}
	for i, letter := range text {
		a := rdfAxis{ID: string(letter), Type: map[rune]string{'b': "batch", 'c': "channel"}[letter]}
		if a.Type == "" {
			a.Type = "space"
		}
		if i < len(t.Halo) {
			a.Halo = t.Halo[i]
		}
		all = append(all, a)
	}
	return all, nil
}

// letter is the axis in the old notation.
func (a rdfAxis) letter() string {
	switch a.Type {
	case "batch":
		return "b"
	case "channel":
		return "c"
	}
	return a.ID[:min(1, len(a.ID))]
}

// output reads what the card says of the network's output.
func (c *Card) output(out rdfTensor) error {
	axes, err := out.axes()
	if err != nil {
		return err
	}
	for _, a := range axes {
		if a.Type == "space" {
			c.Halo = max(c.Halo, a.Halo)
			c.HasHalo = true
		}
		var classes []string
		if a.Type == "channel" && a.Channels.Decode(&classes) == nil && len(classes) > 1 {
			c.Classes = classes
		}
	}
	for _, step := range out.Post {
		switch name := step.Name + step.ID; name {
		case "sigmoid", "softmax":
			c.Activated = name
		case "binarize":
			if len(step.With.Threshold) != 1 {
				return fmt.Errorf("postprocessing binarize with %d thresholds: give one", len(step.With.Threshold))
			}
			c.Threshold = step.With.Threshold[0]
		case "ensure_dtype":
		default:
			return unknown("postprocessing", name)
		}
	}
	return nil
}

// tests reads the names of the test tensors.
func (c *Card) tests(file rdf) {
	for i, out := range file.Outputs {
		in, want := source(file.Inputs[0].Test), source(out.Test)
		if len(file.TestInputs) > 0 && i < len(file.TestOutputs) {
			in, want = source(file.TestInputs[0]), source(file.TestOutputs[i])
		}
		t := Test{Input: in, Output: want}
		if len(file.Outputs) > 1 {
			t.Name = out.Name + out.ID
		}
		if in != "" && want != "" && !strings.Contains(in+want, "://") {
			c.Tests = append(c.Tests, t)
		}
	}
}

// source returns the file that a node names.
func source(n yaml.Node) string {
	var text string
	var object struct {
		Source string `yaml:"source"`
	}
	if n.Decode(&text) == nil {
		return text
	}
	if n.Decode(&object) != nil {
		return ""
	}
	return object.Source
}

// read returns a step of preprocessing; one that does nothing has no Op.
func (s rdfStep) read(channels bool) (Step, error) {
	w := s.With
	or := func(v *float64, fallback float64) float64 {
		if v == nil {
			return fallback
		}
		return *v
	}
	name := s.Name + s.ID
	switch name {
	case "scale_linear":
		gain, offset := w.Gain, w.Offset
		if gain == nil {
			gain = list{1}
		}
		if offset == nil {
			offset = list{0}
		}
		return Step{Op: Linear, Gain: gain, Offset: offset}, nil
	case "clip":
		return Step{Op: Clip, Low: or(w.Min, -1e30), High: or(w.Max, 1e30)}, nil
	case "binarize":
		if len(w.Threshold) != 1 {
			return Step{}, fmt.Errorf("preprocessing binarize with %d thresholds: give one", len(w.Threshold))
		}
		return Step{Op: Above, Low: w.Threshold[0]}, nil
	case "sigmoid":
		return Step{Op: Sigmoid}, nil
	case "ensure_dtype":
		return Step{}, nil
	case "fixed_zero_mean_unit_variance":
		return w.fixed(name, 0)
	case "zero_mean_unit_variance":
		if w.Mode == "fixed" || w.Mode == "" && w.Mean != nil {
			return w.fixed(name, or(w.Eps, 1e-6))
		}
		s := Step{Op: Standardise, Eps: or(w.Eps, 1e-6), Joint: w.joint(channels)}
		return s, w.perSample(name)
	case "scale_range":
		s := Step{Op: Percentiles, Low: or(w.Low, 0), High: or(w.High, 100), Eps: or(w.Eps, 1e-6), Joint: w.joint(channels)}
		if w.Reference != "" {
			return s, fmt.Errorf("preprocessing %s by another tensor, %s: microtome gives the model one image", name, w.Reference)
		}
		return s, w.perSample(name)
	}
	return Step{}, unknown("preprocessing", name)
}

// fixed is a normalisation by numbers that stand in the card.
func (w rdfWith) fixed(name string, eps float64) (Step, error) {
	if len(w.Mean) == 0 || len(w.Std) == 0 {
		return Step{}, fmt.Errorf("preprocessing %s without mean and std: correct the card", name)
	}
	return standard(w.Mean, w.Std, eps), nil
}

func (w rdfWith) perSample(name string) error {
	if w.Mode == "per_dataset" {
		return fmt.Errorf("preprocessing %s over a whole data set, whose numbers the card does not state: write them down as mode fixed", name)
	}
	return nil
}

// joint reports whether the numbers are of all channels together: the axes that they are over contain that of the channels,
// or are not told, which is all.
func (w rdfWith) joint(channels bool) bool {
	var text string
	var names []string
	switch {
	case !channels || w.Axes.Kind == 0:
		return true
	case w.Axes.Kind == yaml.SequenceNode:
		return w.Axes.Decode(&names) == nil && (slices.Contains(names, "channel") || slices.Contains(names, "c"))
	}
	return w.Axes.Decode(&text) == nil && strings.Contains(text, "c")
}
