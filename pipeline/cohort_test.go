package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
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

// A folder is fake slides as files, for a run.
type folder struct {
	dir    string
	paths  []string
	size   image.Point
	opens  time.Duration // a slide takes so long to open
	before func(path string, reads int64) error
}

// newFolder makes files of these names, below a folder. Slides are one pixel wider each than the one before.
func newFolder(t *testing.T, size image.Point, names ...string) *folder {
	t.Helper()
	f := &folder{dir: t.TempDir(), size: size}
	for _, name := range names {
		path := filepath.Join(f.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(name), 0o666)); err != nil {
			t.Fatal(err)
		}
		f.paths = append(f.paths, path)
	}
	return f
}

func numbered(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("s%02d.svs", i))
	}
	return names
}

func (f *folder) sizeOf(path string) image.Point {
	return f.size.Add(image.Pt(slices.Index(f.paths, path), 0))
}

func (f *folder) open(path string, cfg slide.Config) (*slide.Slide, error) {
	time.Sleep(f.opens)
	return slide.New(&folderReader{fakeReader{size: f.sizeOf(path), block: 64, wait: time.Millisecond}, path, f}, cfg), nil
}

// A folderReader is a fake slide that knows its path.
type folderReader struct {
	fakeReader
	path   string
	folder *folder
}

func (r *folderReader) Info() slide.Info {
	info := r.fakeReader.Info()
	info.Path = r.path
	return info
}

func (r *folderReader) ReadBlock(ctx context.Context, level, x, y int, dst []byte) error {
	if r.folder.before != nil {
		if err := r.folder.before(r.path, r.reads.Load()); err != nil {
			return err
		}
	}
	return r.fakeReader.ReadBlock(ctx, level, x, y, dst)
}

func (f *folder) items(yield func(Item, error) bool) {
	for _, path := range f.paths {
		if !yield(Item{Path: path}, nil) {
			return
		}
	}
}

// pipeline returns a pipeline over the folder that listens to its events: they must come one at a time, and each slide's
// in their order.
func (f *folder) pipeline(t *testing.T, m unet.Model, set func(*Config)) (p *Pipeline, seen *recorder) {
	out, err := os.MkdirTemp(f.dir, "out") // t.TempDir ends with the bubble
	if err != nil {
		t.Fatal(err)
	}
	cfg := NewDefaultConfig()
	cfg.Out, cfg.Tile, cfg.Workers, cfg.Tissue, cfg.Memory = out, 64, 2, TissueOff, 4<<30
	set(&cfg)
	r := &recorder{t: t, state: map[string]string{}, ends: map[string]SlideEnd{}}
	return &Pipeline{Model: m, Config: cfg, OpenSlide: f.open, Events: r.events()}, r
}

// A recorder keeps what a run tells.
type recorder struct {
	t        *testing.T
	busy     atomic.Bool
	state    map[string]string // "begun", "ended"
	ends     map[string]SlideEnd
	tiles    int
	atWork   int
	most     int // slides at a time
	warnings []string
	onTile   func()
}

func (r *recorder) events() Events {
	alone := func() func() {
		if !r.busy.CompareAndSwap(false, true) {
			r.t.Error("two events at a time")
		}
		runtime.Gosched()
		return func() { r.busy.Store(false) }
	}
	return Events{
		Warning: func(_, text string) {
			defer alone()()
			r.warnings = append(r.warnings, text)
		},
		SlideBegin: func(e SlideBegin) {
			defer alone()()
			if r.state[e.Slide] != "" {
				r.t.Errorf("%s begins and is %s", e.Slide, r.state[e.Slide])
			}
			r.state[e.Slide] = "begun"
			r.atWork++
			r.most = max(r.most, r.atWork)
		},
		TileDone: func(e TileDone) {
			defer alone()()
			if r.state[e.Slide] != "begun" {
				r.t.Errorf("a tile of %s is done, which is %q", e.Slide, r.state[e.Slide])
			}
			r.tiles++
			if r.onTile != nil {
				r.onTile()
			}
		},
		SlideEnd: func(e SlideEnd) {
			defer alone()()
			if r.state[e.Slide] == "ended" {
				r.t.Errorf("%s ends twice", e.Slide)
			}
			if r.state[e.Slide] == "begun" {
				r.atWork--
			}
			r.state[e.Slide], r.ends[e.Slide] = "ended", e
			if (e.Err == nil) != (e.Dir != "") || (e.Err == nil) != (e.Summary != nil) {
				r.t.Errorf("%+v", e)
			}
		},
	}
}

