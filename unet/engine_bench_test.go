package unet

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// BenchmarkFirstTile measures, in fresh processes, what passes until the first tile of the built-in model is labelled:
// ONNX Runtime is loaded, the model read, checked and opened, and a core of 512 px predicted.
func BenchmarkFirstTile(b *testing.B) {
	needRuntime(b)
	sum := 0.0
	for range b.N {
		out := again(b, "TestFirstTile")
		_, line, _ := strings.Cut(out, "first tile after ")
		seconds := 0.0
		if _, err := fmt.Sscan(line, &seconds); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		sum += seconds
	}
	b.ReportMetric(sum/float64(b.N), "s/first-tile")
}

// TestFirstTile is the process of BenchmarkFirstTile.
func TestFirstTile(t *testing.T) {
	if !isAgain(t) {
		t.Skip("for BenchmarkFirstTile")
	}
	const core = 512
	begin := time.Now()
	m, err := Open("nuclei", Config{Device: os.Getenv("MICROTOME_TEST_DEVICE")})
	if err != nil {
		t.Fatal(err)
	}
	opened := time.Since(begin)
	edge := m.Spec().Geometry.Input(core)
	if err := m.Predict(t.Context(), 1, make([]byte, 3*edge*edge), make([]byte, core*core)); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("first tile after %.3f s, opened after %.3f\n", time.Since(begin).Seconds(), opened.Seconds())
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkEngineToBare compares the engine with its session run alone, on tensors that are there before: the two take
// turns, and the ratio of their throughputs is reported.
func BenchmarkEngineToBare(b *testing.B) {
	needRuntime(b)
	for _, c := range []struct {
		model string
		core  int
	}{{"nuclei", 512}, {"haematoxylin", 512}, {"passthrough", 1024}} {
		b.Run(fmt.Sprintf("%s/%d", c.model, c.core), func(b *testing.B) {
			e, err := open(c.model, Config{Device: cpuName}, false)
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			edge := e.Spec().Geometry.Input(c.core)
			in, out := make([]byte, 3*edge*edge), make([]byte, c.core*c.core)
			input, err := ort.NewTensor(ort.NewShape(1, int64(edge), int64(edge), 3), make([]byte, len(in)))
			if err != nil {
				b.Fatal(err)
			}
			defer input.Destroy()
			output, err := ort.NewTensor(ort.NewShape(1, int64(c.core), int64(c.core)), make([]byte, len(out)))
			if err != nil {
				b.Fatal(err)
			}
			defer output.Destroy()
			session := e.(*onnxEngine).labels
			var took [2]time.Duration
			runs := [2]func() error{
				func() error { return session.Run([]ort.Value{input}, []ort.Value{output}) },
				func() error { return e.Predict(b.Context(), 1, in, out) },
			}
			turn := 0
			for i := range 20 { // until memory is there
				if err := runs[i%2](); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				for k := range runs { // the first of a pair changes
					i := (k + turn) % 2
					begin := time.Now()
					if err := runs[i](); err != nil {
						b.Fatal(err)
					}
					took[i] += time.Since(begin)
				}
				turn++
			}
			b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "engine/bare")
		})
	}
}
