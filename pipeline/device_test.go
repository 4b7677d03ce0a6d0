package pipeline

import (
	"context"
	"errors"
	"image"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

// A metered device computes one run at a time, and beside it copies one run's pixels in or labels out. It keeps count
// of what it does. On the inside it is the fake model.
type metered struct {
	fakeModel
	compute, copy  time.Duration // of a run
	device, copier chan struct{}
	busy           time.Duration // computing
	runs           atomic.Int64
}

func (m *metered) Logits(context.Context, int, int, []byte, []float32) error { return errInjected }

func (m *metered) Predict(ctx context.Context, n int, in, out []byte) error {
	for _, phase := range []struct {
		of    chan struct{}
		takes time.Duration
	}{{m.copier, m.copy}, {m.device, m.compute}, {m.copier, m.copy}} {
		phase.of <- struct{}{}
		time.Sleep(phase.takes)
		if phase.of == m.device {
			m.busy += phase.takes
		}
		<-phase.of
	}
	m.runs.Add(1)
	for i := range n {
		if err := m.fakeModel.Predict(ctx, 1, in[i*len(in)/n:][:len(in)/n], out[i*len(out)/n:][:len(out)/n]); err != nil {
			return err
		}
	}
	return nil
}

// TestDeviceIsKeptBusy: where the readers are fast enough, a device that computes batches is idle for at most 5 % of the
// time, with one slide and with many at a time, and is not kept busy with blank tiles.
func TestDeviceIsKeptBusy(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for _, c := range []struct {
		name   string
		slides int
		size   image.Point
		most   int // tiles of a run
		copy   time.Duration
		idle   float64 // at most
	}{
		{"one slide", 1, image.Pt(640, 640), 8, 4 * time.Millisecond, 0.05},
		{"one slide, large tiles", 1, image.Pt(320, 320), 1, 4 * time.Millisecond, 0.05},
		{"one slide, slow copies", 1, image.Pt(640, 640), 8, 9 * time.Millisecond, 0.05},
		{"four slides", 4, image.Pt(320, 320), 8, 4 * time.Millisecond, 0.05},
		{"thirty small slides", 30, image.Pt(100, 130), 8, 4 * time.Millisecond, 0.05},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &metered{compute: 20 * time.Millisecond, copy: c.copy, device: make(chan struct{}, 1), copier: make(chan struct{}, 1)}
				idle, blank := keepBusy(t, m, unet.Batching{Pixels: math.MaxInt32, Most: c.most, Runs: 2, Wait: 5 * time.Millisecond}, c.slides, c.size)
				t.Logf("idle for %.1f %% of the time, %.1f %% of the runs blank", 100*idle, 100*blank)
				if idle > c.idle || blank > 0.05 {
					t.Errorf("idle for %.1f %% of the time, %.1f %% of the runs blank", 100*idle, 100*blank)
				}
			})
		})
	}
	t.Run("one run at a time", func(t *testing.T) { // the measure sees what is missing
		synctest.Test(t, func(t *testing.T) {
			m := &metered{compute: 20 * time.Millisecond, copy: 4 * time.Millisecond, device: make(chan struct{}, 1), copier: make(chan struct{}, 1)}
			if idle, _ := keepBusy(t, m, unet.Batching{Pixels: math.MaxInt32, Most: 8, Runs: 1, Wait: 5 * time.Millisecond}, 1, image.Pt(640, 640)); idle < 0.2 {
				t.Errorf("idle for %.1f %% of the time, though copies do not overlap", 100*idle)
			}
		})
	})
}