// check compares the labels of a slide with those of its formula.
func (f *folder) check(t *testing.T, e SlideEnd) {
	t.Helper()
	if e.Err != nil {
		t.Errorf("%s: %v", e.Slide, e.Err)
		return
	}
	size := f.sizeOf(e.Slide)
	labels, got := readLabels(t, filepath.Join(e.Dir, maskFile))
	if got != size {
		t.Errorf("%s: the mask has %v px, want %v", e.Slide, got, size)
		return
	}
	for i, label := range labels {
		if want := want(size, i%size.X, i/size.X); label != want {
			t.Errorf("%s: label at (%d, %d) is %d, want %d", e.Slide, i%size.X, i/size.X, label, want)
			return
		}
	}
}

// TestSlidesAtATime: several slides are at work at a time, no more than --slides, with no more predictions at a time than
// one alone would have; each gets its own labels, and names in the order of the run.
func TestSlidesAtATime(t *testing.T) {
	for _, c := range []struct{ slides, workers int }{{1, 2}, {2, 1}, {3, 2}, {4, 3}} {
		t.Run(fmt.Sprintf("%d slides, %d workers", c.slides, c.workers), func(t *testing.T) {
			f := newFolder(t, image.Pt(200, 130), append(numbered(5), "a/x.svs", "b/x.svs", "c/x.svs")...)
			var seen *recorder
			synctest.Test(t, func(t *testing.T) {
				m := &fakeModel{wait: 20 * time.Millisecond}
				p, r := f.pipeline(t, m, func(cfg *Config) { cfg.Slides, cfg.Workers = c.slides, c.workers })
				seen = r
				if err := p.Run(t.Context(), f.items); err != nil {
					t.Fatal(err)
				}
				if m.most > int64(c.workers) || c.slides > 1 && m.most < int64(c.workers) {
					t.Errorf("%d predictions at a time, want %d", m.most, c.workers)
				}
				if seen.most != c.slides {
					t.Errorf("%d slides at work at a time, want %d", seen.most, c.slides)
				}
			})
			if len(seen.ends) != len(f.paths) || seen.tiles != 8*12 {
				t.Errorf("%d slides and %d tiles", len(seen.ends), seen.tiles)
			}
			for i, name := range append([]string{"s00", "s01", "s02", "s03", "s04"}, "x", "x-2", "x-3") {
				e := seen.ends[f.paths[i]]
				f.check(t, e)
				if filepath.Base(e.Dir) != name {
					t.Errorf("%s is in %s, want %s", e.Slide, e.Dir, name)
				}
			}
		})
	}
}

// TestNextSlideFillsTheTail: slides of few tiles, of which the last leaves a worker idle and which take long to open, keep the
// model busy nearly all of the time when several may be at work; one at a time does not.
func TestNextSlideFillsTheTail(t *testing.T) {
	f := newFolder(t, image.Pt(290, 60), numbered(20)...) // five tiles each
	busy := func(slides int) (share float64) {
		synctest.Test(t, func(t *testing.T) {
			m := &fakeModel{wait: 100 * time.Millisecond}
			f.opens = 60 * time.Millisecond
			p, _ := f.pipeline(t, m, func(cfg *Config) { cfg.Slides = slides })
			begin := time.Now()
			if err := p.Run(t.Context(), f.items); err != nil {
				t.Fatal(err)
			}
			share = float64(m.predictions.Load()) * m.wait.Seconds() / 2 / time.Since(begin).Seconds()
		})
		return share
	}
	one, four := busy(1), busy(4)
	t.Logf("the model is busy %.1f %% of the time, with one slide at a time %.1f %%", 100*four, 100*one)
	if four < 0.95 || one > 0.85 {
		t.Errorf("the model is busy %.1f %% of the time, with one slide at a time %.1f %%", 100*four, 100*one)
	}
}

