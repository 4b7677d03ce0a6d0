package cards_test

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"microtome/unet/cards"
)

const wsinfer = `{"spec_version": "1.0", "architecture": "unet", "num_classes": 2, "class_names": ["other", "tumour"],
 "patch_size_pixels": 350, "spacing_um_px": 0.25, "transform": [{"name": "Resize", "arguments": {"size": 175}},
 {"name": "ToTensor"}, {"name": "Normalize", "arguments": {"mean": [0.5, 0.25, 0.75], "std": [0.5, 0.25, 0.2]}}]}`

const monai = `{"network_data_format": {"inputs": {"image": {"type": "image", "format": "RGB", "num_channels": 3, "spatial_shape": [256, 256],
 "dtype": "float32", "value_range": [-1, 1], "channel_def": {"0": "image"}}}, "outputs": {"pred": {"num_channels": 2,
 "channel_def": {"0": "background", "1": "nucleus"}}}}, "name": "bundle"}`

const old = `format_version: 0.4.9
type: model
name: old
license: MIT
inputs:
  - {name: raw, axes: bcyx, preprocessing: [{name: zero_mean_unit_variance, kwargs: {mode: fixed, axes: yx, mean: [10, 20, 30], std: [1, 2, 4], eps: 0}},
     {name: clip, kwargs: {min: -3, max: 3}}]}
outputs:
  - {name: p, axes: bcyx, halo: [0, 0, 24, 32], postprocessing: [{name: sigmoid}, {name: binarize, kwargs: {threshold: 0.4}}]}
test_inputs: [in.npy]
test_outputs: [sub/out.npy]
weights: {onnx: {source: weights.onnx, sha256: abc}}
`

const current = `format_version: 0.5.3
type: model
name: new
inputs:
  - id: raw
    axes: [{type: batch}, {type: channel, channel_names: [r, g, b]}, {type: space, id: y, size: 64, scale: 0.5, unit: micrometer}, {type: space, id: x, size: 64, scale: 0.5, unit: micrometer}]
    test_tensor: {source: in.npy}
    preprocessing: [{id: ensure_dtype, kwargs: {dtype: float32}}, {id: scale_range, kwargs: {axes: [channel, y, x], min_percentile: 1, max_percentile: 99}}]
outputs:
  - id: out
    axes: [{type: batch}, {type: channel, channel_names: [bg, fg]}, {type: space, id: y, size: {tensor_id: raw, axis_id: y}, halo: 16}, {type: space, id: x, size: {tensor_id: raw, axis_id: x}, halo: 16}]
    test_tensor: {source: out.npy}
    postprocessing: [{id: softmax}]
`