// keepBusy segments slides at a time on a device, with the workers and the memory that a plan gives, and returns the
// share of the time that the device was idle, and of its runs that no tile asked for.
func keepBusy(t *testing.T, m *metered, b unet.Batching, slides int, size image.Point) (idle, blank float64) {
	t.Helper()
	model := unet.Batch(m, b)
	workers := unet.InFlight(model, testCore)
	tiles := 0
	begin := time.Now()
	var graphs sync.WaitGroup
	for range slides {
		g := newGraph(size, workers, readers(workers)+2*workers+1)
		g.job.model, g.readers = model, readers(workers)
		g.reader.wait = 2 * time.Millisecond
		tiles += g.grid.Len()
		graphs.Go(func() {
			if err := g.run(t.Context()); err != nil {
				t.Error(err)
			}
			for y := range size.Y {
				for x := range size.X {
					if got, want := g.container.pix[y*size.X+x], want(size, x, y); got != want {
						t.Errorf("label at (%d, %d) is %d, want %d", x, y, got, want)
						return
					}
				}
			}
		})
	}
	graphs.Wait()
	took := time.Since(begin)
	asked := float64(tiles) / float64(b.Most)
	return 1 - m.busy.Seconds()/took.Seconds(), 1 - asked/float64(m.runs.Load())
}

// TestOutOfMemoryStartsAgain: a slide whose tiles are too large for the device is started again with smaller ones,
// until they fit; its results are whole, and one warning tells of it. Later slides begin with tiles that fit.
func TestOutOfMemoryStartsAgain(t *testing.T) {
	first, second := syntheticSlide(t, 1200), filepath.Join(t.TempDir(), "second.svs")
	data, err := os.ReadFile(first)
	if err == nil {
		err = os.WriteFile(second, data, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(m unet.Model, set func(*Config)) (dirs, warnings []string, tiles []int, err error) {
		cfg := NewDefaultConfig()
		cfg.Out, cfg.Slides = t.TempDir(), 1
		set(&cfg)
		p := Pipeline{Model: m, Config: cfg, Events: Events{
			Warning:    func(_, text string) { warnings = append(warnings, text) },
			SlideBegin: func(b SlideBegin) { tiles = append(tiles, b.Plan.Core) },
			SlideEnd:   func(e SlideEnd) { dirs = append(dirs, e.Dir) },
		}}
		err = p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, first, second)))
		if err != nil {
			expectNothing(t, cfg.Out)
		}
		return dirs, warnings, tiles, err
	}
	_, _, whole, err := run(&fakeModel{}, func(*Config) {})
	if err != nil {
		t.Fatal(err)
	}
	core := whole[0]
	dirs, warnings, tiles, err := run(&fakeModel{holds: core / 2}, func(*Config) {})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "out of memory") || len(tiles) != 3 || tiles[0] != core || tiles[1] > core/2 || tiles[2] != tiles[1] {
		t.Fatalf("%v, warnings %q, tiles of %v px", err, warnings, tiles)
	}
	wantDirs, _, _, err := run(&fakeModel{}, func(c *Config) { c.Tile = tiles[1] })
	if err != nil {
		t.Fatal(err)
	}
	for i := range dirs {
		got, _ := readLabels(t, filepath.Join(dirs[i], maskFile))
		want, _ := readLabels(t, filepath.Join(wantDirs[i], maskFile))
		if !slices.Equal(got, want) {
			t.Errorf("slide %d: the labels differ from those of a run that began with such tiles", i)
		}
	}
	if s := summaryIn(t, dirs[0]); len(s.Warnings) != 1 || s.Mask.Core != tiles[1] {
		t.Errorf("summary.json warns %q of tiles of %d px", s.Warnings, s.Mask.Core)
	}

	// As often as it takes, down to the smallest tiles.
	processors := runtime.GOMAXPROCS(1) // that have one tile for all of the slide
	_, warnings, tiles, err = run(&fakeModel{holds: 64}, func(c *Config) { c.Tissue = TissueOff })
	runtime.GOMAXPROCS(processors)
	if err != nil || len(warnings) != 1 || len(tiles) < 4 || tiles[len(tiles)-1] > 64 {
		t.Errorf("small tiles: %v, warnings %q, tiles of %v px", err, warnings, tiles)
	}
	for i := 1; i < len(tiles)-1; i++ { // the last is the second slide's
		if tiles[i] >= tiles[i-1] {
			t.Errorf("tiles of %v px", tiles)
		}
	}

	// Not for ever, and never in place of what the user asked for.
	_, warnings, _, err = run(&fakeModel{holds: 1}, func(*Config) {})
	if !errors.Is(err, unet.ErrMemory) || len(warnings) == 0 || len(warnings) > 2 {
		t.Errorf("no tile fits: %v, warnings %q", err, warnings)
	}
	_, warnings, tiles, err = run(&fakeModel{holds: 128}, func(c *Config) { c.Tile = 256 })
	if !errors.Is(err, unet.ErrMemory) || len(warnings) != 0 || len(tiles) != 2 {
		t.Errorf("--tile: %v, warnings %q, tiles of %v px", err, warnings, tiles)
	}
}

