package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/internal/shared"
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
		whole := timed(b, "microtome", []string{"segment", path, "-o", b.TempDir(), "--json", "--model", model, "--tissue", "off"}, func(out []byte) error {
			return json.Unmarshal(out, &s)
		})
		alone := timed(b, "engine-alone", append([]string{library, model, strconv.Itoa(s.Workers)}, tilesOf(s, 1)...), nil)
		b.Logf("core %d, %d tiles, %d workers: whole process %.1f s, engine alone %.1f s", s.Mask.Core, s.Mask.Tiles, s.Workers, whole.Seconds(), alone.Seconds())
		ratios = append(ratios, whole.Seconds()/alone.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "wall/engine")
}

// BenchmarkSmallSlides compares a run over 200 slides of 1000 × 1000 px with the engine alone on the tiles of them all:
// what is lost to opening, closing and the tails of slides. The two take turns; engine/wall is the median of their ratios.
func BenchmarkSmallSlides(b *testing.B) {
	needRuntime(b)
	library, _, err := unet.Libraries(unet.Config{})
	if err != nil {
		b.Fatal(err)
	}
	const count = 200
	one, folder := makeSlide(b, 1000), b.TempDir()
	for i := range count {
		if err := os.Link(one, filepath.Join(folder, fmt.Sprintf("s%d.svs", i))); err != nil {
			b.Skipf("slides cannot be linked: %v", err)
		}
	}
	model := makeModel(b, unet.Architecture{Depth: 4, Base: 16, Classes: 2, Card: unet.Card{MPP: 0.5}, Same: true})
	var ratios []float64
	for b.Loop() {
		var s sink.Summary
		whole := timed(b, "microtome", []string{"segment", folder, "-o", b.TempDir(), "--json", "--model", model, "--tissue", "off"}, func(out []byte) error {
			return json.NewDecoder(bytes.NewReader(out)).Decode(&s) // the first; all are alike
		})
		alone := timed(b, "engine-alone", append([]string{library, model, strconv.Itoa(s.Workers)}, tilesOf(s, count)...), nil)
		b.Logf("core %d, %d slides of %d tiles, %d workers: whole process %.1f s, engine alone %.1f s", s.Mask.Core, count, s.Mask.Tiles, s.Workers, whole.Seconds(), alone.Seconds())
		ratios = append(ratios, alone.Seconds()/whole.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "engine/wall")
}

// BenchmarkTissue compares the wall time of a run that looks for tissue with one that does not, on a slide of which
// the middle, a quarter, is a real one and the rest white. The two take turns; auto/off is the median of their ratios.
func BenchmarkTissue(b *testing.B) {
	needRuntime(b)
	path := surroundedByWhite(b, shared.File(b, "slides/CMU-1-Small-Region.svs"), 8192)
	model := makeModel(b, unet.Architecture{Depth: 4, Base: 16, Classes: 2, Card: unet.Card{MPP: 0.5}, Same: true})
	var ratios []float64
	for b.Loop() {
		var took [2]time.Duration
		var s sink.Summary
		for i, tissue := range []string{"off", "auto"} {
			took[i] = timed(b, "microtome", []string{"segment", path, "-o", b.TempDir(), "--json", "--model", model, "--tissue", tissue}, func(out []byte) error {
				return json.Unmarshal(out, &s)
			})
		}
		c := s.Coverage
		b.Logf("%.1f %% of the slide are tissue, %.1f %% near it: %.1f s, %.1f s with tissue off", 100*float64(c.Tissue)/float64(c.Expected),
			100*float64(c.Inferred)/float64(c.Expected), took[1].Seconds(), took[0].Seconds())
		ratios = append(ratios, took[1].Seconds()/took[0].Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "auto/off")
}

// surroundedByWhite returns a slide of 2·edge pixels that shows, in the middle of white, another one, mirrored until it
// has edge pixels.
func surroundedByWhite(b *testing.B, path string, edge int) string {
	b.Helper()
	if _, err := exec.LookPath("vips"); err != nil {
		b.Skip("vips is not installed: apt install libvips-tools")
	}
	dir := b.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	n, off := strconv.Itoa(edge), strconv.Itoa(edge/2+37)
	out := in("slide.tif") + "[tile,pyramid,bigtiff,compression=jpeg,Q=30,tile_width=240,tile_height=240,depth=onetile]"
	for _, args := range [][]string{
		{"tiffload", path, in("seed.v")}, // keeps the description by which it is known as Aperio's
		{"embed", in("seed.v"), in("part.v"), "0", "0", n, n, "--extend", "mirror"},
		{"embed", in("part.v"), out, off, off, strconv.Itoa(2 * edge), strconv.Itoa(2 * edge), "--extend", "background", "--background", "243 243 243"},
	} {
		if out, err := exec.Command("vips", args...).CombinedOutput(); err != nil {
			b.Fatalf("vips %v: %v\n%s", args, err, out)
		}
	}
	slide := in("slide.svs")
	if err := os.Rename(in("slide.tif"), slide); err != nil {
		b.Fatal(err)
	}
	return slide
}

// tilesOf returns the tiles of slides like one that was segmented with tissue off, as engine-alone takes them: those at
// the right and lower edge are no larger than the slide needs.
func tilesOf(s sink.Summary, slides int) (args []string) {
	core, stride, margins := s.Mask.Core, s.Model.Stride, s.Model.Before+s.Model.After
	counts := map[[2]int]int{}
	for y := 0; y < s.Mask.Height; y += core {
		for x := 0; x < s.Mask.Width; x += core {
			up := func(n int) int { return (min(n, core) + stride - 1) / stride * stride }
			counts[[2]int{up(s.Mask.Width - x), up(s.Mask.Height - y)}]++
		}
	}
	for size, n := range counts {
		args = append(args, fmt.Sprintf("%d %d %d %d %d", size[0]+margins, size[1]+margins, size[0], size[1], n*slides))
	}
	return args
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

// engineAlone is a program of its own: LIBRARY MODEL WORKERS TILES..., TILES being the width and height of what the network
// sees, those of its labels, and how many.
func engineAlone() {
	workers, err := strconv.Atoi(os.Args[3])
	must(err)
	ort.SetSharedLibraryPath(os.Args[1])
	must(ort.InitializeEnvironment())
	options, err := ort.NewSessionOptions()
	must(err)
	must(options.SetIntraOpNumThreads(1))
	must(options.SetInterOpNumThreads(1))
	must(options.SetMemPattern(false))
	session, err := ort.NewDynamicAdvancedSession(os.Args[2], []string{"image"}, []string{"labels"}, options)
	must(err)
	type tile struct{ w, h, cw, ch int64 }
	work := make(chan tile)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			var last tile
			var in, out *ort.Tensor[uint8]
			var err error
			for t := range work {
				if t != last {
					in, err = ort.NewEmptyTensor[uint8](ort.NewShape(1, t.h, t.w, 3))
					must(err)
					out, err = ort.NewEmptyTensor[uint8](ort.NewShape(1, t.ch, t.cw))
					must(err)
					for i := range in.GetData() {
						in.GetData()[i] = byte(i * 7)
					}
					last = t
				}
				must(session.Run([]ort.Value{in}, []ort.Value{out}))
			}
		})
	}
	for _, arg := range os.Args[4:] {
		var t tile
		var count int
		_, err := fmt.Sscan(arg, &t.w, &t.h, &t.cw, &t.ch, &count)
		must(err)
		for range count {
			work <- t
		}
	}
	close(work)
	group.Wait()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
