package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"microtome/bench/synthetic"
	"microtome/sink"
	"microtome/slide"
	"microtome/stages"
	"microtome/unet"
)

const (
	testOverlap = 8
	testTile    = testCore + testOverlap
	blendLease  = 3*(testTile+2*fakeMargin)*(testTile+2*fakeMargin) + testCore*testCore + 4*testTile*testTile
)

// A hazyModel is the fake one by a logit, to which the whole tile adds something.
type hazyModel struct {
	*fakeModel
	haze float32 // how much: 0, a tile is bounded
}

func (m hazyModel) Spec() unet.Spec {
	s := m.fakeModel.Spec()
	s.Logits, s.Unbounded = 1, "haze sees the whole tile"
	return s
}

func (m hazyModel) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	labels := make([]byte, w*h)
	if err := m.Predict(ctx, 1, in, labels); err != nil {
		return err
	}
	sum := 0
	for _, v := range in {
		sum += int(v)
	}
	for i, label := range labels {
		out[i] = 2*float32(label) - 1 + m.haze*float32(sum%7-3)
	}
	return nil
}

// newBlendedGraph is newGraph for tiles that overlap.
func newBlendedGraph(size image.Point, workers, leases int) *graph {
	g := newGraph(size, workers, leases)
	g.budget = stages.NewBudget(int64(leases) * blendLease)
	g.job.budget = g.budget
	g.grid.After += testOverlap
	g.grid.Panel = columns(size.X, testCore)
	g.blend = stages.NewBlend(g.grid, testOverlap, hazyModel{g.model, 0})
	return g
}

// TestBlendedSegment: where tiles agree blending changes no label; where they do not, the labels are the same for
// any number of workers.
func TestBlendedSegment(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {7, 3}, {16, 16}, {17, 16}, {65, 33}, {128, 5}} {
		var hazy []byte
		for _, workers := range []int{1, 2, 4, 8} {
			for _, leases := range []int{1, 2, 25} {
				t.Run(fmt.Sprintf("%v, %d workers, %d leases", size, workers, leases), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						g := newBlendedGraph(size, workers, leases)
						g.model.wait = time.Millisecond
						if err := g.run(t.Context()); err != nil {
							t.Fatal(err)
						}
						for i, got := range g.container.pix {
							if want := want(size, i%size.X, i/size.X); got != want {
								t.Fatalf("label at (%d, %d) is %d, want %d", i%size.X, i/size.X, got, want)
							}
						}
						if high := g.budget.High(); g.budget.Used() != 0 || high > int64(leases)*blendLease {
							t.Errorf("%d bytes leaked, %d in flight, %d leases of %d allowed", g.budget.Used(), high, leases, blendLease)
						}
						if g.tiles != g.grid.Len() || !g.container.committed {
							t.Errorf("%d tiles done of %d, committed %v", g.tiles, g.grid.Len(), g.container.committed)
						}

						plain := g.container.pix
						g = newBlendedGraph(size, workers, leases)
						g.blend = stages.NewBlend(g.grid, testOverlap, hazyModel{g.model, 0.5})
						if err := g.run(t.Context()); err != nil {
							t.Fatal(err)
						}
						if hazy == nil {
							hazy = g.container.pix
						}
						if !bytes.Equal(g.container.pix, hazy) {
							t.Error("the labels depend on the workers")
						}
						if size.X > 64 && bytes.Equal(hazy, plain) {
							t.Error("haze changes no label: the comparison is blind")
						}
					})
				})
			}
		}
	}
}

