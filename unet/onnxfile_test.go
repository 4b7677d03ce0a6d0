package unet

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/internal/shared"
)

// The bytes of a network are a function of its Architecture.
func TestONNXIsDeterministic(t *testing.T) {
	for _, c := range goldenFiles {
		data, err := c.ONNX()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:8]); got != c.sum {
			t.Errorf("%s: %d bytes, sha256 %s…, want %s…", c.name, len(data), got, c.sum)
		}
		c.Seed++
		if other, _ := c.ONNX(); c.weights == nil && bytes.Equal(other, data) {
			t.Errorf("%s: another seed gives the same file", c.name)
		}
	}
}

func TestONNXRoundTripAndRuns(t *testing.T) {
	needRuntime(t)
	for _, kind := range kinds {
		for _, classes := range []int{1, 2, 4} {
			a := Architecture{
				Depth: 1 + classes/2, Base: 2, Classes: classes, Same: kind.same, Up: kind.up,
				Card: Card{Name: "n", MPP: 0.25, Classes: []string{"a", "b", "c", "d"}[:max(classes, 2)]},
			}
			path := writeModel(t, a)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parseONNX(data)
			if err != nil {
				t.Fatal(err)
			}
			if !f.standard() || f.opset != opset || !slices.Equal(f.outputs[1].dims, []int64{-1, int64(classes), -1, -1}) {
				t.Errorf("%s: read back as %+v %+v", kind.name, f.inputs, f.outputs)
			}
			if w := f.weights["down0.conv1.weight"]; !slices.Equal(w.dims, []int64{2, 3, 3, 3}) || len(w.raw) != 4*54 {
				t.Errorf("%s: the first weights are %v, %d bytes", kind.name, w.dims, len(w.raw))
			}
			m, err := Open(path, Config{})
			if err != nil {
				t.Fatal(err)
			}
			s := m.Spec()
			if s.Geometry != a.Geometry() || s.Name != "n" || s.MPP != 0.25 || !slices.Equal(s.Classes, a.Card.Classes) || s.Size != int64(len(data)) {
				t.Errorf("%s: %+v", kind.name, s)
			}
			core := 2 * s.Stride
			edge := s.Geometry.Input(core)
			if err := m.Predict(t.Context(), 1, make([]byte, 3*edge*edge), make([]byte, core*core)); err != nil {
				t.Errorf("%s, %d classes: %v", kind.name, classes, err)
			}
			m.Close()
		}
	}
}

// withMetadata appends metadata to a model, on the wire.
func withMetadata(data []byte, kv ...string) []byte {
	m := message(slices.Clone(data))
	for i := 0; i < len(kv); i += 2 {
		m = m.bytes(14, message{}.text(1, kv[i]).text(2, kv[i+1]))
	}
	return m
}

// plain describes a model of one 1×1 convolution as a user might bring it.
type plain struct {
	in, out           string
	channels, classes int
	opset, ir         int64
	size              any // of height and width: a number, or the name of a free one
	tail              message
	last              string // operator; "": Relu
	outputs           int
}

func (p plain) bytes() []byte {
	g := graph{
		inputs:  []message{value(p.in, typeFloat, "n", p.channels, p.size, p.size)},
		outputs: []message{value(p.out, typeFloat, "n", p.classes, p.size, p.size)},
	}
	if p.outputs == 2 {
		g.outputs = append(g.outputs, g.outputs[0])
	}
	w := make([]float32, p.classes*p.channels)
	for i := range w {
		w[i] = float32(i + 1)
	}
	g.initializers = []message{append(floats("labels", []int{p.classes, p.channels, 1, 1}, w...), p.tail...)}
	g.nodes = []message{
		node("Conv", "microtome/transpose_0", []string{p.in, "labels"}),
		node(cmp.Or(p.last, "Relu"), p.out, []string{"microtome/transpose_0"}),
	}
	b := g.model(nil)
	b = bytes.Replace(b, message{}.number(1, 8), message{}.number(1, p.ir), 1)
	return bytes.Replace(b, message{}.text(1, "").number(2, opset), message{}.text(1, "").number(2, p.opset), 1)
}

