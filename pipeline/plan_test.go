package pipeline

import (
	"image"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/slide"
	"microtome/stages"
	"microtome/unet"
)

// A planModel is a network that takes some bytes a pixel that it sees.
type planModel struct {
	fakeModel
	geometry unet.Geometry
	input    int
	bytes    int64
}

func (m *planModel) Spec() unet.Spec {
	return unet.Spec{Geometry: m.geometry, Input: m.input, Channels: 3, Classes: []string{"no", "yes"}}
}

func (m *planModel) Bytes(core int) int64 {
	edge := int64(m.geometry.Input(core))
	return m.bytes * edge * edge
}

// planFor lays out the work on a slide of some size.
func planFor(cfg Config, m unet.Model, size image.Point, bounds image.Rectangle) (Plan, error) {
	s := slide.New(&fakeReader{size: size, block: 240, bounds: bounds}, slide.Config{CacheBytes: cacheBytes(cfg.Memory)})
	v, err := s.AtLevel(0)
	if err != nil {
		return Plan{}, err
	}
	region, err := (&Pipeline{Config: cfg}).region(v, Item{})
	if err != nil {
		return Plan{}, err
	}
	return planner{Config: cfg, model: m, region: region}.plan(s, v)
}

var paper = unet.Geometry{Stride: 16, Before: 92, After: 96}

// TestPlanFits: whatever the slide, the network and the memory, a plan either fits or is refused; the core
// is a multiple of the stride; the number of workers changes neither the core nor the tiles; the memory
// that a refusal advises is enough.
func TestPlanFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &planModel{
			geometry: rapid.SampledFrom([]unet.Geometry{paper, {Stride: 1}, {Stride: 4, Before: 20, After: 20}, {Stride: 24, Before: 30, After: 31}}).Draw(t, "geometry"),
			bytes:    rapid.Int64Range(0, 600).Draw(t, "bytes a pixel"),
		}
		size := image.Pt(rapid.IntRange(1, 150_000).Draw(t, "width"), rapid.IntRange(1, 150_000).Draw(t, "height"))
		cfg := NewDefaultConfig()
		cfg.Memory = rapid.Int64Range(64<<20, 8<<30).Draw(t, "memory")
		cfg.Overlap = m.geometry.Stride * rapid.SampledFrom([]int{0, 0, 1, 8, 100}).Draw(t, "overlap in strides")
		var first Plan
		for _, workers := range []int{0, 1, 2, 4, 8} {
			cfg.Workers = workers
			p, err := planFor(cfg, m, size, image.Rectangle{Max: size})
			if err != nil {
				t.Fatal(err)
			}
			if p.Core%m.geometry.Stride != 0 || p.Core < 1 {
				t.Fatalf("core %d, stride %d", p.Core, m.geometry.Stride)
			}
			if p.Core < p.Overlap && p.Tiles > 1 {
				t.Fatalf("%d tiles of core %d share %d px with the next", p.Tiles, p.Core, p.Overlap)
			}
			refused := p.Check() != nil
			if refused != (p.Sum() > cfg.Memory) || refused && p.Workers > 1 {
				t.Fatalf("sum %d of %d with %d workers, refused %v", p.Sum(), cfg.Memory, p.Workers, refused)
			}
			if workers > 0 && p.Workers > workers {
				t.Fatalf("%d workers, asked for %d", p.Workers, workers)
			}
			if workers == 0 {
				first = p
			}
			if p.Core != first.Core || p.Tiles != first.Tiles {
				t.Fatalf("core %d with %d workers, %d without the flag", p.Core, workers, first.Core)
			}
			enough := cfg
			if enough.Memory = p.least; refused {
				if again, err := planFor(enough, m, size, image.Rectangle{Max: size}); err != nil || again.Check() != nil {
					t.Fatalf("--memory %d was advised, and is refused: %v", p.least, again.Check())
				}
			}
		}
	})
}