// A plan for a device that batches asks for as many predictions as fill it, counts their memory, and reads with no
// more than the processors.
func TestPlanForDevice(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	m := unet.Batch(&metered{}, unet.Batching{Pixels: 1 << 20, Most: 8, Runs: 2})
	for _, c := range []struct{ core, workers int }{{256, 24}, {512, 9}, {1024, 3}} {
		cfg := NewDefaultConfig()
		cfg.Tile = c.core
		p, err := planFor(cfg, m, image.Pt(20_000, 20_000), image.Rectangle{})
		if err != nil || p.Check() != nil || p.Workers != c.workers || p.Readers != 2 {
			t.Errorf("core %d: %d workers, %d readers, want %d; %v, %v", c.core, p.Workers, p.Readers, c.workers, err, p.Check())
		}
		edge := int64(c.core + 2*fakeMargin)
		lease := 3*edge*edge + int64(c.core)*int64(c.core)
		if least := int64(2*c.workers+3) * lease; p.tileBytes != least {
			t.Errorf("core %d: %d bytes of tiles, want %d", c.core, p.tileBytes, least)
		}
		if got, want := p.Memory[1].Bytes, m.(unet.ParallelModel).Memory(c.core, c.workers); got != want {
			t.Errorf("core %d: %d bytes for the model, want %d", c.core, got, want)
		}
	}
	cfg := NewDefaultConfig()
	cfg.Memory = 300 << 20
	p, err := planFor(cfg, m, image.Pt(20_000, 20_000), image.Rectangle{})
	if err != nil || p.Check() != nil || p.Workers < 2 {
		t.Errorf("little memory: %d workers with tiles of %d px; %v, %v", p.Workers, p.Core, err, p.Check())
	}
}

func summaryIn(t *testing.T, dir string) *sink.Summary {
	t.Helper()
	s, err := sink.ReadSummary(filepath.Join(dir, summaryFile))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A posing model says that it is of a form.
type posing struct {
	*fakeModel
	form string
}

func (m posing) Spec() unet.Spec {
	s := m.fakeModel.Spec()
	s.Form = m.form
	return s
}

// TestKeptFormIsCompared: results of the same file that was read in another way are not kept in silence; those that do not say
// how, of earlier versions, are.
func TestKeptFormIsCompared(t *testing.T) {
	path := syntheticSlide(t, 300)
	cfg := NewDefaultConfig()
	cfg.Out = t.TempDir()
	for _, c := range []struct {
		form  string
		force bool
		want  string // of the error; "": none
	}{
		{"", false, ""},
		{"a", false, ""},
		{"a", true, ""},
		{"a", false, ""},
		{"b", false, "holds results of model fake read in another way (card, output, classes, threshold or --fp16): give --force"},
		{"b", true, ""},
		{"b", false, ""},
	} {
		cfg.Force = c.force
		p := Pipeline{Model: posing{&fakeModel{}, c.form}, Config: cfg}
		err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, path)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
