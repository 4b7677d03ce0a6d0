package quantize

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
	"microtome/internal/shared"
	"microtome/unet"
	"microtome/unet/onnx"
)

func needRuntime(t testing.TB) {
	t.Helper()
	shared.Runtime(t, func() error {
		_, _, err := unet.Libraries(unet.Config{})
		return err
	})
}

// form returns a random network as a graph.
func form(t testing.TB, a unet.Architecture) *onnx.Model {
	t.Helper()
	data, err := a.ONNX()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "net.onnx")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	m, _, err := unet.Form(path, unet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// open opens a graph.
func open(t testing.TB, m *onnx.Model) unet.Engine {
	t.Helper()
	e, err := unet.OpenForm(m, unet.Config{Device: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// A scene is an image of blots and noise that goes on beyond its edges by mirroring.
type scene struct {
	w, h   int
	pixels []byte
}

func newScene(seed uint64, w, h int) scene {
	r := rand.New(rand.NewPCG(seed, 3))
	s := scene{w, h, make([]byte, 3*w*h)}
	var phase [6]float64
	for i := range phase {
		phase[i] = 6 * r.Float64()
	}
	for i := range s.pixels {
		x, y, c := float64(i/3%w), float64(i/3/w), i%3
		v := 128 + 70*math.Sin(x/9+phase[c])*math.Cos(y/7+phase[3+c]) + 30*r.NormFloat64()
		s.pixels[i] = byte(max(0, min(255, v)))
	}
	return s
}

func (s scene) read(x, y, w, h int) []byte {
	out := make([]byte, 0, 3*w*h)
	for v := range h {
		row := raster.Reflect(y+v, s.h) * s.w
		for u := range w {
			i := 3 * (row + raster.Reflect(x+u, s.w))
			out = append(out, s.pixels[i:i+3]...)
		}
	}
	return out
}

// tilesOf returns tiles of scenes for a model.
func tilesOf(m unet.Model, core, n int) []Tile {
	g := m.Spec().Geometry
	var tiles []Tile
	for i := range n {
		tiles = append(tiles, newScene(uint64(100+i), core, core).read(-g.Before, -g.Before, g.Input(core), g.Input(core)))
	}
	return tiles
}

// logits runs a model on a core of a scene.
func logits(t testing.TB, e unet.Engine, s scene, x, y, w, h int) []float32 {
	t.Helper()
	g := e.Spec().Geometry
	out := make([]float32, e.Spec().Logits*w*h)
	if err := e.Logits(t.Context(), w, h, s.read(x-g.Before, y-g.Before, g.Input(w), g.Input(h)), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Rewrites on floats change nothing but the order of sums.
func TestPrepareKeepsTheResult(t *testing.T) {
	needRuntime(t)
	for _, a := range []unet.Architecture{
		{Depth: 2, Base: 3, Classes: 2, Seed: 1},
		{Depth: 2, Base: 4, Classes: 3, Same: true, Seed: 2},
		{Depth: 1, Base: 2, Classes: 1, Up: unet.Nearest, Seed: 3},
	} {
		m := form(t, a)
		before := open(t, m)
		prepare(m)
		for _, n := range m.Graph.Nodes {
			if n.Op == "ConvTranspose" {
				t.Errorf("%+v: a transposed convolution is left", a)
			}
		}
		s := newScene(1, 70, 60)
		want, got := logits(t, before, s, 0, 0, 64, 48), logits(t, open(t, m), s, 0, 0, 64, 48)
		for i := range want {
			if math.Abs(float64(want[i]-got[i])) > 1e-4 {
				t.Fatalf("%+v: logit %d is %g, was %g", a, i, got[i], want[i])
			}
		}
	}
}

// A batch normalisation that is folded gives what it gave.
func TestFoldedNormalisation(t *testing.T) {
	needRuntime(t)
	m := form(t, unet.Architecture{Depth: 1, Base: 3, Classes: 2, Same: true, Seed: 5})
	g := m.Graph
	for i, n := range g.Nodes {
		if n.Op == "Conv" && n.Input(1) == "down0.conv1.weight" {
			out := n.Outputs[0]
			n.Outputs = []string{"raw"}
			norm := &onnx.Node{Op: "BatchNormalization", Inputs: []string{"raw", "f", "s", "m", "v"}, Outputs: []string{out}, Attributes: []onnx.Attribute{onnx.Attr("epsilon", float32(0.25))}}
			g.Weights = append(g.Weights, onnx.FloatTensor("f", []int{3}, 1, -2, 0.5), onnx.FloatTensor("s", []int{3}, 0.1, 0.2, -0.3),
				onnx.FloatTensor("m", []int{3}, 0.3, 0, -0.1), onnx.FloatTensor("v", []int{3}, 1, 0.5, 2))
			g.Nodes = slices.Insert(g.Nodes, i+1, norm)
			break
		}
	}
	s := newScene(1, 40, 40)
	want := logits(t, open(t, m), s, 0, 0, 32, 32)
	prepare(m)
	if slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return n.Op == "BatchNormalization" }) {
		t.Fatal("it is still there")
	}
	got := logits(t, open(t, m), s, 0, 0, 32, 32)
	for i := range want {
		if math.Abs(float64(want[i]-got[i])) > 1e-4 {
			t.Fatalf("logit %d is %g, was %g", i, got[i], want[i])
		}
	}
}

// balanced returns a random network in which both labels are common on scenes.
func balanced(t testing.TB, a unet.Architecture) *onnx.Model {
	t.Helper()
	a.Classes = 2
	for range 20 {
		m := form(t, a)
		s := newScene(9, 128, 128)
		l := logits(t, open(t, m), s, 0, 0, 128, 128)
		var d []float32
		for i := range len(l) / 2 {
			d = append(d, l[len(l)/2+i]-l[i])
		}
		slices.Sort(d)
		if d[len(d)/5] < d[len(d)/2] && d[len(d)/2] < d[len(d)*4/5] {
			w := m.Graph.Weight("head.bias")
			v := w.Float32s()
			*w = *onnx.FloatTensor("head.bias", []int{2}, v[0]+d[len(d)/2], v[1])
			return m
		}
		a.Seed += 1000
	}
	t.Fatalf("no seed of %+v gives a network that is alive", a)
	return nil
}

// Of a network on bytes, tiles are the whole bit for bit, and its labels are those of floats but for few.
func TestBytesAreSeamFree(t *testing.T) {
	needRuntime(t)
	if testing.Short() {
		t.Skip("slow: quantises networks of several kinds")
	}
	for _, a := range []unet.Architecture{
		{Depth: 2, Base: 16, Same: true, Seed: 6},
		{Depth: 2, Base: 3, Seed: 9},
		{Depth: 2, Base: 8, Same: true, Up: unet.Nearest, Seed: 10},
		{Depth: 2, Base: 8, Up: unet.Linear, Seed: 11},
	} {
		t.Run(fmt.Sprintf("%d/%d/%v/%d", a.Depth, a.Base, a.Same, a.Up), func(t *testing.T) {
			m := balanced(t, a)
			before := open(t, m)
			c := NewDefaultConfig()
			c.Agree = 0.9 // random networks are all borders
			made, report, err := Int8(t.Context(), m, tilesOf(before, 64, 4), c)
			if err != nil {
				t.Fatal(err)
			}
			if report.Bytes() < len(report.Layers)-1 {
				t.Errorf("%d of %d convolutions on bytes: %+v", report.Bytes(), len(report.Layers), report.Layers)
			}
			e := open(t, made)
			if e.Spec().Geometry != before.Spec().Geometry {
				t.Errorf("geometry %+v, was %+v", e.Spec().Geometry, before.Spec().Geometry)
			}
			const w, h, core = 192, 128, 64
			s := newScene(77, w-11, h-5)
			whole, plain := logits(t, e, s, 0, 0, w, h), logits(t, before, s, 0, 0, w, h)
			differ, labels, ones := 0, 0, 0
			for y := 0; y < h; y += core {
				for x := 0; x < w; x += core {
					tile := logits(t, e, s, x, y, core, core)
					for k := range core * core {
						i := (y+k/core)*w + x + k%core
						if tile[k] != whole[i] || tile[core*core+k] != whole[w*h+i] {
							differ++
						}
						if (whole[w*h+i] > whole[i]) != (plain[w*h+i] > plain[i]) {
							labels++
						}
						if plain[w*h+i] > plain[i] {
							ones++
						}
					}
				}
			}
			if differ > 0 {
				t.Errorf("%d pixels of tiles differ from the whole", differ)
			}
			if share := float64(ones) / (w * h); share < 0.05 || share > 0.95 {
				t.Errorf("label 1 on %.1f %% of the pixels: the comparison is blind", 100*share)
			}
			t.Logf("%.2f %% other labels, %.2f %% on the tiles kept", 100*float64(labels)/(w*h), 100*report.Differ)
			if labels > w*h/10 {
				t.Errorf("%d of %d labels are others than those of floats", labels, w*h)
			}
			// The control: off the lattice, tiles are not the whole.
			off := logits(t, e, s, core-e.Spec().Stride/2, 0, core, core)
			differ = 0
			for k := range core * core {
				if off[k] != whole[k/core*w+core-e.Spec().Stride/2+k%core] {
					differ++
				}
			}
			if differ == 0 {
				t.Error("tiles off the lattice make no difference")
			}
		})
	}
}

// What ONNX Runtime makes of a network is what is meant: convolutions of bytes, nothing in between on floats.
func TestEveryConvolutionButTheLastIsOnBytes(t *testing.T) {
	needRuntime(t)
	m := balanced(t, unet.Architecture{Depth: 2, Base: 16, Same: true, Seed: 4})
	c := NewDefaultConfig()
	c.Agree = 0.5
	made, report, err := Int8(t.Context(), m, tilesOf(open(t, m), 64, 4), c)
	if err != nil {
		t.Fatal(err)
	}
	if report.Bytes() != len(report.Layers)-1 {
		t.Errorf("%+v", report.Layers)
	}
	ops := map[string]int{}
	for _, n := range made.Graph.Nodes {
		ops[n.Op]++
	}
	if ops["Relu"]+ops["Sub"]+ops["DepthToSpace"]+ops["ConvTranspose"] > 0 || ops["QuantizeLinear"] != report.Bytes()+2 { // an up-convolution counts twice
		t.Errorf("%v", ops)
	}
	consumers := made.Graph.Consumers()
	for _, n := range made.Graph.Nodes {
		if n.Op != "Conv" || n.Outputs[0] == "logits" {
			continue
		}
		if next := consumers[n.Outputs[0]]; n.Input(1) != "head.weight" && (len(next) != 1 || next[0].Op != "QuantizeLinear") {
			t.Errorf("%s is not rounded to bytes", n.Outputs[0])
		}
	}
}

// An attention gate multiplies all channels by one, in either order: what is behind it has the channels of the others. Of an operator
// that is not known for that, what is behind stays on floats, and the report says so.
func TestGates(t *testing.T) {
	needRuntime(t)
	for _, gate := range []struct {
		op      string
		inputs  []string
		onBytes int
	}{{"Mul", []string{"psi", "features"}, 3}, {"Mul", []string{"features", "psi"}, 3}, {"Max", []string{"features", "psi"}, 2}} {
		r := rand.New(rand.NewPCG(1, 4))
		weight := func(name string, dims ...int) *onnx.Tensor {
			v := make([]float32, dims[0]*dims[1])
			for i := range v {
				v[i] = float32(r.NormFloat64())
			}
			return onnx.FloatTensor(name, dims, v...)
		}
		node := func(op, out string, inputs []string, a ...onnx.Attribute) *onnx.Node {
			return &onnx.Node{Op: op, Name: out, Inputs: inputs, Outputs: []string{out}, Attributes: a}
		}
		m := &onnx.Model{IR: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{
			Name:   "gate",
			Inputs: []onnx.Value{onnx.NewValue("image", onnx.Uint8, "n", "h", "w", 3)},
			Weights: []*onnx.Tensor{
				weight("w.features", 8, 3, 1, 1), weight("w.psi", 1, 8, 1, 1), weight("w.behind", 8, 8, 1, 1), weight("w.head", 2, 8, 1, 1),
				onnx.FloatTensor("middle", nil, 128), onnx.FloatTensor("scale", nil, 1./64),
			},
			Nodes: []*onnx.Node{
				node("Transpose", "planes", []string{"image"}, onnx.Attr("perm", []int{0, 3, 1, 2})),
				node("Cast", "values", []string{"planes"}, onnx.Attr("to", onnx.Float32)),
				node("Sub", "centred", []string{"values", "middle"}),
				node("Mul", "scaled", []string{"centred", "scale"}),
				node("Conv", "features", []string{"scaled", "w.features"}),
				node("Conv", "gate", []string{"features", "w.psi"}),
				node("Sigmoid", "psi", []string{"gate"}),
				node(gate.op, "gated", gate.inputs),
				node("Conv", "behind", []string{"gated", "w.behind"}),
				node("Relu", "active", []string{"behind"}),
				node("Conv", "logits", []string{"active", "w.head"}),
				node("ArgMax", "class", []string{"logits"}, onnx.Attr("axis", 1), onnx.Attr("keepdims", 0)),
				node("Cast", "labels", []string{"class"}, onnx.Attr("to", onnx.Uint8)),
			},
			Outputs: []onnx.Value{onnx.NewValue("labels", onnx.Uint8, "n", "h", "w"), onnx.NewValue("logits", onnx.Float32, "n", 2, "h", "w")},
		}}
		for _, key := range []string{"microtome.before", "microtome.after"} {
			m.Set(key, "0")
		}
		m.Set("microtome.stride", "1")
		plain := open(t, m)
		c := NewDefaultConfig()
		c.Agree = 0.5 // all on bytes
		made, report, err := Int8(t.Context(), m, tilesOf(plain, 64, 4), c)
		if err != nil {
			t.Fatal(err)
		}
		kernels := 0
		for _, w := range made.Graph.Weights {
			if w.Type == onnx.Int8 && len(w.Dims) == 4 {
				kernels++
			}
		}
		if report.Bytes() != gate.onBytes || kernels != gate.onBytes {
			t.Errorf("%v: %d kernels of bytes, reported are %+v", gate, kernels, report.Layers)
		}
		const edge = 64
		s := newScene(7, edge, edge)
		want, got := logits(t, plain, s, 0, 0, edge, edge), logits(t, open(t, made), s, 0, 0, edge, edge)
		ones, differ := 0, 0
		for i := range edge * edge {
			label := want[edge*edge+i] > want[i]
			if label {
				ones++
			}
			if label != (got[edge*edge+i] > got[i]) {
				differ++
			}
		}
		if ones < edge*edge/10 || ones > edge*edge*9/10 || differ > edge*edge/25 {
			t.Errorf("%v: %d of %d labels are others; %d are 1", gate, differ, edge*edge, ones)
		}
	}
}

// Convolutions stay on floats until as many labels agree as is asked for.
func TestSpareWhatHurts(t *testing.T) {
	needRuntime(t)
	m := balanced(t, unet.Architecture{Depth: 1, Base: 4, Same: true, Seed: 12})
	tiles := tilesOf(open(t, m), 64, 4)
	c := NewDefaultConfig()
	c.Agree = 0.2
	_, loose, err := Int8(t.Context(), m, tiles, c)
	if err != nil {
		t.Fatal(err)
	}
	c.Agree = 1 - loose.Differ/2
	_, strict, err := Int8(t.Context(), m, tiles, c)
	if err != nil {
		t.Fatal(err)
	}
	if loose.Differ == 0 || strict.Differ > loose.Differ/2 || strict.Bytes() >= loose.Bytes() {
		t.Errorf("%d convolutions on bytes change %g; asked for half of that, %d change %g", loose.Bytes(), loose.Differ, strict.Bytes(), strict.Differ)
	}
}

// Weights of 7 bits fit in the sums of two products that processors without VNNI keep in 16 bits.
func TestNarrowWeights(t *testing.T) {
	needRuntime(t)
	m := balanced(t, unet.Architecture{Depth: 1, Base: 4, Same: true, Seed: 12})
	c := NewDefaultConfig()
	c.Narrow, c.Agree = true, 0.5
	made, _, err := Int8(t.Context(), m, tilesOf(open(t, m), 64, 4), c)
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, w := range made.Graph.Weights {
		if w.Type == onnx.Int8 && len(w.Dims) == 4 {
			for _, b := range w.Data {
				most = max(most, int(int8(b)), -int(int8(b)))
			}
		}
	}
	if 2*255*most > math.MaxInt16 || most < 60 {
		t.Errorf("a weight of %d", most)
	}
}

// The same model and tiles give the same bytes.
func TestInt8IsReproducible(t *testing.T) {
	needRuntime(t)
	m := balanced(t, unet.Architecture{Depth: 1, Base: 4, Same: true, Seed: 12})
	tiles := tilesOf(open(t, m), 64, 4)
	was := m.Encode()
	var made [2][]byte
	for i := range made {
		q, _, err := Int8(t.Context(), m, tiles, NewDefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		made[i] = q.Encode()
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("made again, the file differs")
	}
	if !bytes.Equal(was, m.Encode()) {
		t.Error("the model itself was changed")
	}
}

func TestHalf(t *testing.T) {
	needRuntime(t)
	for _, a := range []unet.Architecture{{Depth: 2, Base: 8, Same: true, Seed: 3}, {Depth: 1, Base: 8, Up: unet.Linear, Seed: 4}, {Depth: 1, Base: 8, Up: unet.Nearest, Same: true, Seed: 4}} {
		m := balanced(t, a)
		before := open(t, m)
		made, err := Half(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range made.Graph.Weights {
			if w.Type == onnx.Float32 && len(w.Dims) == 4 && strings.HasSuffix(w.Name, ".weight") {
				t.Errorf("%s is of floats", w.Name)
			}
		}
		if was, is := len(m.Encode()), len(made.Encode()); is > was*3/4 {
			t.Errorf("%d bytes of %d", is, was)
		}
		e := open(t, made)
		s := newScene(3, 64, 64)
		want, got := logits(t, before, s, 0, 0, 64, 64), logits(t, e, s, 0, 0, 64, 64)
		low, high, most := slices.Min(want), slices.Max(want), 0.0
		for i := range want {
			most = max(most, math.Abs(float64(want[i]-got[i])))
		}
		if most > 0.01*float64(high-low) || most == 0 {
			t.Errorf("%+v: logits from %g to %g differ by %g", a, low, high, most)
		}
		if _, err := Half(made); err == nil || !strings.Contains(err.Error(), "halves already") {
			t.Errorf("made half again: %v", err)
		}
	}
}

func TestHalfOf(t *testing.T) {
	for v, want := range map[float32]uint16{
		0: 0, 1: 0x3c00, -2: 0xc000, 65504: 0x7bff, 65519: 0x7bff, 65520: 0x7c00, 5.9604645e-8: 1, 2.9e-8: 0, 6.1035156e-5: 0x0400, 6.0975552e-5: 0x03ff,
		0.33325195: 0x3555, 1.0004883: 0x3c00, 1.0014648: 0x3c02, 2047.9: 0x6800,
	} {
		if got := halfOf(v); got != want {
			t.Errorf("%g is %#x, want %#x", v, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // the half is the nearest
		v := float64(rapid.Float32Range(-60000, 60000).Draw(t, "v"))
		value := func(h uint16) float64 {
			e, m := int(h>>10&31), float64(h&1023)
			f := math.Ldexp(m, -24)
			if e > 0 {
				f = math.Ldexp(1024+m, e-25)
			}
			if h>>15 == 1 {
				return -f
			}
			return f
		}
		h := halfOf(float32(v))
		for _, other := range []uint16{h - 1, h + 1} {
			if (h&0x7fff != 0 || other == h+1) && math.Abs(value(other)-v) < math.Abs(value(h)-v) {
				t.Fatalf("%g is %#x, %g; %#x, %g, is nearer", v, h, value(h), other, value(other))
			}
		}
	})
}

func TestErrors(t *testing.T) {
	needRuntime(t)
	m := form(t, unet.Architecture{Depth: 1, Base: 2, Classes: 2, Seed: 1})
	tiles := tilesOf(open(t, m), 64, 4)
	made, _, err := Int8(t.Context(), m, tiles, NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	old, plain := *m, form(t, unet.Architecture{Depth: 1, Base: 2, Classes: 2, Seed: 1})
	old.Opsets = []onnx.Opset{{Domain: "", Version: 12}}
	plain.Graph.Keep("transpose_0")
	for _, c := range []struct {
		m     *onnx.Model
		tiles []Tile
		c     Config
		want  string
	}{
		{made, tiles, NewDefaultConfig(), "the model is quantised already"},
		{&old, tiles, NewDefaultConfig(), "version 12 of the ONNX operators: export it with opset 13 or later"},
		{plain, tiles, NewDefaultConfig(), "no convolutions"},
		{m, tiles[:3], NewDefaultConfig(), "3 tiles to calibrate on: give at least 4"},
		{m, []Tile{{1}, {2}, {3}, {4}}, NewDefaultConfig(), "tile"},
		{m, tiles, Config{Range: "all", Agree: 2}, "range \"all\": give one of auto, minmax, percentile\nan agreement of 2"},
	} {
		if _, _, err := Int8(t.Context(), c.m, c.tiles, c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// Widths that are said to be multiples are, for any tile: as ONNX Runtime finds them.
func TestWidths(t *testing.T) {
	needRuntime(t)
	for _, a := range []unet.Architecture{{Depth: 2, Base: 2, Classes: 2, Same: true}, {Depth: 3, Base: 2, Classes: 2}} {
		m := form(t, a)
		prepare(m)
		all := widths(m)
		names := points(m.Graph)
		p, err := unet.OpenProbe(m, "", names...)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		g, useful := a.Geometry(), 0
		for _, cores := range []int{1, 2, 3, 5} {
			w := g.Input(cores * g.Stride)
			h := g.Input(g.Stride)
			err := p.Run(t.Context(), w, h, make([]byte, 3*w*h), func(i int, v []float32) {
				n, known := all[names[i]]
				if !known {
					return
				}
				if n > 1 {
					useful++
				}
				if n < 1 || len(v)%n != 0 {
					t.Errorf("depth %d: %s of %d values, in rows of a multiple of %d", a.Depth, names[i], len(v), n)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if useful == 0 {
			t.Errorf("%+v: nothing is known", a)
		}
	}
}

// TestBytesBoundsARun compares the memory that a model on bytes says it takes with how much the process grows, in a process of its own.
func TestBytesBoundsARun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	if testing.Short() {
		t.Skip("slow: runs large networks")
	}
	if path := os.Getenv("MICROTOME_TEST_FOOTPRINT"); path != "" {
		core, _ := strconv.Atoi(os.Getenv("MICROTOME_TEST_CORE"))
		footprint(t, path, core)
		return
	}
	needRuntime(t)
	for _, a := range []unet.Architecture{{Depth: 4, Base: 16, Same: true, Seed: 1, Classes: 2}, {Depth: 3, Base: 8, Seed: 1, Classes: 2}} {
		m := form(t, a)
		c := NewDefaultConfig()
		c.Agree = 0.01
		made, _, err := Int8(t.Context(), m, tilesOf(open(t, m), 64, 4), c)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "model.onnx")
		if err := os.WriteFile(path, made.Encode(), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, core := range []int{512, 1024} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestBytesBoundsARun$", "-test.v")
			cmd.Env = append(os.Environ(), "MICROTOME_TEST_FOOTPRINT="+path, "MICROTOME_TEST_CORE="+strconv.Itoa(core))
			out, err := cmd.CombinedOutput()
			_, line, _ := bytes.Cut(out, []byte("footprint "))
			var predicted, took int64
			if _, scan := fmt.Sscan(string(line), &predicted, &took); err != nil || scan != nil {
				t.Fatalf("%v %v\n%s", err, scan, out)
			}
			t.Logf("base %d, core %d: predicted %d MiB, took %d MiB", a.Base, core, predicted>>20, took>>20)
			// The last convolution is counted as if it gave the whole tile, not its core alone.
			if took > predicted || predicted > 2*took+32<<20 {
				t.Errorf("core %d: predicted %d bytes, took %d", core, predicted, took)
			}
		}
	}
}

// footprint prints what Bytes says and how much the process grew in runs.
func footprint(t *testing.T, path string, core int) {
	m, err := unet.Open(path, unet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	edge := m.Spec().Geometry.Input(core)
	in, out := bytes.Repeat([]byte{7}, 3*edge*edge), bytes.Repeat([]byte{7}, core*core)
	h, err := unet.Open("haematoxylin", unet.Config{}) // the arena's index belongs to the process
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	before := shared.Status(t, "VmRSS:")
	for range 3 {
		if err := m.Predict(t.Context(), 1, in, out); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("footprint %d %d\n", m.Bytes(core), shared.Status(t, "VmHWM:")-before)
}