func TestFormats(t *testing.T) {
	for text, want := range map[string]cards.Card{
		wsinfer: {
			Classes: []string{"other", "tumour"}, MPP: 0.5, HasSteps: true,
			Steps: []cards.Step{
				{Op: cards.Linear, Gain: []float64{1.0 / 255}, Offset: []float64{0}},
				{Op: cards.Linear, Gain: []float64{2, 4, 5}, Offset: []float64{-1, -1, -3.75}},
			},
		},
		monai: {
			Name: "bundle", Axes: "bcyx", Channels: 3, Classes: []string{"background", "nucleus"}, HasSteps: true,
			Steps: []cards.Step{{Op: cards.Linear, Gain: []float64{2.0 / 255}, Offset: []float64{-1}}},
		},
		old: {
			Name: "old", Licence: "MIT", Axes: "bcyx", Halo: 32, HasHalo: true, HasSteps: true, Activated: "sigmoid", Threshold: 0.4, SHA256: "abc",
			Steps: []cards.Step{
				{Op: cards.Linear, Gain: []float64{1, 0.5, 0.25}, Offset: []float64{-10, -10, -7.5}},
				{Op: cards.Clip, Low: -3, High: 3},
			},
			Tests: []cards.Test{{Input: "in.npy", Output: "sub/out.npy"}},
		},
		current: {
			Name: "new", Axes: "bcyx", MPP: 0.5, Halo: 16, HasHalo: true, HasSteps: true, Activated: "softmax", Classes: []string{"bg", "fg"},
			Steps: []cards.Step{{Op: cards.Percentiles, Low: 1, High: 99, Eps: 1e-6, Joint: true}},
			Tests: []cards.Test{{Input: "in.npy", Output: "out.npy"}},
		},
	} {
		got, err := cards.Decode([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
}

// What would be left out, or cannot be, is named.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, from, to, want string }{
		{old, "name: clip", "name: sharpen", `preprocessing "sharpen" is not known`},
		{old, "name: sigmoid", "name: watershed", `postprocessing "watershed" is not known`},
		{old, "mode: fixed", "mode: per_dataset", ""},
		{old, "mode: fixed, axes: yx, mean: [10, 20, 30], std: [1, 2, 4]", "mode: per_dataset, axes: yx", "over a whole data set"},
		{old, "std: [1, 2, 4], eps: 0", "std: [1, 0, 4], eps: 0", "number"},
		{old, "0.4.9", "0.9.0", "version 0.9.0"},
		{old, "type: model", "type: dataset", "RDF of a dataset"},
		{current, "max_percentile: 99", "max_percentile: 0.5", "percentiles 1 and 0.5"},
		{wsinfer, `"ToTensor"`, `"ColorJitter"`, `transform "ColorJitter" is not known`},
		{wsinfer, `"num_classes": 2`, `"num_classes": 3`, "num_classes is 3"},
		{monai, `[256, 256]`, `[64, 64, 64]`, "images of 3 dimensions"},
		{"{}", "", "", "not a card"},
		{"hello", "", "", "not a card"},
		{"", "", "", "not a card"},
	} {
		_, err := cards.Decode([]byte(strings.Replace(c.text, c.from, c.to, 1)))
		if c.want == "" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.to, err, c.want)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	model := filepath.Join(dir, "m.onnx")
	write("config.json", `{"theme": "dark"}`) // of something else
	if path, err := cards.Find(model); path != "" || err != nil {
		t.Errorf("%s, %v", path, err)
	}
	write("model.yaml", old)
	path, err := cards.Find(model)
	if err != nil || filepath.Base(path) != "model.yaml" {
		t.Errorf("%s, %v", path, err)
	}
	c, err := cards.Read(path)
	if err != nil || len(c.Tests) != 1 || c.Tests[0].Output != filepath.Join(dir, "sub", "out.npy") {
		t.Errorf("%+v, %v", c.Tests, err)
	}
	write("config.json", wsinfer)
	if _, err := cards.Find(model); err == nil || !strings.Contains(err.Error(), "--card") {
		t.Errorf("two cards: %v", err)
	}
}

// The steps by hand.
func TestSteps(t *testing.T) {
	for _, c := range []struct {
		step     cards.Step
		in, want []float32
	}{
		{cards.Step{Op: cards.Linear, Gain: []float64{2}, Offset: []float64{1}}, []float32{0, 3}, []float32{1, 7}},
		{cards.Step{Op: cards.Clip, Low: -1, High: 2}, []float32{-5, 0, 5}, []float32{-1, 0, 2}},
		{cards.Step{Op: cards.Above, Low: 2}, []float32{1, 2, 3}, []float32{0, 0, 1}},
		{cards.Step{Op: cards.Sigmoid}, []float32{0}, []float32{0.5}},
		{cards.Step{Op: cards.Standardise}, []float32{1, 3, 1, 3}, []float32{-1, 1, -1, 1}},
		{cards.Step{Op: cards.Standardise}, []float32{7, 7}, []float32{0, 0}},
		// numpy.percentile of 0 … 10 is 1 at 10 and 9 at 90.
		{cards.Step{Op: cards.Percentiles, Low: 10, High: 90}, []float32{10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, []float32{1.125, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, -0.125}},
	} {
		planes := [][]float32{append([]float32(nil), c.in...)}
		s := c.step
		if s.PerImage() {
			s = s.Fit(planes)
		}
		s.Apply(planes)
		for i, v := range planes[0] {
			if math.Abs(float64(v-c.want[i])) > 1e-6 {
				t.Errorf("%s of %v: %v, want %v", c.step.Op, c.in, planes[0], c.want)
				break
			}
		}
	}
	// A step that was fitted to values without width gives 0 for others, too.
	for _, step := range []cards.Step{
		{Op: cards.Standardise, Eps: 1e-6}, {Op: cards.Standardise, Eps: 1e-6, Joint: true}, {Op: cards.Percentiles, Low: 1, High: 99, Eps: 1e-6},
	} {
		equal := make([]float32, 999)
		for i := range equal {
			equal[i] = 0.1
		}
		other := [][]float32{{-3, 0.1, 250}}
		step.Fit([][]float32{equal}).Apply(other)
		if !slices.Equal(other[0], []float32{0, 0, 0}) {
			t.Errorf("%+v of an even image makes %v of others", step, other[0])
		}
	}
	joint := cards.Step{Op: cards.Standardise, Joint: true}.Fit([][]float32{{0, 0}, {2, 2}})
	if joint.Gain[0] != 1 || joint.Offset[0] != -1 {
		t.Errorf("of two channels together: %+v", joint)
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{wsinfer, monai, old, current} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		c, err := cards.Decode(data)
		if err != nil {
			return
		}
		for _, s := range c.Steps {
			planes := [][]float32{{1, 2}, {3, 4}, {5, 6}}
			if s.PerImage() {
				s = s.Fit(planes)
			}
			s.Apply(planes)
		}
	})
}
