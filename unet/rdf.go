package unet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"microtome/unet/npy"
)

// rdfCore is about how large a core the test tensors have, px.
const rdfCore = 64

// WriteRDF writes a model in microtome's form as bioimage.io wants it into a folder: the model, rdf.yaml (version 0.5) and test
// tensors, which the model itself computes.
func WriteRDF(ctx context.Context, name string, cfg Config, dir string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("rdf of %s: %w", name, err)
		}
	}()
	data, err := Read(name)
	if err != nil {
		return err
	}
	e, err := OpenLogits(name, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	s := e.Spec()
	if s.Takes != "" {
		return errors.New("an RDF is written for models that microtome made: of others there is one where they come from")
	}
	core := (rdfCore + s.Stride - 1) / s.Stride * s.Stride
	edge := s.Geometry.Input(core)
	image := make([]byte, 3*edge*edge)
	r := rand.New(rand.NewPCG(2015, 5))
	for i := range image {
		x, y := i/3%edge, i/3/edge
		image[i] = byte((x*(3+i%3)+y*5)%200 + r.IntN(56))
	}
	labels, logits := make([]byte, core*core), make([]float32, s.Logits*core*core)
	if err := e.Predict(ctx, 1, image, labels); err != nil {
		return err
	}
	if err := e.Logits(ctx, core, core, image, logits); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	files := map[string][]byte{
		"model.onnx":      data,
		"test_image.npy":  npy.Encode([]int{1, edge, edge, 3}, image),
		"test_labels.npy": npy.Encode([]int{1, core, core}, labels),
		"test_logits.npy": npy.Encode([]int{1, s.Logits, core, core}, logits),
		"README.md":       []byte(s.describe()),
	}
	text, err := s.rdf(files)
	if err != nil {
		return err
	}
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o666); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "rdf.yaml"), text, 0o666) // last: where it is, what it names is there
}

// describe is the documentation that an RDF must have.
func (s Spec) describe() string {
	text := fmt.Sprintf("# %s\n\n%s\n\nA U-Net for microscope images, made by microtome. Takes RGB pixels as bytes, gives labels (%s) and logits.\n",
		s.Name, cmp.Or(s.Card.Description, "No description."), strings.Join(s.Classes, ", "))
	text += fmt.Sprintf("\n## Validation\n\n%s\n", cmp.Or(s.Card.Metrics, "Nothing is stated."))
	return text
}

// rdf writes the resource description file. Order and form are those of bioimage.io's model RDF 0.5.
func (s Spec) rdf(files map[string][]byte) ([]byte, error) {
	type object = map[string]any
	source := func(name string) object {
		return object{"source": name, "sha256": digest(files[name])}
	}
	space := func(id string, size object) object {
		axis := object{"type": "space", "id": id, "size": size}
		if s.MPP > 0 {
			axis["scale"], axis["unit"] = s.MPP, "micrometer"
		}
		return axis
	}
	least := object{"min": s.Geometry.Input(s.Stride), "step": s.Stride}
	cut := func(id string) object {
		return space(id, object{"tensor_id": inputName, "axis_id": id, "offset": -s.Before - s.After})
	}
	batch := object{"type": "batch"}
	channels := s.Classes
	if s.Logits == 1 {
		channels = []string{"foreground"}
	}
	var names []string
	for _, name := range channels { // identifiers
		names = append(names, strings.Join(strings.Fields(name), "_"))
	}
	weights := source("model.onnx")
	weights["opset_version"] = opset
	text := object{
		"format_version": "0.5.4", "type": "model", "name": identifier(s.Name), "description": cmp.Or(oneLine(s.Card.Description), "a U-Net made by microtome"),
		"authors": []object{{"name": "unknown"}}, "cite": []object{{"text": "Ronneberger, Fischer, Brox: U-Net, 2015", "doi": "10.1007/978-3-319-24574-4_28"}},
		"documentation": "README.md", "tags": []string{"unet", "semantic-segmentation", "whole-slide-image", "microtome"},
		"inputs": []object{{
			"id": inputName, "axes": []object{batch, space("y", least), space("x", least), {"type": "channel", "channel_names": []string{"red", "green", "blue"}}},
			"data": object{"type": "uint8"}, "test_tensor": source("test_image.npy"),
		}},
		"outputs": []object{
			{"id": labelsName, "axes": []object{batch, cut("y"), cut("x")}, "data": object{"type": "uint8"}, "test_tensor": source("test_labels.npy")},
			{"id": logitsName, "axes": []object{batch, {"type": "channel", "channel_names": names}, cut("y"), cut("x")}, "data": object{"type": "float32"}, "test_tensor": source("test_logits.npy")},
		},
		"weights": object{"onnx": weights},
		"config":  object{"microtome": object{"stride": s.Stride, "before": s.Before, "after": s.After, "classes": s.Classes}},
	}
	if s.Card.Licence != "" {
		text["license"] = s.Card.Licence
	}
	return yaml.Marshal(text)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// identifier is a name without what bioimage.io does not allow in one.
func identifier(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '+' || r == '/' || r == '\\' {
			return '-'
		}
		return r
	}, name)
}