// TestBlendedFile takes an unbounded model through the whole pipeline: one warning for the run, and what
// summary.json says.
func TestBlendedFile(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"a.svs", "b.svs"} {
		path := filepath.Join(dir, name)
		if err := synthetic.WriteSlide(t.Context(), path, path+".tif", synthetic.Config{Size: 300, Seed: uint64(len(paths) + 3)}); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	cfg := NewDefaultConfig()
	cfg.Out, cfg.Tile, cfg.Overlap = t.TempDir(), 64, 16
	var warnings []string
	var summary *sink.Summary
	p := Pipeline{Model: hazyModel{&fakeModel{}, 0}, Config: cfg, Events: Events{
		Warning:  func(slide, text string) { warnings = append(warnings, slide+text) },
		SlideEnd: func(e SlideEnd) { summary = e.Summary },
	}}
	if err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, paths...))); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0] != "seams cannot be excluded: haze sees the whole tile: tiles share 16 px with the next and are blended" {
		t.Errorf("warnings %q", warnings)
	}
	if summary.Mask.Overlap != 16 || summary.Mask.Core != 64 || len(summary.Warnings) != 1 || summary.Warnings[0] != warnings[0] {
		t.Errorf("mask %+v, warnings %q", summary.Mask, summary.Warnings)
	}
	p.Config.Tile = 128 // changes the labels
	if err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, paths...))); err == nil || !strings.Contains(err.Error(), "of tiles of 80 px that overlap by 16, not of 144 by 16") {
		t.Errorf("results of other tiles: %v", err)
	}
	p.Config.Tile = 0 // whatever this machine's memory allows
	summary = nil
	if err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, paths...))); err != nil || summary == nil || summary.Mask.Core != 64 {
		t.Errorf("tiles that the plan chose: %v, %+v", err, summary)
	}
	p.Config.Overlap = 32
	if err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, paths...))); err == nil || !strings.Contains(err.Error(), "that overlap by 16, not of") {
		t.Errorf("results of another overlap: %v", err)
	}
	p.Config.Tile, p.Config.Overlap = 128, 0
	if err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, paths...))); err == nil || !strings.Contains(err.Error(), "give --overlap 32, to blend") {
		t.Errorf("without an overlap: %v", err)
	}
}

// TestSuits: what the flag may be for which model.
func TestSuits(t *testing.T) {
	unbounded := unet.Spec{Name: "m", Geometry: unet.Geometry{Stride: 16}, Unbounded: "norm1 sees the whole tile"}
	fixed := unbounded
	fixed.Input, fixed.Before, fixed.After = 256, 16, 16
	for _, c := range []struct {
		spec          unet.Spec
		tile, overlap int
		want          string // "": they go together
	}{
		{unet.Spec{Name: "m", Geometry: unet.Geometry{Stride: 16}}, 0, 0, ""},
		{unet.Spec{Name: "m", Geometry: unet.Geometry{Stride: 16}}, 0, 16, "fit together without a seam, leave the flag out"},
		{unbounded, 0, 128, ""},
		{unbounded, 0, 0, "(norm1 sees the whole tile): give --overlap 128"},
		{unbounded, 320, 0, "give --overlap 80"},
		{unbounded, 0, 100, "not a multiple of the model's stride: give 112"},
		{unbounded, 64, 128, "at most 64 px"},
		{unbounded, 64, 64, ""},
		{fixed, 0, 0, "give --overlap 48"},
		{fixed, 0, 112, ""},
		{fixed, 0, 128, "at most 112 px"},
	} {
		cfg := NewDefaultConfig()
		cfg.Tile, cfg.Overlap = c.tile, c.overlap
		switch err := cfg.Suits(c.spec); {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("tile %d, overlap %d, %+v: %v, want %q", c.tile, c.overlap, c.spec.Geometry, err, c.want)
		}
	}
}

// TestPlanOfBlending: the band that is kept grows with the slide's width, not with its height, and is counted; a
// model of one size gives up the overlap from its core.
func TestPlanOfBlending(t *testing.T) {
	cfg := NewDefaultConfig()
	cfg.Overlap, cfg.Tile, cfg.Memory = 128, 512, 64<<30
	m := hazyModel{&fakeModel{}, 0}
	sum := func(w, h int) int64 {
		p, err := planFor(cfg, m, image.Pt(w, h), image.Rect(0, 0, w, h))
		if err != nil || p.Overlap != 128 || p.Halo != 512+128+2*fakeMargin {
			t.Fatalf("%+v, %v", p, err)
		}
		if g := p.Grid(m.Spec().Geometry); g.Panel != columns(w, 512) || g.After != 128+fakeMargin {
			t.Errorf("grid %+v", g)
		}
		for _, n := range p.Memory {
			if n.For == "band of tiles that overlap" {
				return n.Bytes
			}
		}
		t.Fatal("the plan has no band")
		return 0
	}
	if low, high, wide := sum(51_200, 1000), sum(51_200, 100_000), sum(102_400, 1000); low != high || low != 4*128*(51_200+640) || wide != 4*128*(102_400+640) {
		t.Errorf("the band takes %d, %d and %d bytes", low, high, wide)
	}
	cfg = NewDefaultConfig()
	cfg.Overlap = 64
	fixed := &planModel{geometry: unet.Geometry{Stride: 16, Before: 32, After: 32}, input: 512}
	if p, err := planFor(cfg, fixed, image.Pt(5000, 5000), image.Rectangle{}); err != nil || p.Core != 384 || p.Halo != 512 {
		t.Errorf("a network that takes only 512: core %d, halo %d, %v", p.Core, p.Halo, err)
	}
}
