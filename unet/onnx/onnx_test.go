package onnx_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/shared"
	"microtome/unet/onnx"
)

// small returns a graph with one of everything that the package writes.
func small() *onnx.Model {
	return &onnx.Model{
		IR: 8, Producer: "test", Opsets: []onnx.Opset{{"", 17}, {"com.other", 1}}, Meta: []onnx.Entry{{"a", "1"}, {"b", ""}},
		Graph: &onnx.Graph{
			Name: "g",
			Nodes: []*onnx.Node{
				{Op: "Conv", Name: "c", Inputs: []string{"x", "w", ""}, Outputs: []string{"y"}, Attributes: []onnx.Attribute{
					onnx.Attr("pads", []int{1, 1, -1, 1}), onnx.Attr("group", 1), onnx.Attr("auto_pad", "NOTSET"), onnx.Attr("alpha", float32(0.5)),
					onnx.Attr("value", onnx.FloatTensor("", nil, 3)), onnx.Attr("scales", []float32{1, 2}), onnx.Attr("names", []string{"p", "q"}),
				}},
				{Op: "Own", Domain: "com.other", Inputs: []string{"y"}, Outputs: []string{"z", ""}},
			},
			Weights: []*onnx.Tensor{
				onnx.FloatTensor("w", []int{1, 2}, 1, float32(math.Inf(1))), onnx.IntTensor("i", -1, math.MaxInt64), onnx.NewTensor("u", onnx.Uint8, []int{0}, []byte{}),
			},
			Inputs:  []onnx.Value{onnx.NewValue("x", onnx.Float32, "n", 3, "h", "w")},
			Outputs: []onnx.Value{onnx.NewValue("z", onnx.Uint8)},
		},
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	want := small()
	data := want.Encode()
	got, err := onnx.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v\nwrote %+v", got.Graph, want.Graph)
	}
	if !bytes.Equal(got.Encode(), data) {
		t.Error("written again, the file differs")
	}
}

// Files that others wrote lose nothing: what is read, written and read again is the same.
func TestForeignFilesTravelWhole(t *testing.T) {
	check := func(t *testing.T, path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Decode(data)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		again, err := onnx.Decode(m.Encode())
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		m.IR = max(m.IR, 4)
		if !reflect.DeepEqual(m, again) {
			t.Errorf("%s: changed on the way", path)
		}
		if filepath.Base(path) == "nuclei.onnx" && !bytes.Equal(data, m.Encode()) {
			t.Errorf("%s: our own file is written differently", path)
		}
	}
	check(t, "../nuclei.onnx")
	for _, name := range []string{"models/unet_b16_same/unet_b16_same.onnx", "models/unet2d_nuclei_broad/weights.onnx"} {
		t.Run(filepath.Base(name), func(t *testing.T) { check(t, shared.File(t, name)) })
	}
}

// Elements are the same wherever they stand in a tensor: as bytes or in fields of numbers.
func TestNumbersInFields(t *testing.T) {
	// Hand-made: TensorProto{dims: 2, data_type: float, float_data: 1, 2 (packed)}, then one of int32_data as uint8.
	floats := []byte{0x08, 2, 0x10, 1, 0x22, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0x42, 1, 'f'}
	bytes8 := []byte{0x08, 2, 0x10, 2, 0x28, 7, 0x28, 0xff, 1, 0x42, 1, 'u'}
	node := []byte{0x22, 1, 'R', 0x12, 1, 'y'}
	graph := append([]byte{0x0a, byte(len(node))}, node...)
	for _, tensor := range [][]byte{floats, bytes8} {
		graph = append(append(graph, 0x2a, byte(len(tensor))), tensor...)
	}
	graph = append(graph, 0x62, 3, 0x0a, 1, 'y')
	m, err := onnx.Decode(append([]byte{0x3a, byte(len(graph))}, graph...))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Graph.Weight("f").Float32s(); !slices.Equal(got, []float32{1, 2}) {
		t.Errorf("floats %v", got)
	}
	if got := m.Graph.Weight("u"); !bytes.Equal(got.Data, []byte{7, 255}) || !got.Whole() {
		t.Errorf("bytes %v", got.Data)
	}
}

// Keep leaves what an output needs, and nothing else.
func TestKeep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "nodes")
		g := &onnx.Graph{Inputs: []onnx.Value{onnx.NewValue("v0", onnx.Float32)}}
		name := func(i int) string { return "v" + string(rune('0'+i)) }
		takes := make([][]int, n+1)
		for i := 1; i <= n; i++ {
			node := &onnx.Node{Op: "Sum", Outputs: []string{name(i)}}
			for _, from := range rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 1, min(i, 3), rapid.ID).Draw(t, "inputs") {
				node.Inputs, takes[i] = append(node.Inputs, name(from)), append(takes[i], from)
			}
			g.Nodes = append(g.Nodes, node)
			g.Outputs = append(g.Outputs, onnx.NewValue(name(i), onnx.Float32))
		}
		out := rapid.IntRange(1, n).Draw(t, "output")
		g.Keep(name(out))
		want := map[string]bool{}
		var visit func(i int)
		visit = func(i int) {
			if i > 0 && !want[name(i)] {
				want[name(i)] = true
				for _, from := range takes[i] {
					visit(from)
				}
			}
		}
		visit(out)
		if len(g.Nodes) != len(want) || len(g.Outputs) != 1 {
			t.Fatalf("%d nodes kept, %d needed", len(g.Nodes), len(want))
		}
		for _, node := range g.Nodes {
			if !want[node.Outputs[0]] {
				t.Fatalf("%s is kept", node.Outputs[0])
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(small().Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Decode(data)
		if err != nil {
			return
		}
		once := m.Encode()
		again, err := onnx.Decode(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice := again.Encode(); !bytes.Equal(once, twice) {
			t.Fatal("written twice, the file differs")
		}
		for _, w := range m.Graph.Weights {
			w.Float32s()
			w.Int64s()
		}
		m.Graph.Keep(m.Graph.Outputs[0].Name)
	})
}
