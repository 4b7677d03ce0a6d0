package pipeline

import (
	"context"
	"time"

	"microtome/sink"
	"microtome/slide"
	"microtome/stages"
	"microtome/unet"
)

// A job is one slide on its way to one pyramid, with everything that the graph needs.
type job struct {
	view     *slide.View
	grid     slide.Grid
	model    unet.Model
	blend    *stages.Blend // nil: cores fit together as they are
	dst      *sink.Pyramid
	budget   *stages.Budget
	readers  int
	workers  int
	tileDone func(slide.Tile)
}

// segment is the graph: it labels every pixel of the grid's region and writes the labels to the
// pyramid, without committing it. It returns the time that each stage's workers were busy.
func (j job) segment(ctx context.Context) ([]sink.StageTime, error) {
	r := newRun(ctx)
	core := j.grid.Core
	edge := j.grid.Before + core + j.grid.After
	pix, labels, probs := edge*edge*j.model.Spec().Channels, core*core, 0
	infer := stages.Infer(j.model)
	if j.blend != nil {
		infer, probs = j.blend.Infer, j.blend.Probs()
	}
	var order stages.Order

	tiles := from(r, j.grid.All())
	blank := then(tiles, "lease", 1, stages.Lease(j.budget, pix, labels, probs))
	patches := then(blank, "read", j.readers, stages.Read(j.view))
	masks := then(patches, "infer", j.workers, infer)
	inOrder := then(masks, "order", 1, order.Next)
	if j.blend != nil {
		inOrder = then(inOrder, "blend", 1, j.blend.Add)
	}
	err := to(inOrder, "write", stages.Write(j.dst, j.grid.Region.Min, core, j.tileDone))

	order.Release()
	return r.times(), err
}

// times returns how long the workers of each stage were busy. Lease only waits for memory.
func (r *run) times() []sink.StageTime {
	var times []sink.StageTime
	for _, c := range r.clocks {
		if c.stage == "lease" {
			continue
		}
		times = append(times, sink.StageTime{Stage: c.stage, Seconds: time.Duration(c.ns.Load()).Seconds()})
	}
	return times
}
