package unet

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// BenchmarkFirstTile measures, in fresh processes, what passes until the first tile of the built-in model is labelled:
// ONNX Runtime is loaded, the model read, checked and opened, and a core of 512 px predicted.
func BenchmarkFirstTile(b *testing.B) {
	needRuntime(b)
	var wall, cpu float64
	for range b.N {
		out := again(b, "TestFirstTile")
		_, line, _ := strings.Cut(out, "first tile after ")
		var w, c float64
		if _, err := fmt.Sscanf(line, "%g s, %g s of a processor", &w, &c); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		wall, cpu = wall+w, cpu+c
	}
	b.ReportMetric(wall/float64(b.N), "s/first-tile")
	b.ReportMetric(cpu/float64(b.N), "cpu-s/first-tile") // on a busy machine look at this one
}

// TestFirstTile is the process of BenchmarkFirstTile.
func TestFirstTile(t *testing.T) {
	if !isAgain(t) {
		t.Skip("for BenchmarkFirstTile")
	}
	const core = 512
	begin, worked := time.Now(), processor(t)
	said := func(what string) {
		fmt.Printf("%s after %.3f s, %.3f s of a processor\n", what, time.Since(begin).Seconds(), (processor(t) - worked).Seconds())
	}
	m, err := Open("nuclei", Config{})
	if err != nil {
		t.Fatal(err)
	}
	said("open")
	edge := m.Spec().Geometry.Input(core)
	if err := m.Predict(t.Context(), 1, make([]byte, 3*edge*edge), make([]byte, core*core)); err != nil {
		t.Fatal(err)
	}
	said("first tile")
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// processor returns how long processors worked for this process.
func processor(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEngineToBare compares the engine with its session run alone, on tensors that are there before: the two take
// turns, and the median ratio of a pair is reported: by the clock, and by what the processor worked, which is the one to
// look at on a busy machine.
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
			var clock, worked []float64 // bare / engine of each pair
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
				var wall, cpu [2]time.Duration
				for k := range runs { // the first of a pair changes
					i := (k + turn) % 2
					begin, before := time.Now(), processor(b)
					if err := runs[i](); err != nil {
						b.Fatal(err)
					}
					wall[i], cpu[i] = time.Since(begin), processor(b)-before
				}
				turn++
				clock, worked = append(clock, wall[0].Seconds()/wall[1].Seconds()), append(worked, cpu[0].Seconds()/cpu[1].Seconds())
			}
			slices.Sort(clock)
			slices.Sort(worked)
			b.ReportMetric(clock[len(clock)/2], "engine/bare")
			b.ReportMetric(worked[len(worked)/2], "cpu-engine/bare")
		})
	}
}