// The plan of a network like the paper's, by hand: 400 bytes a pixel that it sees, two processors.
func TestPlanTable(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	m := &planModel{geometry: paper, bytes: 400}
	for _, c := range []struct {
		name    string
		memory  int64
		tile    int
		size    image.Point
		core    int
		refused string
	}{
		{"roomy", 16 << 30, 0, image.Pt(100_000, 100_000), 2048, ""},
		{"tight", 1 << 30, 0, image.Pt(100_000, 100_000), 768, ""},
		{"small slide", 16 << 30, 0, image.Pt(100, 70), 112, ""},
		{"own tile", 16 << 30, 320, image.Pt(5000, 5000), 320, ""},
		{"too little", 128 << 20, 0, image.Pt(100_000, 100_000), 64, "--memory is 128 MiB (base 160 MiB + model "},
		{"too much asked", 1 << 30, 4096, image.Pt(100_000, 100_000), 4096, "give --memory "},
	} {
		cfg := NewDefaultConfig()
		cfg.Memory, cfg.Tile, cfg.Workers, cfg.Slides = c.memory, c.tile, 1, 1
		p, err := planFor(cfg, m, c.size, image.Rectangle{Max: c.size})
		if err != nil || p.Core != c.core || p.Halo != c.core+paper.Before+paper.After {
			t.Errorf("%s: core %d, halo %d, %v; want core %d", c.name, p.Core, p.Halo, err, c.core)
		}
		switch err := p.Check(); {
		case c.refused == "" && err != nil:
			t.Errorf("%s: refused: %v", c.name, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v, want %q", c.name, err, c.refused)
		}
	}
	cfg := NewDefaultConfig()
	cfg.Tile = 100
	if _, err := planFor(cfg, m, image.Pt(500, 500), image.Rectangle{}); err == nil || !strings.Contains(err.Error(), "not a multiple of the model's stride: give 112") {
		t.Errorf("--tile off the stride: %v", err)
	}
	fixed := &planModel{geometry: unet.Geometry{Stride: 16, Before: 96, After: 96}, input: 512}
	if p, err := planFor(NewDefaultConfig(), fixed, image.Pt(5000, 5000), image.Rectangle{}); err != nil || p.Core != 320 || p.Halo != 512 {
		t.Errorf("a network that takes only 512: core %d, halo %d, %v", p.Core, p.Halo, err)
	}
}

// TestPlanBounds: --bounds works on the scanned area alone, and says where it lies.
func TestPlanBounds(t *testing.T) {
	cfg, bounds := NewDefaultConfig(), image.Rect(300, 200, 1300, 900)
	m := &planModel{geometry: paper}
	if p, err := planFor(cfg, m, image.Pt(2000, 2000), bounds); err != nil || p.Region != image.Rect(0, 0, 2000, 2000) {
		t.Errorf("the whole slide is %v, %v", p.Region, err)
	}
	cfg.Bounds = true
	if p, err := planFor(cfg, m, image.Pt(2000, 2000), bounds); err != nil || p.Region != bounds {
		t.Errorf("the scanned area is %v, %v", p.Region, err)
	}
}

// TestPlanForTissue: the plan that is made again when the tissue is known takes no more than the first was granted, and its
// tiles do not depend on the number of workers either.
func TestPlanForTissue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &planModel{geometry: paper, bytes: rapid.Int64Range(0, 600).Draw(t, "bytes a pixel")}
		size := image.Pt(rapid.IntRange(1, 20_000).Draw(t, "width"), rapid.IntRange(1, 20_000).Draw(t, "height"))
		cfg := NewDefaultConfig()
		cfg.Memory = rapid.Int64Range(400<<20, 8<<30).Draw(t, "memory")
		s := slide.New(&fakeReader{size: size, block: 240}, slide.Config{CacheBytes: cacheBytes(cfg.Memory)})
		v, err := s.AtLevel(0)
		if err != nil {
			t.Fatal(err)
		}
		region := image.Rectangle{Max: size}
		spot := image.Rect(0, 0, rapid.IntRange(1, 5000).Draw(t, "tissue width"), rapid.IntRange(1, 5000).Draw(t, "tissue height")).Add(image.Pt(rapid.IntRange(0, size.X).Draw(t, "x"), rapid.IntRange(0, size.Y).Draw(t, "y")))
		p := planner{Config: cfg, model: m, region: region}
		scope := stages.NewScope(region, spot.Overlaps)
		first := 0
		for _, workers := range []int{0, 1, 2, 4, 8} {
			p.Workers = workers
			whole, err := p.plan(s, v)
			if err != nil {
				t.Fatal(err)
			}
			if whole.Check() != nil {
				return
			}
			again := p
			again.scope, again.within = scope, &whole.room
			plan, err := again.plan(s, v)
			if err != nil {
				t.Fatal(err)
			}
			if !plan.need().inside(whole.room.all) {
				t.Fatalf("%d workers: %v is needed, %v was granted", workers, plan.need(), whole.room.all)
			}
			if first == 0 {
				first = plan.Core
			}
			if plan.Core != first {
				t.Fatalf("tiles of %d px with %d workers, of %d with any number", plan.Core, workers, first)
			}
		}
	})
}
