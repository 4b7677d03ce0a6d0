package field_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"microtome/unet/field"
	"microtome/unet/onnx"
)

// A model that microtome cannot use says so in one line, with the node where one is at fault, and what to do.
func TestRefused(t *testing.T) {
	volume := func() *onnx.Model {
		n := newNet(1, 17, 1)
		n.Graph.Inputs = []onnx.Value{onnx.NewValue(image, onnx.Float32, "n", 1, "d", "h", "w")}
		return n.done(n.relu(image))
	}
	for name, c := range map[string]struct {
		build func() *onnx.Model
		want  string
	}{
		"volumes": {volume, "the model takes volumes"},
		"volumes within": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			x := n.node("Unsqueeze", []string{image, n.ints(2)})
			return n.done(n.node("Conv", []string{x, n.floats([]int{1, 1, 1, 1, 1}, 1)}))
		}, `node "Conv_1" (Conv): the model takes volumes: microtome segments 2-D images`},
		"two inputs": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			n.Graph.Inputs = append(n.Graph.Inputs, onnx.NewValue("other", onnx.Float32, "n", 1, "h", "w"))
			return n.done(n.node("Add", []string{image, "other"}))
		}, `the model takes 2 inputs, "image", "other": microtome has one image for it`},
		"classifier": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			x := n.node("Flatten", []string{n.node("GlobalAveragePool", []string{n.same(image, 2, 3, 1)})})
			return n.done(n.node("Gemm", []string{x, n.floats([]int{2, 2}, 1, 2, 3, 4)}))
		}, "is no image but one answer for all of it (a classifier or detector)"},
		"smaller output": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			return n.done(standard.down(n, standard.down(n, image)))
		}, "covers 4 pixels of the input"},
		"larger output": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			return n.done(n.resize(image, 2))
		}, "covers 1/2 pixels of the input"},
		"no opset":  {func() *onnx.Model { n := newNet(1, 0, 1); return n.done(n.relu(image)) }, "version 0 of the ONNX operators"},
		"new opset": {func() *onnx.Model { n := newNet(1, 99, 1); return n.done(n.relu(image)) }, "version 99 of the ONNX operators"},
		"control flow": {
			func() *onnx.Model { n := newNet(1, 17, 1); return n.done(n.node("If", []string{image})) },
			`node "If_0" (If): what the graph computes depends on what it sees (control flow): export the model by tracing`,
		},
		"unknown operator": {
			func() *onnx.Model { n := newNet(1, 17, 1); return n.done(n.node("Det", []string{image})) },
			`node "Det_0" (Det): the operator is not one that microtome can follow an image through`,
		},
		"own domain": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			x := n.relu(image)
			n.Graph.Nodes[0].Domain = "com.other"
			return n.done(x)
		}, "the operator is of com.other"},
		"free channels": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			n.Graph.Inputs = []onnx.Value{onnx.NewValue(image, onnx.Float32, "n", "c", "h", "w")}
			return n.done(n.relu(image))
		}, "leaves the channels of its input"},
		"not square": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			n.Graph.Inputs = []onnx.Value{onnx.NewValue(image, onnx.Float32, 1, 3, 512, 768)}
			return n.done(n.relu(image))
		}, "768 × 512 pixels, which are not square"},
		"wrong channels": {func() *onnx.Model {
			n := newNet(1, 17, 3)
			return n.done(n.node("Conv", []string{image, n.floats([]int{1, 2, 1, 1}, 1, 1)}))
		}, "it convolves 2 channels and is given 3"},
		"crop by content": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			most := n.node("Cast", []string{n.node("ReduceMax", []string{image}, onnx.Attr("keepdims", 0))}, onnx.Attr("to", onnx.Int64))
			return n.done(n.node("Slice", []string{image, n.ints(0), n.node("Unsqueeze", []string{most, n.ints(0)}), n.ints(2)}))
		}, "depend on what the image shows"},
		"branches that never meet": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			return n.done(n.node("Add", []string{image, n.conv(image, 1, 3)}))
		}, `an image of 1024 × 1024 pixels: node "Add_1" (Add): sizes 1024 and 1022 do not fit together`},
		"flipped": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			return n.done(n.node("Transpose", []string{image}, onnx.Attr("perm", []int{0, 1, 3, 2})))
		}, "is turned, its columns are its rows"},
		"no tile left": {func() *onnx.Model {
			n := newNet(1, 17, 1)
			n.Graph.Inputs = []onnx.Value{onnx.NewValue(image, onnx.Float32, 1, 1, 16, 16)}
			return n.done(n.same(image, 1, 17, 1))
		}, "the model takes only images of 16 pixels, and looks 8 and 8 pixels around a tile"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := field.Analyse(c.build(), "", "")
			if err == nil {
				t.Fatalf("accepted: %+v", *a)
			}
			t.Log(err)
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q, want %q", err, c.want)
			}
		})
	}
}

