package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microtome/bench/results"
	"microtome/internal/shared"
	"microtome/unet"
)

func needRuntime(t testing.TB) {
	t.Helper()
	shared.Runtime(t, func() error { _, _, err := unet.Libraries(unet.Config{}); return err })
}

func small(scenario string) Config {
	c := NewDefaultConfig()
	c.Scenario, c.Size, c.Model = scenario, 1100, "haematoxylin"
	c.Pipeline.Tile = 256
	return c
}

// Every scenario measures every pixel of the slide, and what it says of it holds together.
func TestOnce(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	const edge, tiles = 1100, 25
	for _, scenario := range results.Scenarios() {
		for _, cache := range []string{Warm, InMemory} {
			c := small(scenario)
			c.Cache, c.Dir = cache, dir
			run, err := Once(t.Context(), c)
			if err != nil {
				t.Fatalf("%s, %s: %v", scenario, cache, err)
			}
			f, s := run.Figures, run.Setting
			if s.Width != edge || s.Height != edge || s.Tile != 256 || s.Input != 296 || s.Scenario != scenario || s.Cache != cache {
				t.Errorf("%s: %+v", scenario, s)
			}
			if scenario != results.InferOnly && f.Pixels != edge*edge {
				t.Errorf("%s: %d pixels of %d", scenario, f.Pixels, edge*edge)
			}
			if scenario != results.ReadOnly && scenario != results.InferOnly && f.Tiles != tiles {
				t.Errorf("%s: %d tiles of %d", scenario, f.Tiles, tiles)
			}
			if f.Seconds <= 0 || f.CPU <= 0 || f.MPXPerS <= 0 || f.PeakRSS < 1<<20 || f.Waste < 1 {
				t.Errorf("%s: %+v", scenario, f)
			}
			if reads := scenario == results.ReadOnly || scenario == results.ReadCut || scenario == results.EndToEnd; reads && (f.DecodedPer < 1 || f.DecodedPer > 1.3) {
				t.Errorf("%s: %.2f bytes are decoded for one that is needed", scenario, f.DecodedPer)
			}
			if network := scenario == results.InferOnly || scenario == results.EndToEnd; network != (f.GFLOPPerS > f.UsefulGFLOP && f.UsefulGFLOP > 0) {
				t.Errorf("%s: %g GFLOP/s, of which %g are of use", scenario, f.GFLOPPerS, f.UsefulGFLOP)
			}
			if whole := scenario == results.EndToEnd; whole != (run.Why != "") || whole != (len(run.Stages) > 0) {
				t.Errorf("%s: %d stages, %q", scenario, len(run.Stages), run.Why)
			}
		}
	}
}

// A null sink leaves no file behind, and a null model costs no FLOP.
func TestOnceOfNothing(t *testing.T) {
	needRuntime(t)
	c := small(results.EndToEnd)
	c.Sink, c.Null, c.Dir = results.NullSink, true, t.TempDir()
	run, err := Once(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if f := run.Figures; f.GFLOPPerS != 0 || f.Pixels != 1100*1100 {
		t.Errorf("%+v", f)
	}
	if found, _ := filepath.Glob(filepath.Join(c.Dir, "*", "mask.tif")); found != nil {
		t.Errorf("%v was written", found)
	}
}

// Copies are slides of their own.
func TestOnceOverSlides(t *testing.T) {
	needRuntime(t)
	c := small(results.EndToEnd)
	c.Size, c.Copies = 300, 5
	run, err := Once(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if f := run.Figures; f.Pixels != 5*300*300 || run.Setting.Slides != 5 || f.SecondsSlide > f.Seconds/4 {
		t.Errorf("%+v", run)
	}
}

// What a probe finds fits the memory, is no slower than what is there without it, and is found again.
func TestTune(t *testing.T) {
	needRuntime(t)
	c := NewDefaultConfig()
	c.Model = "haematoxylin"
	c.Pipeline.Memory = 400 << 20
	seen := 0
	best, err := Tune(t.Context(), c, func(Probe) { seen++ })
	if err != nil {
		t.Fatal(err)
	}
	t.Log(best)
	if seen < 3 || seen != len(best.Probes) || best.MPXPerS < best.Default || best.Tile%2 != 0 || best.Workers < 1 {
		t.Errorf("%d settings were tried: %+v", seen, best)
	}
	for _, p := range best.Probes {
		plan, err := (&prober{Config: c}).plan(t.Context(), opened(t, c), p.Tile, p.Workers)
		if err != nil || plan.Check() != nil {
			t.Errorf("%+v does not fit into %d bytes: %v", p, c.Pipeline.Memory, plan.Check())
		}
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	path, err := TunedPath(c, "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := ReadTuned(path); ok || err != nil {
		t.Errorf("before anything was kept: %v, %v", ok, err)
	}
	if err := WriteTuned(path, best); err != nil {
		t.Fatal(err)
	}
	if again, ok, err := ReadTuned(path); !ok || err != nil || again.Tile != best.Tile || again.Workers != best.Workers || again.Batch != best.Batch {
		t.Errorf("%+v, %v, %v", again, ok, err)
	}
	other := c
	other.Pipeline.Memory *= 2
	if p, err := TunedPath(other, "1"); err != nil || p == path {
		t.Errorf("another memory has the same file: %s, %v", p, err)
	}
	if err := os.WriteFile(path, []byte(`{"tile": 5`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := ReadTuned(path); ok || err != nil {
		t.Errorf("half a file: %v, %v", ok, err)
	}
}

func opened(t *testing.T, c Config) unet.Model {
	t.Helper()
	m, err := unet.Open(c.Model, c.Unet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"--scenario all: give one of": func(c *Config) { c.Scenario = "all" },
		"--cache hot: give one of":    func(c *Config) { c.Cache = "hot" },
		"--sink zip: give one of":     func(c *Config) { c.Sink = "zip" },
		"--copies 0":                  func(c *Config) { c.Copies = 0 },
		"only the scenario":           func(c *Config) { c.Copies, c.Scenario = 2, results.ReadOnly },
		"--size 1":                    func(c *Config) { c.Size = 1 },
		"--tile -1":                   func(c *Config) { c.Pipeline.Tile = -1 },
		"--batch 100":                 func(c *Config) { c.Unet.Batch = 100 },
		"no such file":                func(c *Config) { c.Slide = "nowhere.svs" },
	} {
		c := NewDefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