var usual = plain{in: "image", out: "logits", channels: 3, classes: 2, opset: 17, ir: 8, size: "s"}

func facts(kv ...string) []string {
	return append([]string{keyStride, "1", keyBefore, "0", keyAfter, "0", keyClasses, "a,b"}, kv...)
}

// A model whose tensors have our names, of old operators and old formats, works when it is wrapped.
func TestWrap(t *testing.T) {
	needRuntime(t)
	for _, opset := range []int64{11, 12, 13, 17} {
		for _, ir := range []int64{3, 6, 8} {
			for _, classes := range []int{1, 2} {
				p := usual
				p.opset, p.ir, p.classes = opset, ir, classes
				m, err := OpenLogits(writeFile(t, withMetadata(p.bytes(), facts(keyMean, "100", keyScale, "1,2,4")...)), Config{})
				if err != nil {
					t.Errorf("opset %d, format %d: %v", opset, ir, err)
					continue
				}
				got, labels := make([]float32, classes), make([]byte, 1)
				if err := m.Logits(t.Context(), 1, 1, []byte{110, 90, 101}, got); err != nil {
					t.Fatal(err)
				}
				if err := m.Predict(t.Context(), 1, []byte{110, 90, 101}, labels); err != nil {
					t.Fatal(err)
				}
				// 10, -20 and 4 by 1, 2, 3 and by 4, 5, 6: -18 and -36, and ReLU.
				if want := make([]float32, classes); !slices.Equal(got, want) || labels[0] != 0 {
					t.Errorf("opset %d: logits %v, labels %v, want %v", opset, got, labels, want)
				}
				if err := m.Logits(t.Context(), 1, 1, []byte{110, 110, 101}, got); err != nil {
					t.Fatal(err)
				}
				if err := m.Predict(t.Context(), 1, []byte{110, 110, 101}, labels); err != nil {
					t.Fatal(err)
				}
				if want := []float32{62, 164}[:classes]; !slices.Equal(got, want) || labels[0] != 1 {
					t.Errorf("opset %d: logits %v, labels %v, want %v", opset, got, labels, want)
				}
				m.Close()
			}
		}
	}
}