// An output is chosen by its name, and what another needs does not matter.
func TestOutputByName(t *testing.T) {
	n := newNet(1, 17, 1)
	inner := n.same(image, 2, 3, 1)
	m := n.done(n.same(inner, 3, 5, 1))
	m.Graph.Outputs = append(m.Graph.Outputs, onnx.Value{Name: inner}, onnx.Value{Name: n.node("Loop", []string{inner})})
	for output, want := range map[string]int{"": 3, inner: 1} {
		if a, err := field.Analyse(m, "", output); err != nil || a.Before != want || a.After != want {
			t.Errorf("%q: %+v, %v, want %d", output, a, err, want)
		}
	}
	if _, err := field.Analyse(m, "", "none"); err == nil || !strings.Contains(err.Error(), `no output "none", but`) {
		t.Error(err)
	}
}

// mutate changes one thing of a graph.
func mutate(r *rapid.T, m *onnx.Model) {
	n := rapid.SampledFrom(m.Graph.Nodes).Draw(r, "node")
	number := rapid.SampledFrom([]int64{-1 << 63, -1 << 31, -3, -1, 0, 1, 2, 3, 4, 7, 1 << 16, 1 << 31, 1<<63 - 1})
	switch rapid.IntRange(0, 7).Draw(r, "what") {
	case 0:
		n.Op = rapid.SampledFrom(field.Operators()).Draw(r, "op")
	case 1:
		if len(n.Inputs) > 0 {
			n.Inputs[rapid.IntRange(0, len(n.Inputs)-1).Draw(r, "input")] = rapid.SampledFrom(m.Graph.Nodes).Draw(r, "from").Outputs[0]
		}
	case 2:
		n.Inputs = n.Inputs[:rapid.IntRange(0, len(n.Inputs)).Draw(r, "inputs")]
	case 3:
		if len(n.Attributes) > 0 {
			a := &n.Attributes[rapid.IntRange(0, len(n.Attributes)-1).Draw(r, "attribute")]
			a.Int = number.Draw(r, "int")
			if len(a.Ints) > 0 {
				a.Ints = append([]int64(nil), a.Ints...)
				a.Ints[rapid.IntRange(0, len(a.Ints)-1).Draw(r, "at")] = number.Draw(r, "value")
			}
		}
	case 4:
		names := []string{"axis", "axes", "pads", "strides", "dilations", "group", "kernel_shape", "auto_pad", "perm", "output_padding", "output_shape", "blocksize", "keepdims", "mode"}
		name := rapid.SampledFrom(names).Draw(r, "name")
		a := onnx.Attr(name, rapid.SliceOfN(number, 0, 9).Draw(r, "ints"))
		if rapid.Bool().Draw(r, "single") {
			a = onnx.Attr(name, number.Draw(r, "int"))
		}
		n.Attributes = append([]onnx.Attribute{a}, n.Attributes...)
	case 5:
		if len(m.Graph.Weights) > 0 {
			w := rapid.SampledFrom(m.Graph.Weights).Draw(r, "weight")
			w.Dims = rapid.SliceOfN(rapid.SampledFrom([]int64{-1, 0, 1, 2, 3, 1 << 20, 1 << 40, 1<<63 - 1}), 0, 9).Draw(r, "dims")
		}
	case 6:
		if len(m.Graph.Weights) > 0 {
			w := rapid.SampledFrom(m.Graph.Weights).Draw(r, "weight")
			*w = *onnx.IntTensor(w.Name, rapid.SliceOfN(number, 0, 9).Draw(r, "ints")...)
		}
	case 7:
		n.Inputs = append(n.Inputs, rapid.SampledFrom(m.Graph.Nodes).Draw(r, "another").Outputs[0])
	}
}

// Whatever the file says, analysis ends soon, without a panic.
func TestDamagedGraphs(t *testing.T) {
	var builds []func() *onnx.Model
	for _, c := range whole {
		builds = append(builds, c.build)
	}
	for _, up := range ups {
		p := standard
		p.up = up
		builds = append(builds, func() *onnx.Model { return p.build(1) })
	}
	rapid.Check(t, func(r *rapid.T) {
		m := builds[rapid.IntRange(0, len(builds)-1).Draw(r, "net")]()
		for range rapid.IntRange(1, 4).Draw(r, "mutations") {
			mutate(r, m)
		}
		began := time.Now()
		a, err := field.Analyse(m, "", "")
		if took := time.Since(began); took > 20*time.Second {
			r.Errorf("took %v", took)
		}
		if err == nil && (a.Stride < 1 || a.Before < 0 || a.After < 0 || a.Unbounded == "" && a.Before < a.Origin) {
			r.Errorf("%+v", *a)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			r.Errorf("%q", err)
		}
	})
}
