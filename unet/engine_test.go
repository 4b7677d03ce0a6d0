package unet

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/internal/shared"
)

func TestConcurrentAndBatchedEqualSerial(t *testing.T) {
	needRuntime(t)
	n := openNetwork(t, Architecture{Depth: 3, Base: 8, Same: true, Seed: 3})
	const core, tiles = 64, 6
	edge := n.geometry.Input(core)
	in := randomPicture(rand.New(rand.NewPCG(1, 1)), edge, edge*tiles).pixels
	size := 3 * edge * edge
	serial := make([]byte, tiles*core*core)
	for i := range tiles {
		if err := n.Predict(t.Context(), 1, in[i*size:(i+1)*size], serial[i*core*core:(i+1)*core*core]); err != nil {
			t.Fatal(err)
		}
	}
	batched := make([]byte, len(serial))
	if err := n.Predict(t.Context(), tiles, in, batched); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(batched, serial) {
		t.Error("a batch differs from single tiles")
	}
	concurrent := make([]byte, len(serial))
	var wg sync.WaitGroup
	for i := range tiles {
		wg.Go(func() {
			if err := n.Predict(t.Context(), 1, in[i*size:(i+1)*size], concurrent[i*core*core:(i+1)*core*core]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !bytes.Equal(concurrent, serial) {
		t.Error("concurrent predictions differ from serial ones")
	}
	if bytes.Count(serial, []byte{1}) < len(serial)/20 || bytes.Count(serial, []byte{0}) < len(serial)/20 {
		t.Error("one label only: the comparison is blind")
	}
}

// A run that takes seconds stops when ctx ends, and gives the cause.
func TestCancelStopsARun(t *testing.T) {
	needRuntime(t)
	n := openNetwork(t, Architecture{Depth: 4, Base: 8, Same: true, Seed: 3})
	const core = 512
	edge := n.geometry.Input(core)
	in, out := make([]byte, 3*edge*edge), make([]byte, core*core)
	if err := n.Predict(t.Context(), 1, in, out); err != nil { // memory is there from now on
		t.Fatal(err)
	}
	begin := time.Now()
	if err := n.Predict(t.Context(), 1, in, out); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(begin)

	cause := errors.New("the slide is gone")
	ended, end := context.WithCancelCause(t.Context())
	end(cause)
	if err := n.Predict(ended, 1, in, out); !errors.Is(err, cause) {
		t.Errorf("ctx done before: %v, want its cause", err)
	}
	// A busy machine may delay one stop, not each.
	fastest := whole
	for range 5 {
		ctx, stop := context.WithTimeoutCause(t.Context(), whole/10, cause)
		begin = time.Now()
		err := n.Predict(ctx, 1, in, out)
		fastest = min(fastest, time.Since(begin))
		stop()
		if !errors.Is(err, cause) {
			t.Fatalf("ctx done within a run: %v", err)
		}
	}
	if fastest > whole/2 {
		t.Errorf("stopped after %v at the earliest, a run takes %v", fastest, whole)
	}
	if err := n.Predict(t.Context(), 1, in, out); err != nil { // the session is none the worse
		t.Error(err)
	}
}

// A done ctx reaches ONNX Runtime itself: with Terminate set a Run gives an error and no result.
func TestTerminateIsHeard(t *testing.T) {
	needRuntime(t)
	n := openNetwork(t, Architecture{Depth: 1, Base: 2, Seed: 3})
	edge := n.geometry.Input(2)
	in, err := ort.NewTensor(ort.NewShape(1, int64(edge), int64(edge), 3), make([]byte, 3*edge*edge))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Destroy()
	out, err := ort.NewTensor(ort.NewShape(1, 2, 2), make([]byte, 4))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Destroy()
	options, err := ort.NewRunOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer options.Destroy()
	if err := options.Terminate(); err != nil {
		t.Fatal(err)
	}
	if err := n.Engine.(*onnxEngine).labels.RunWithOptions([]ort.Value{in}, []ort.Value{out}, options); err == nil {
		t.Error("a terminated run succeeded")
	}
}

func TestCloseWaitsAndEnds(t *testing.T) {
	needRuntime(t)
	m, err := Open(writeModel(t, Architecture{Depth: 3, Base: 8, Classes: 2, Same: true}), Config{})
	if err != nil {
		t.Fatal(err)
	}
	const core = 256
	edge := m.Spec().Geometry.Input(core)
	in := make([]byte, 3*edge*edge)
	results := make(chan error, 4)
	for range cap(results) {
		go func() { results <- m.Predict(context.Background(), 1, in, make([]byte, core*core)) }()
	}
	first := <-results // the others are running or about to
	if err := errors.Join(first, m.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	for range cap(results) - 1 {
		if err := <-results; err != nil && !strings.Contains(err.Error(), "closed") {
			t.Error(err)
		}
	}
	if err := m.Predict(t.Context(), 1, in, make([]byte, core*core)); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
}

func TestSizesAreCheckedBeforeARun(t *testing.T) {
	needRuntime(t)
	n := openNetwork(t, Architecture{Depth: 2, Base: 2, Same: true, Seed: 3})
	edge := n.geometry.Input(8)
	for _, c := range []struct{ n, in, out int }{
		{1, 3 * edge * edge, 63},
		{1, 3*edge*edge - 1, 64},
		{1, edge * edge, 64},
		{1, 4 * edge * edge, 64},
		{2, 3 * edge * edge, 64},
		{0, 0, 0},
		{-1, 3 * edge * edge, 64},
		{1, 0, 0},
		{1, 3 * (edge - 2) * (edge - 2), 36},
		{3, 3 * edge * edge, 64},
	} {
		err := n.Predict(t.Context(), c.n, make([]byte, max(c.in, 0)), make([]byte, c.out))
		if err == nil || strings.Contains(err.Error(), "onnxruntime") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []struct{ w, h, in, out int }{{0, 0, 0, 0}, {8, 0, 0, 2}, {8, 8, 3 * edge * edge, 64}, {8, 6, 3 * edge * edge, 96}, {8, 8, 3 * edge * edge, 0}, {-8, -8, 0, 128}} {
		err := n.Logits(t.Context(), c.w, c.h, make([]byte, c.in), make([]float32, c.out))
		if err == nil || strings.Contains(err.Error(), "onnxruntime") {
			t.Errorf("logits, %+v: %v", c, err)
		}
	}
}

func TestNothingLeaks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	needRuntime(t)
	m, err := Open("haematoxylin", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const core = 128
	edge := m.Spec().Geometry.Input(core)
	in, out := make([]byte, 3*edge*edge), make([]byte, core*core)
	var rss []int64
	for i := range 400 {
		if err := m.Predict(t.Context(), 1, in, out); err != nil {
			t.Fatal(err)
		}
		if i%200 == 199 {
			rss = append(rss, shared.Status(t, "VmRSS:"))
		}
	}
	if grown := rss[1] - rss[0]; grown > 4<<20 {
		t.Errorf("200 predictions grew the process by %d bytes", grown)
	}
}

func TestFirstLine(t *testing.T) {
	long := strings.Repeat("é", 400)
	for in, want := range map[string]int{"one\ntwo": 3, long: 303} {
		got := firstLine(errors.New(in))
		if strings.Contains(got, "\n") || len(got) != want || !utf8.ValidString(got) {
			t.Errorf("%q: %q of %d bytes", in, got, len(got))
		}
	}
}

func benchPredict(b *testing.B, model string, cfg Config, core int, flops func(edge int) float64) {
	needRuntime(b)
	m, err := Open(model, cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	edge := m.Spec().Geometry.Input(core)
	in, out := make([]byte, 3*edge*edge), make([]byte, core*core)
	if err := m.Predict(b.Context(), 1, in, out); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Predict(b.Context(), 1, in, out); err != nil {
			b.Fatal(err)
		}
	}
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(core*core)*float64(b.N)/seconds/1e6, "Mpx/s")
	if flops != nil {
		b.ReportMetric(flops(edge)*float64(b.N)/seconds/1e9, "GFLOP/s")
	}
}

func BenchmarkPredict(b *testing.B) {
	b.Run("haematoxylin/1024", func(b *testing.B) { benchPredict(b, "haematoxylin", Config{}, 1024, nil) })
	b.Run("passthrough/1024", func(b *testing.B) { benchPredict(b, "passthrough", Config{}, 1024, nil) })
	a := Architecture{Depth: 4, Base: 16, Classes: 2, Same: true}
	b.Run("same16/512", func(b *testing.B) {
		benchPredict(b, writeModel(b, a), Config{}, 512, a.paddedFlops)
	})
	// What is ours of a prediction: everything but the network.
	b.Run("overhead/1", func(b *testing.B) { benchPredict(b, "passthrough", Config{}, 1, nil) })
}

// paddedFlops counts the floating point operations of a padded network with transposed convolutions.
func (a Architecture) paddedFlops(edge int) float64 {
	conv := func(level, in, out, taps int) float64 {
		e := float64(edge >> level)
		return 2 * e * e * float64(in*out*taps)
	}
	sum, channels := 0.0, 3
	for level := range a.Depth + 1 {
		width := a.Base << level
		sum += conv(level, channels, width, 9) + conv(level, width, width, 9)
		channels = width
	}
	for level := range a.Depth {
		width := a.Base << level
		sum += conv(level, 2*width, width, 1) + conv(level, 2*width, width, 9) + conv(level, width, width, 9)
	}
	return sum + conv(0, a.Base, a.Classes, 1)
}

func BenchmarkBareRun(b *testing.B) {
	needRuntime(b)
	e, err := open("passthrough", Config{}, false)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	in, _ := ort.NewTensor(ort.NewShape(1, 1, 1, 3), make([]byte, 3))
	out, _ := ort.NewTensor(ort.NewShape(1, 1, 1), make([]byte, 1))
	defer in.Destroy()
	defer out.Destroy()
	b.ReportAllocs()
	for b.Loop() {
		if err := e.(*onnxEngine).labels.Run([]ort.Value{in}, []ort.Value{out}); err != nil {
			b.Fatal(err)
		}
	}
}