// What is wrong with a model is said in one line that begins with a small letter and says what to do.
func TestBadModels(t *testing.T) {
	needRuntime(t)
	good := withMetadata(usual.bytes(), facts()...)
	with := func(change func(*plain), kv ...string) []byte {
		p := usual
		change(&p)
		if kv == nil {
			kv = facts()
		}
		return withMetadata(p.bytes(), kv...)
	}
	same := func(*plain) {}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "not an ONNX model"},
		"text":          {[]byte("hello, I am a text\n"), "not an ONNX model"},
		"tiff":          {[]byte("II*\x00\x08\x00\x00\x00rest of it"), "not an ONNX model"},
		"cut":           {good[:len(good)/2], "not an ONNX model"},
		"one channel":   {with(func(p *plain) { p.channels = 1 }), "takes images of 1 channels"},
		"four channels": {with(func(p *plain) { p.channels = 4 }), "takes images of 4 channels"},
		"no metadata":   {usual.bytes(), "does not state microtome.stride"},
		"no classes":    {with(same, keyStride, "1", keyBefore, "0", keyAfter, "0"), "does not state microtome.classes"},
		"bad stride":    {with(same, facts(keyStride, "0")...), `has microtome.stride "0"`},
		"huge margin":   {with(same, facts(keyBefore, "99999999999")...), "microtome.before"},
		"classes":       {with(same, facts(keyClasses, "a,b,c")...), "names 3 classes"},
		"one class":     {with(same, facts(keyClasses, "a")...), "names 1 classes"},
		"mpp":           {with(same, facts(keyMPP, "NaN")...), "micrometres"},
		"mean":          {with(same, facts(keyMean, "1,2")...), "3 numbers"},
		"scale":         {with(same, facts(keyScale, "inf")...), "give numbers"},
		"origin":        {with(same, facts(keyOrigin, "7")...), "microtome.origin"},
		"old operators": {with(func(p *plain) { p.opset = 9 }), "opset 11 or later"},
		"two outputs":   {with(func(p *plain) { p.outputs = 2 }), "2 outputs"},
		"other file": {with(func(p *plain) {
			p.tail = message{}.bytes(13, message{}.text(1, "location").text(2, "w.bin")).number(14, 1)
		}), "another file"},
		"fixed size":   {with(func(p *plain) { p.size = 33 }, facts(keyStride, "16")...), "only inputs of 33 pixels"},
		"unknown node": {bytes.Replace(good, []byte("Relu"), []byte("Rely"), 1), "onnxruntime cannot use the model"},
	} {
		_, err := Open(writeFile(t, c.data), Config{})
		wantLine(t, name, err, c.want)
	}
	_, err := Open("nowhere.onnx", Config{})
	wantLine(t, "no file", err, "no model nowhere.onnx")
	_, err = Open(t.TempDir(), Config{})
	wantLine(t, "folder", err, "not an ONNX model")
	_, err = Open("passthrough", Config{Device: "cuda"})
	wantLine(t, "cuda", err, "--device cpu")
	_, err = Open("passthrough", Config{Device: "gpu"})
	wantLine(t, "device", err, "unknown device")
	if m, err := Open(writeFile(t, good), Config{}); err != nil {
		t.Errorf("the model that the others are made of: %v", err)
	} else {
		m.Close()
	}
}

func wantLine(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: opened", name)
		return
	}
	text := err.Error()
	if !strings.Contains(text, want) || strings.Contains(text, "\n") || len(text) > 500 || text[0] < 'a' || text[0] > 'z' || !strings.Contains(text, ":") {
		t.Errorf("%s: %q, want one line with %q", name, text, want)
	}
}

// Reading is bounded by the file, whatever it holds.
func FuzzParseONNX(f *testing.F) {
	small, err := Architecture{Depth: 1, Base: 1, Classes: 1, Up: Linear}.ONNX()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Add(withMetadata(usual.bytes(), facts()...))
	ours, err := Architecture{Depth: 1, Base: 1, Classes: 2}.ONNX()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ours)
	f.Add([]byte{})
	f.Add([]byte{0x3a, 0x02, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file, err := parseONNX(data)
		if err == nil {
			file.footprint()
			_ = file.givesLogits("--tta")
			if s, p, _, err := file.trained(); err == nil && s.Check(p) != nil {
				t.Error("a network was read that is none")
			}
			if s, err := file.spec(); err == nil && !file.standard() {
				if wrapped, err := file.wrap(&s); err == nil {
					if again, err := parseONNX(wrapped); err != nil || len(again.outputs) != 2 {
						t.Errorf("wrapped into what cannot be read: %v", err)
					}
				}
			}
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20+200*uint64(len(data)) {
			t.Errorf("%d bytes made it allocate %d", len(data), took)
		}
	})
}

