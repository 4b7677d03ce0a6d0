package cards

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// decodeJSON reads what stands in a JSON file, by the keys that only one format has.
func decodeJSON(data []byte) (Card, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return Card{}, ErrNone
	}
	switch {
	case keys["network_data_format"] != nil:
		return decodeMONAI(data)
	case keys["spec_version"] != nil && keys["patch_size_pixels"] != nil:
		return decodeWSInfer(data)
	case keys["format_version"] != nil: // an RDF, which is YAML and so may be JSON
		return decodeRDF(data)
	}
	return Card{}, ErrNone
}

// decodeWSInfer reads the config.json of WSInfer's model zoo, spec version 1.0.
func decodeWSInfer(data []byte) (Card, error) {
	var file struct {
		Name      string   `json:"name"`
		Classes   []string `json:"class_names"`
		Number    int      `json:"num_classes"`
		Patch     int      `json:"patch_size_pixels"`
		Spacing   float64  `json:"spacing_um_px"`
		Transform []struct {
			Name      string `json:"name"`
			Arguments struct {
				Size json.RawMessage `json:"size"`
				Mean []float64       `json:"mean"`
				Std  []float64       `json:"std"`
			} `json:"arguments"`
		} `json:"transform"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Card{}, fmt.Errorf("not a config.json of WSInfer: %w", err)
	}
	if file.Number > 0 && len(file.Classes) > 0 && file.Number != len(file.Classes) {
		return Card{}, fmt.Errorf("num_classes is %d, and class_names has %d: correct the card", file.Number, len(file.Classes))
	}
	c := Card{Name: file.Name, Classes: file.Classes, MPP: file.Spacing, HasSteps: true}
	for _, t := range file.Transform {
		switch t.Name {
		case "Resize": // of a patch: the network sees larger pixels
			size, err := edge(t.Arguments.Size)
			if err != nil {
				return Card{}, err
			}
			c.MPP *= float64(file.Patch) / float64(size)
		case "ToTensor":
			c.Steps = append(c.Steps, Step{Op: Linear, Gain: []float64{1.0 / 255}, Offset: []float64{0}})
		case "Normalize":
			if len(t.Arguments.Mean) == 0 || len(t.Arguments.Mean) != len(t.Arguments.Std) {
				return Card{}, fmt.Errorf("transform Normalize has %d means and %d deviations: correct the card", len(t.Arguments.Mean), len(t.Arguments.Std))
			}
			c.Steps = append(c.Steps, standard(t.Arguments.Mean, t.Arguments.Std, 0))
		default:
			return Card{}, unknown("transform", t.Name)
		}
	}
	return c, nil
}

// edge reads the size of a square, a number or a list of equal ones.
func edge(text json.RawMessage) (int, error) {
	var one int
	var list []int
	if json.Unmarshal(text, &one) == nil {
		list = []int{one}
	} else if err := json.Unmarshal(text, &list); err != nil {
		list = nil
	}
	if len(list) == 0 || list[0] <= 0 || list[0] != list[len(list)-1] {
		return 0, fmt.Errorf("transform Resize to the size %s: give one edge, px", text)
	}
	return list[0], nil
}

// standard is (v - mean) / (deviation + eps).
func standard(mean, deviation []float64, eps float64) Step {
	s := Step{Op: Linear}
	for i, m := range mean {
		d := pick(deviation, i) + eps
		s.Gain, s.Offset = append(s.Gain, 1/d), append(s.Offset, -m/d)
	}
	return s
}

// unknown is the error for a step that would be left out.
func unknown(what, name string) error {
	return fmt.Errorf("%s %q is not known to microtome: bake it into the model's graph, or leave it out of the card if it does nothing", what, name)
}

// decodeMONAI reads the metadata.json of a MONAI bundle. What its transforms do stands in code; the range of values is
// all that the file tells of them.
func decodeMONAI(data []byte) (Card, error) {
	type tensor struct {
		Type     string            `json:"type"`
		Format   string            `json:"format"`
		Channels int               `json:"num_channels"`
		Shape    []any             `json:"spatial_shape"`
		Range    []float64         `json:"value_range"`
		Meaning  map[string]string `json:"channel_def"`
	}
	var file struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Network     struct {
			Inputs  map[string]tensor `json:"inputs"`
			Outputs map[string]tensor `json:"outputs"`
		} `json:"network_data_format"`
		MPP float64 `json:"mpp"` // not of the format's schema, but some bundles of pathology have it
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Card{}, fmt.Errorf("not a metadata.json of MONAI: %w", err)
	}
	c := Card{Name: file.Name, Description: file.Description, MPP: file.MPP}
	if len(file.Network.Inputs) != 1 {
		return Card{}, fmt.Errorf("the network takes %d inputs, %s: microtome gives it one image", len(file.Network.Inputs), names(file.Network.Inputs))
	}
	for _, in := range file.Network.Inputs {
		if len(in.Shape) > 2 {
			return Card{}, fmt.Errorf("the network takes images of %d dimensions: a slide has 2", len(in.Shape))
		}
		c.Channels, c.Axes = in.Channels, "bcyx"
		if len(in.Range) == 2 && in.Range[0] < in.Range[1] {
			gain := (in.Range[1] - in.Range[0]) / 255
			c.Steps, c.HasSteps = []Step{{Op: Linear, Gain: []float64{gain}, Offset: []float64{in.Range[0]}}}, true
		}
	}
	if len(file.Network.Outputs) == 1 {
		for _, out := range file.Network.Outputs { // its name is one in Python, not in the graph
			for i := range len(out.Meaning) {
				c.Classes = append(c.Classes, strings.ReplaceAll(out.Meaning[strconv.Itoa(i)], ",", ";"))
			}
			if slices.Contains(c.Classes, "") || len(c.Classes) == 1 {
				c.Classes = nil
			}
		}
	}
	return c, nil
}

func names[T any](m map[string]T) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }
