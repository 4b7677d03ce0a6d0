package pipeline

import (
	"context"
	"errors"
	"fmt"
	"image"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"microtome/sink"
	"microtome/slide"
	"microtome/stages"
)

const (
	testCore  = 16
	testLease = 3*(testCore+2*fakeMargin)*(testCore+2*fakeMargin) + testCore*testCore
)

// A graph is a segment job over fakes.
type graph struct {
	reader    *fakeReader
	model     *fakeModel
	container *fakeContainer
	budget    *stages.Budget
	tiles     int
	job
}

// newGraph lays a fake slide of some size, with memory for leases tiles.
func newGraph(size image.Point, workers, leases int) *graph {
	g := &graph{
		reader:    &fakeReader{size: size, block: 24},
		model:     &fakeModel{},
		container: &fakeContainer{size: size, tile: testCore},
		budget:    stages.NewBudget(int64(leases) * testLease),
	}
	view, err := slide.New(g.reader, slide.Config{CacheBytes: 1 << 20}).AtLevel(0)
	if err != nil {
		panic(err)
	}
	g.job = job{
		view:    view,
		grid:    slide.Grid{Region: image.Rectangle{Max: size}, Core: testCore, Before: fakeMargin, After: fakeMargin, Panel: 2},
		model:   g.model,
		budget:  g.budget,
		readers: workers,
		workers: workers,
		turn:    anyTime,
		looked:  new(looked),
	}
	g.commitTo(size)
	return g
}

func everywhere(image.Rectangle) bool { return true }

// commitTo makes the end of the graph anew, for the grid as it is.
func (g *graph) commitTo(size image.Point) {
	g.commit = &stages.Commit{
		Grid: g.grid, Scope: stages.NewScope(g.grid.Region, everywhere), Done: func(slide.Tile) { g.tiles++ },
		Pyramid: sink.NewPyramid(size, testCore, sink.Majority, g.container),
	}
}

// run segments and commits, as Pipeline does.
func (g *graph) run(ctx context.Context) error {
	if _, err := g.segment(ctx); err != nil {
		return errors.Join(err, g.commit.Pyramid.Abort())
	}
	return g.commit.Pyramid.Commit()
}

// checkLeak fails the test when a failed graph kept memory or files.
func (g *graph) checkLeak(t *testing.T) {
	t.Helper()
	if used := g.budget.Used(); used != 0 {
		t.Errorf("%d bytes leaked", used)
	}
	if g.container.committed || !g.container.aborted {
		t.Errorf("committed %v, aborted %v after a failure", g.container.committed, g.container.aborted)
	}
}

func TestSegmentLabelsEveryPixelOnce(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {7, 3}, {16, 16}, {17, 16}, {65, 33}, {128, 5}} {
		for _, workers := range []int{1, 2, 4, 8} {
			for _, leases := range []int{1, 2, 25} {
				t.Run(fmt.Sprintf("%v, %d workers, %d leases", size, workers, leases), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						g := newGraph(size, workers, leases)
						g.model.wait = time.Millisecond
						if err := g.run(t.Context()); err != nil {
							t.Fatal(err)
						}
						for y := range size.Y {
							for x := range size.X {
								if got, want := g.container.pix[y*size.X+x], want(size, x, y); got != want {
									t.Fatalf("label at (%d, %d) is %d, want %d", x, y, got, want)
								}
							}
						}
						if !g.container.committed || g.budget.Used() != 0 {
							t.Errorf("committed %v, %d bytes leaked", g.container.committed, g.budget.Used())
						}
						if high := g.budget.High(); high > int64(leases)*testLease {
							t.Errorf("%d bytes in flight, %d leases of %d allowed", high, leases, testLease)
						}
						if g.tiles != g.grid.Len() {
							t.Errorf("%d tiles done of %d", g.tiles, g.grid.Len())
						}
						if g.model.most > int64(workers) {
							t.Errorf("%d predictions at a time, %d workers", g.model.most, workers)
						}
					})
				})
			}
		}
	}
}

// TestRegionIsCutOut: a mask of a part of the slide sees what lies around it, and is not shifted.
func TestRegionIsCutOut(t *testing.T) {
	size, region := image.Pt(90, 70), image.Rect(13, 22, 74, 69)
	g := newGraph(size, 2, 4)
	g.grid.Region = region
	g.container.size = region.Size()
	g.commitTo(region.Size())
	if err := g.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for y := range region.Dy() {
		for x := range region.Dx() {
			if got, want := g.container.pix[y*region.Dx()+x], want(size, region.Min.X+x, region.Min.Y+y); got != want {
				t.Fatalf("label at (%d, %d) of the region is %d, want %d", x, y, got, want)
			}
		}
	}
}