// TestFaultsStaySmall: of slides that cannot be opened, read, or that meet a bug of ours, each fails by itself, with the stage
// in which it did.
func TestFaultsStaySmall(t *testing.T) {
	f := newFolder(t, image.Pt(200, 130), append(numbered(6), "opens-not.svs", "opens-panic.svs", "reads-not.svs", "reads-panic.svs", "late.svs")...)
	slices.SortFunc(f.paths, func(a, b string) int { return strings.Compare(filepath.Base(a)[1:], filepath.Base(b)[1:]) }) // mixed
	f.before = func(path string, reads int64) error {
		switch name := filepath.Base(path); {
		case name == "reads-not.svs":
			return errInjected
		case name == "reads-panic.svs":
			panic("a bug")
		case name == "late.svs" && reads > 12+4:
			return errInjected
		}
		return nil
	}
	m := &fakeModel{}
	p, seen := f.pipeline(t, m, func(cfg *Config) { cfg.Slides = 3 })
	p.OpenSlide = func(path string, cfg slide.Config) (*slide.Slide, error) {
		switch filepath.Base(path) {
		case "opens-not.svs":
			return nil, errInjected
		case "opens-panic.svs":
			panic("a bug")
		}
		cfg.CacheBytes = 0
		return f.open(path, cfg)
	}
	err := p.Run(t.Context(), f.items)
	var failed *RunError
	if !errors.As(err, &failed) || failed.Failed != 5 || failed.Total != 11 {
		t.Errorf("%v", err)
	}
	for name, want := range map[string]struct{ stage, text string }{
		"opens-not.svs": {"open", "injected"}, "opens-panic.svs": {"open", "internal error at cohort_test.go"},
		"reads-not.svs": {"overlay", "injected"}, "reads-panic.svs": {"overlay", "internal error"},
		"late.svs": {"read", "injected"},
	} {
		i := slices.IndexFunc(f.paths, func(p string) bool { return filepath.Base(p) == name })
		e := seen.ends[f.paths[i]]
		var se *StageError
		if !errors.As(e.Err, &se) || se.Slide != f.paths[i] || !strings.Contains(se.Err.Error(), want.text) || se.Stage != want.stage && !strings.Contains(name, "panic") || (name == "late.svs") == se.Tile.Empty() {
			t.Errorf("%s: %+v", name, e.Err)
		}
		delete(seen.ends, f.paths[i])
		if _, err := os.Stat(filepath.Join(p.Config.Out, resultName(name))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s has results: %v", name, err)
		}
	}
	for _, e := range seen.ends {
		f.check(t, e)
	}
}

