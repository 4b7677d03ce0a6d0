package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/sink"
	"microtome/unet"
)

// BenchmarkWholeProcess compares microtome on a slide of 8192 × 8192 px, from the start of the process to
// its end, with the engine alone on as many tiles of the same size: a process that loads the same
// model into ONNX Runtime with the same options and feeds it one buffer again and again. The two take
// turns; wall/engine is the median of their ratios. -benchtime 3x makes three turns.
func BenchmarkWholeProcess(b *testing.B) {
	needRuntime(b)
	library, _, err := unet.Libraries(unet.Config{})
	if err != nil {
		b.Fatal(err)
	}
	path := makeSlide(b, 8192)
	model := makeModel(b, unet.Architecture{Depth: 4, Base: 16, Classes: 2, Card: unet.Card{MPP: 0.5}, Same: true})
	var ratios []float64
	for b.Loop() {
		var s sink.Summary
		whole := timed(b, "microtome", []string{"segment", path, "-o", b.TempDir(), "--json", "--model", model}, func(out []byte) error {
			return json.Unmarshal(out, &s)
		})
		edge := s.Model.Before + s.Mask.Core + s.Model.After
		alone := timed(b, "engine-alone", []string{library, model, strconv.Itoa(edge), strconv.Itoa(s.Mask.Core), strconv.Itoa(s.Mask.Tiles), strconv.Itoa(s.Workers)}, nil)
		b.Logf("core %d, %d tiles, %d workers: whole process %.1f s, engine alone %.1f s", s.Mask.Core, s.Mask.Tiles, s.Workers, whole.Seconds(), alone.Seconds())
		ratios = append(ratios, whole.Seconds()/alone.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "wall/engine")
}

func timed(b *testing.B, name string, args []string, read func([]byte) error) time.Duration {
	b.Helper()
	cmd := exec.Command(name, args...)
	started := time.Now()
	out, err := cmd.Output()
	took := time.Since(started)
	if err == nil && read != nil {
		err = read(out)
	}
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return took
}

// engineAlone is a program of its own: LIBRARY MODEL EDGE CORE TILES WORKERS.
func engineAlone() {
	number := func(i int) int {
		n, err := strconv.Atoi(os.Args[i])
		must(err)
		return n
	}
	edge, core, tiles, workers := number(3), number(4), number(5), number(6)
	ort.SetSharedLibraryPath(os.Args[1])
	must(ort.InitializeEnvironment())
	options, err := ort.NewSessionOptions()
	must(err)
	must(options.SetIntraOpNumThreads(1))
	must(options.SetInterOpNumThreads(1))
	must(options.SetMemPattern(false))
	session, err := ort.NewDynamicAdvancedSession(os.Args[2], []string{"image"}, []string{"labels"}, options)
	must(err)
	var next atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			in, err := ort.NewEmptyTensor[uint8](ort.NewShape(1, int64(edge), int64(edge), 3))
			must(err)
			out, err := ort.NewEmptyTensor[uint8](ort.NewShape(1, int64(core), int64(core)))
			must(err)
			for i := range in.GetData() {
				in.GetData()[i] = byte(i * 7)
			}
			for next.Add(1) <= int64(tiles) {
				must(session.Run([]ort.Value{in}, []ort.Value{out}))
			}
		})
	}
	group.Wait()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
