package unet

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"microtome/unet/network"
	"microtome/unet/onnx"
)

// shapes are what training makes.
func shapes() []network.Shape {
	var all []network.Shape
	for depth := 1; depth <= 4; depth++ {
		for _, same := range []bool{false, true} {
			all = append(all, network.Shape{Depth: depth, Base: 2 + depth, Channels: 3, Classes: 2 + depth%2, Same: same})
		}
	}
	return all
}

// randomParams are weights with biases, which a fresh network lacks.
func randomParams(s network.Shape, seed uint64) network.Params {
	p := s.Init(seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, t := range p {
		if len(t.Shape) == 1 {
			for i := range t.Value {
				t.Value[i] = float32(r.NormFloat64() * 0.05)
			}
		}
	}
	return p
}

var fullCard = Card{
	Name: "nuclei", Classes: []string{"background", "nucleus"}, Colors: []string{"#000000", "#00ff7F"}, MPP: 0.5, Mean: 127.3, Scale: 0.0123,
	Threshold: 0.6, MinArea: 3.7500001, MinPeak: 0.85, Grow: 0.25,
	TrainingSet: "set \"one\"", TrainingSHA256: "abc", Recipe: "two\nlines, and a comma", Seed: math.MaxUint64, Version: "v1",
	Metrics: `{"f1": 0.66}`, Description: "µm", Licence: "Apache-2.0",
}

func TestExportImport(t *testing.T) {
	for _, s := range shapes() {
		card := fullCard
		if s.Classes == 3 {
			card = Card{Classes: []string{"a", "b", "c"}}
		}
		p := randomParams(s, 3)
		data, err := Export(s, p, card)
		if err != nil {
			t.Fatal(err)
		}
		gotShape, gotParams, gotCard, err := Import(data)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if gotShape != s || !reflect.DeepEqual(gotParams, p) || !reflect.DeepEqual(gotCard, card) {
			t.Errorf("%+v: read back as %+v, %+v, weights equal: %v", s, gotShape, gotCard, reflect.DeepEqual(gotParams, p))
		}
	}
}

func TestImportRefusesOtherFiles(t *testing.T) {
	shape := network.Shape{Depth: 1, Base: 2, Channels: 3, Classes: 2}
	good, err := Export(shape, randomParams(shape, 1), fullCard)
	if err != nil {
		t.Fatal(err)
	}
	linear, err := Architecture{Depth: 1, Base: 2, Classes: 2, Up: Linear}.ONNX()
	if err != nil {
		t.Fatal(err)
	}
	other, err := passthrough()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"not ONNX":          {[]byte("text"), "not an ONNX model"},
		"linear upsampling": {linear, "training"},
		"passthrough":       {other, "training"},
		"another depth":     {withMetadata(good, KeyArchitecture, `{"depth":2,"base":2,"channels":3,"classes":2}`), "training"},
		"padded":            {withMetadata(good, KeyArchitecture, `{"depth":1,"base":2,"channels":3,"classes":2,"same":true}`), "training"},
		"no JSON":           {withMetadata(good, KeyArchitecture, `{`), KeyArchitecture},
		"no network":        {withMetadata(good, KeyArchitecture, `{"depth":100000000}`), "depth"},
		"threshold":         {withMetadata(good, keyThreshold, "2"), "threshold"},
		"other threshold":   {withMetadata(good, keyThreshold, "0.9"), "training"},
		"other mean":        {withMetadata(good, keyMean, "9"), "training"},
		"another operator":  {edited(good, func(m *onnx.Model) { m.Graph.Nodes[5].Op = "Tanh" }), "training"},
		"other wires":       {bytes.ReplaceAll(good, []byte("relu_5"), []byte("relu_7")), "training"},
		"width":             {withMetadata(good, KeyArchitecture, `{"depth":8,"base":256,"channels":3,"classes":2}`), ""},
	} {
		if _, _, _, err := Import(c.data); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestExportRefusesWhatIsNotANetwork(t *testing.T) {
	s := network.Shape{Depth: 1, Base: 2, Channels: 3, Classes: 2}
	nan, short := s.Init(1), s.Init(1)
	nan[3].Value[1] = float32(math.NaN())
	for name, c := range map[string]struct {
		p    network.Params
		card Card
		want string
	}{
		"diverged":        {nan, Card{}, "not finite"},
		"a weight less":   {short[1:], Card{}, "tensors"},
		"another network": {network.Shape{Depth: 1, Base: 3, Channels: 3, Classes: 2}.Init(1), Card{}, "down0.conv1"},
		"class names":     {s.Init(1), Card{Classes: []string{"a"}}, "class names"},
		"comma":           {s.Init(1), Card{Classes: []string{"a", "b,c"}}, "comma"},
		"color":           {s.Init(1), Card{Colors: []string{"red", "#00ff00"}}, "#rrggbb"},
		"threshold":       {s.Init(1), Card{Threshold: 1}, "threshold"},
		"NaN":             {s.Init(1), Card{MPP: math.NaN()}, "micrometres"},
	} {
		if _, err := Export(s, c.p, c.card); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// The labels follow the threshold exactly as the logits say; the logits know nothing of it.
func TestThresholdIsInTheLabels(t *testing.T) {
	needRuntime(t)
	for classes := 1; classes <= 3; classes++ {
		s := network.Shape{Depth: 1, Base: 3, Channels: 3, Classes: classes, Same: true}
		p := randomParams(s, 7)
		counts := map[byte]int{}
		var plain []float32
		for _, threshold := range []float64{0, 0.5, 0.2, 0.7} {
			t.Run(fmt.Sprint(classes, threshold), func(t *testing.T) {
				data, err := Export(s, p, Card{Threshold: threshold})
				if err != nil {
					t.Fatal(err)
				}
				m, err := OpenLogits(writeFile(t, data), Config{})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				const core = 32
				edge := m.Spec().Geometry.Input(core)
				in := randomPicture(rand.New(rand.NewPCG(2, 2)), edge, edge).pixels
				labels, logits := make([]byte, core*core), make([]float32, classes*core*core)
				if err := m.Predict(t.Context(), 1, in, labels); err != nil {
					t.Fatal(err)
				}
				if err := m.Logits(t.Context(), core, core, in, logits); err != nil {
					t.Fatal(err)
				}
				if plain == nil {
					plain = logits
				}
				if !reflect.DeepEqual(plain, logits) {
					t.Error("the logits depend on the threshold")
				}
				limit := threshold
				if limit == 0 {
					limit = 0.5
				}
				for i, got := range labels {
					at := func(c int) float64 { return float64(logits[c*core*core+i]) }
					background, best, value := 0.0, 1, at(0)
					if classes > 1 {
						background, value = at(0), at(1)
						for c := 2; c < classes; c++ {
							if at(c) > value {
								best, value = c, at(c)
							}
						}
					}
					p1 := 1 / (1 + math.Exp(background-value)) // against background alone
					want := byte(0)
					if p1 > limit {
						want = byte(best)
					}
					if got != want && math.Abs(p1-limit) > 1e-6 {
						t.Fatalf("pixel %d: label %d, p %g", i, got, p1)
					}
					if threshold == 0.7 || threshold == 0.2 {
						counts[got]++
					}
				}
			})
		}
		for c := range max(classes, 2) {
			if counts[byte(c)] < 30 {
				t.Errorf("%d classes: label %d on %d pixels: the comparison is blind", classes, c, counts[byte(c)])
			}
		}
	}
}