// graphs are the two kinds there are.
var graphs = map[string]func(size image.Point, workers, leases int) *graph{"plain": newGraph, "blended": newBlendedGraph}

var errInjected = errors.New("injected")

// TestFaultAtEveryPosition fails each read, each prediction, each write of a tile and the commit, one
// at a time, with few and with many tiles in flight: no deadlock, no leak, nothing committed, and an
// error that names the stage. synctest fails on a goroutine that is left behind.
func TestFaultAtEveryPosition(t *testing.T) {
	size := image.Pt(75, 53)
	stagesOf := map[string]func(g *graph, n int64){
		"read":        func(g *graph, n int64) { g.reader.failAt = n },
		"infer":       func(g *graph, n int64) { g.model.failAt = n },
		"infer panic": func(g *graph, n int64) { g.model.failAt, g.model.panics = n, true },
		"write":       func(g *graph, n int64) { g.container.failAt = n },
	}
	for name, inject := range stagesOf {
		for kind, newGraph := range graphs {
			t.Run(name+", "+kind, func(t *testing.T) {
				positions := 0
				for n := int64(1); ; n++ {
					fired := true
					for _, leases := range []int{1, 3, 30} {
						synctest.Test(t, func(t *testing.T) {
							g := newGraph(size, 3, leases)
							g.reader.err, g.model.err, g.container.err = errInjected, errInjected, errInjected
							g.reader.wait, g.model.wait, g.container.wait = 2*time.Millisecond, 3*time.Millisecond, time.Millisecond
							inject(g, n)
							err := g.run(t.Context())
							if err == nil {
								fired = false // past the last position
								return
							}
							var se *StageError
							if !errors.As(err, &se) || se.Stage != name[:min(5, len(name))] && se.Stage != name {
								t.Errorf("position %d: error %v does not name stage %s", n, err, name)
							}
							if !g.model.panics && !errors.Is(err, errInjected) {
								t.Errorf("position %d: error %v", n, err)
							}
							g.checkLeak(t)
						})
					}
					if !fired {
						break
					}
					positions++
				}
				if least := newGraph(size, 1, 1).grid.Len() / 2; positions < least {
					t.Errorf("only %d positions were tried, expected %d or more", positions, least)
				}
			})
		}
	}
	t.Run("commit", func(t *testing.T) {
		g := newGraph(size, 3, 30)
		g.container.failCommit, g.container.err = true, errInjected
		if err := g.run(t.Context()); !errors.Is(err, errInjected) {
			t.Errorf("error %v", err)
		}
		g.checkLeak(t)
	})
	t.Run("lease", func(t *testing.T) { // the only way it fails: a tile that can never fit
		synctest.Test(t, func(t *testing.T) {
			g := newGraph(size, 3, 30)
			g.budget = stages.NewBudget(testLease - 1)
			g.job.budget = g.budget
			var se *StageError
			if err := g.run(t.Context()); !errors.As(err, &se) || se.Stage != "lease" {
				t.Errorf("error %v", err)
			}
			g.checkLeak(t)
		})
	})
}

// TestCancelAtEveryMoment ends the context after every millisecond of a run.
func TestCancelAtEveryMoment(t *testing.T) {
	for kind, newGraph := range graphs {
		t.Run(kind, func(t *testing.T) { cancelAtEveryMoment(t, newGraph) })
	}
}

func cancelAtEveryMoment(t *testing.T, newGraph func(size image.Point, workers, leases int) *graph) {
	done := false
	for ms := 0; !done; ms++ {
		synctest.Test(t, func(t *testing.T) {
			g := newGraph(image.Pt(75, 53), 2, 5)
			g.reader.wait, g.model.wait, g.container.wait = time.Millisecond, 3*time.Millisecond, time.Millisecond
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { cancel(errInjected) })
			err := g.run(ctx)
			if done = err == nil; done {
				return
			}
			if !errors.Is(err, errInjected) {
				t.Fatalf("after %d ms: error %v", ms, err)
			}
			g.checkLeak(t)
		})
	}
}

// TestBackPressure lets the writer be slow: no more tiles may be read than the memory allows.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGraph(image.Pt(16*40, 16), 4, 6)
		g.container.wait = time.Second
		ahead := atomic.Int64{}
		done := g.commit.Done
		g.commit.Done = func(tile slide.Tile) {
			done(tile)
			ahead.Store(max(ahead.Load(), g.model.predictions.Load()-int64(g.tiles)))
		}
		if err := g.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ahead.Load() > 6 {
			t.Errorf("the network was %d tiles ahead of the writer, memory is for 6", ahead.Load())
		}
	})
}