// A network exported by PyTorch gives, wrapped, what ONNX Runtime gives for the same floats.
func TestWrapOfPyTorchExport(t *testing.T) {
	needRuntime(t)
	data, err := os.ReadFile(shared.File(t, "models/unet_b16_same/unet_b16_same.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	input := readNPY(t, shared.File(t, "models/unet_b16_same/unet_b16_same_input.npy"))
	f, err := parseONNX(data)
	if err != nil {
		t.Fatal(err)
	}
	const edge, core = 512, 320
	classes := int(f.outputs[0].dims[1])
	// The stored input in 256 steps of its range.
	lo, hi := slices.Min(input), slices.Max(input)
	scale := (hi - lo) / 255
	pixels := make([]byte, 3*edge*edge)
	exact := make([]float32, 3*edge*edge)
	for i := range edge * edge {
		for c := range 3 {
			q := byte(math.Round(float64((input[c*edge*edge+i] - lo) / scale)))
			pixels[3*i+c] = q
			exact[c*edge*edge+i] = (float32(q) + lo/scale) * scale
		}
	}
	direct := make([]float32, classes*edge*edge)
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(data, []string{f.inputs[0].name}, []string{f.outputs[0].name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Destroy()
	in, err := ort.NewTensor(ort.NewShape(1, 3, edge, edge), exact)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Destroy()
	out, err := ort.NewTensor(ort.NewShape(1, int64(classes), edge, edge), direct)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Destroy()
	if err := session.Run([]ort.Value{in}, []ort.Value{out}); err != nil {
		t.Fatal(err)
	}

	names := strings.Join([]string{"a", "b", "c", "d", "e", "f"}[:max(classes, 2)], ",")
	m, err := OpenLogits(writeFile(t, withMetadata(data, keyStride, "16", keyBefore, "96", keyAfter, "96", keyClasses, names,
		keyMean, fmt.Sprint(-lo/scale), keyScale, fmt.Sprint(scale))), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	logits, labels := make([]float32, classes*core*core), make([]byte, core*core)
	if err := m.Logits(t.Context(), core, core, pixels, logits); err != nil {
		t.Fatal(err)
	}
	if err := m.Predict(t.Context(), 1, pixels, labels); err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i := range core * core {
		best := 0
		for c := range classes {
			v := logits[c*core*core+i]
			worst = max(worst, math.Abs(float64(v-direct[c*edge*edge+(i/core+96)*edge+i%core+96])))
			if classes > 1 && v > logits[best*core*core+i] || classes == 1 && v > 0 {
				best = max(c, 2-classes)
			}
		}
		if int(labels[i]) != best {
			t.Fatalf("pixel %d: label %d, the largest logit is %d", i, labels[i], best)
		}
	}
	if worst > 1e-4 {
		t.Errorf("logits differ by up to %g", worst)
	}
}

// readNPY reads the float32 values of a NumPy file (numpy.lib.format, version 1.0).
func readNPY(t *testing.T, path string) []float32 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body := b[10+int(binary.LittleEndian.Uint16(b[8:])):]
	v := make([]float32, len(body)/4)
	if _, err := binary.Decode(body, binary.LittleEndian, v); err != nil {
		t.Fatal(err)
	}
	return v
}

var goldenFiles = []struct {
	name string
	Architecture
	sum string
}{
	{"valid transposed", Architecture{Depth: 2, Base: 2, Classes: 2, Seed: 1}, "402d6abcac6d9f24"},
	{"valid nearest", Architecture{Depth: 2, Base: 2, Classes: 2, Up: Nearest, Seed: 1}, "9ebe0d6bc7c6a1bc"},
	{"valid linear", Architecture{Depth: 2, Base: 2, Classes: 2, Up: Linear, Seed: 1}, "78ac0877aec6ebb8"},
	{"same transposed", Architecture{Depth: 2, Base: 2, Classes: 2, Same: true, Seed: 1}, "f2e5768fb7cfbb99"},
	{"same nearest", Architecture{Depth: 2, Base: 2, Classes: 2, Same: true, Up: Nearest, Seed: 1}, "207f069040ff818e"},
	{"same linear", Architecture{Depth: 2, Base: 2, Classes: 2, Same: true, Up: Linear, Seed: 1}, "477f86e52ae95d40"},
	{"single logit", Architecture{Depth: 1, Base: 3, Classes: 1, Seed: 1}, "8ce16a5dcb054424"},
	{"haematoxylin", haematoxylin(), "9fe4463d5fcb517d"},
}