// TestInterruptionEndsAll: the end of the context ends the slides at work and those that wait, within the predictions under
// way, and none counts as failed; the same run goes on from there, and no tile is labelled twice.
func TestInterruptionEndsAll(t *testing.T) {
	f := newFolder(t, image.Pt(200, 130), numbered(7)...)
	var out string
	begun, done := 0, 0
	synctest.Test(t, func(t *testing.T) {
		m := &fakeModel{wait: time.Second}
		p, seen := f.pipeline(t, m, func(cfg *Config) { cfg.Slides = 3 })
		out = p.Config.Out
		ctx, cancel := context.WithCancelCause(t.Context())
		var at time.Time
		seen.onTile = func() {
			if seen.tiles == 30 {
				at = time.Now()
				cancel(errInjected)
			}
		}
		if err := p.Run(ctx, f.items); !errors.Is(err, errInjected) {
			t.Errorf("%v", err)
		}
		if took := time.Since(at); took > 2*m.wait {
			t.Errorf("it took %v to end", took)
		}
		for _, e := range seen.ends {
			if e.Err == nil {
				done++
			} else if begun++; !e.Interrupted || !errors.Is(e.Err, errInjected) {
				t.Errorf("%+v", e)
			}
		}
		if done == 0 || begun == 0 || done+begun >= len(f.paths) {
			t.Errorf("%d slides are done, %d were begun", done, begun)
		}
	})
	journals, err := filepath.Glob(filepath.Join(out, "*", sink.PartialDir, "*"))
	if err != nil || len(journals) == 0 || slices.ContainsFunc(journals, func(p string) bool { return filepath.Base(p) != "journal" }) {
		t.Errorf("there are %v", journals)
	}
	m := &fakeModel{}
	p, seen := f.pipeline(t, m, func(cfg *Config) { cfg.Out, cfg.Slides = out, 2 })
	if err := p.Run(t.Context(), f.items); err != nil {
		t.Fatal(err)
	}
	kept, resumed := 0, 0
	for _, e := range seen.ends {
		f.check(t, e)
		if e.Kept {
			kept++
		}
		if !e.Kept {
			resumed += e.Summary.Resumed
		}
	}
	if kept != done || resumed == 0 || int(m.predictions.Load())+resumed != (len(f.paths)-kept)*12 {
		t.Errorf("%d slides are kept of %d, %d tiles resumed, %d labelled", kept, done, resumed, m.predictions.Load())
	}
	if journals, _ := filepath.Glob(filepath.Join(out, "*", sink.PartialDir)); len(journals) > 0 {
		t.Errorf("%v are left", journals)
	}
}

// A namedModel counts itself open.
type namedModel struct {
	fakeModel
	name string
	open *[]string
	mu   *sync.Mutex
}

func (m *namedModel) Spec() unet.Spec {
	s := m.fakeModel.Spec()
	s.Name, s.SHA256 = m.name, m.name
	return s
}

func (m *namedModel) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.open = slices.DeleteFunc(*m.open, func(n string) bool { return n == m.name })
	return nil
}

// TestModelsByItem: models that items name are opened once for those that follow one another, one at a time, and closed;
// slides of one that cannot be opened fail, and the rest go on.
func TestModelsByItem(t *testing.T) {
	f := newFolder(t, image.Pt(100, 70), numbered(9)...)
	names := []string{"", "a", "a", "none", "none", "a", "b", "", "b"}
	var mu sync.Mutex
	var open, opened []string
	p, seen := f.pipeline(t, &fakeModel{}, func(cfg *Config) { cfg.Slides = 4 })
	p.OpenModel = func(name string) (unet.Model, error) {
		mu.Lock()
		defer mu.Unlock()
		opened = append(opened, name)
		if len(open) > 0 {
			t.Errorf("%s is opened beside %v", name, open)
		}
		if name == "none" {
			return nil, errInjected
		}
		open = append(open, name)
		return &namedModel{name: name, open: &open, mu: &mu}, nil
	}
	err := p.Run(t.Context(), func(yield func(Item, error) bool) {
		for i, path := range f.paths {
			if !yield(Item{Path: path, Model: names[i]}, nil) {
				return
			}
		}
	})
	var failed *RunError
	if !errors.As(err, &failed) || failed.Failed != 2 || failed.Total != 9 || !errors.Is(err, errInjected) || !strings.Contains(err.Error(), "model none: ") {
		t.Errorf("%v", err)
	}
	if want := []string{"a", "none", "none", "a", "b", "b"}; !slices.Equal(opened, want) || len(open) != 0 {
		t.Errorf("%v were opened, want %v; %v are open at the end", opened, want, open)
	}
	for i, path := range f.paths {
		e := seen.ends[path]
		if names[i] == "none" {
			if e.Err == nil {
				t.Errorf("%s was done without its model", path)
			}
			continue
		}
		f.check(t, e)
		if want := cmp.Or(names[i], "fake"); e.Err == nil && e.Summary.Model.Name != want {
			t.Errorf("%s is of model %s, want %s", path, e.Summary.Model.Name, want)
		}
	}
}
