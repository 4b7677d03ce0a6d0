package pipeline

import (
	"context"
	"iter"

	"microtome/slide"
	"microtome/stages"
	"microtome/unet"
)

// A job is one slide on its way to one pyramid, with everything that the graph needs.
type job struct {
	view    *slide.View
	grid    slide.Grid
	model   unet.Model
	blend   *stages.Blend // nil: cores fit together as they are
	mark    bool          // what cannot be read is marked
	commit  *stages.Commit
	budget  *stages.Budget
	readers int
	workers int
	turn    turnFunc // of a prediction
	looked  *looked
}

// looked counts the pixels of the working resolution that the network was shown, and those that it labelled.
type looked struct{ seen, labelled int64 }

// segment is the graph: it labels every pixel of the grid's region, from the tile on that comes next, and
// commits the labels to the pyramid and the journal. It returns how the tiles went through it.
func (j job) segment(ctx context.Context) (*Course, error) {
	r := newRun(ctx)
	core := j.grid.Core
	edge := j.grid.Before + core + j.grid.After
	pix, labels, probs := edge*edge*j.model.Spec().Channels, core*core, 0
	infer := stages.Infer(j.model, core)
	if j.blend != nil {
		infer, probs = j.blend.Infer, j.blend.Probs()
	}
	var order stages.Order

	tiles := from(r, j.tiles())
	blank := then(tiles, leaseStage, 1, stages.Lease(j.budget, pix, labels, probs))
	patches := then(blank, "read", j.readers, stages.Read(j.view))
	masks := inTurn(patches, "infer", j.workers, infer, j.turn)
	inOrder := then(masks, "order", 1, order.Next)
	if j.blend != nil {
		inOrder = then(inOrder, "blend", 1, j.blend.Add)
	}
	if j.mark {
		inOrder = then(inOrder, "mark", 1, stages.Mark(j.view, j.grid, j.model.Spec().Geometry))
	}
	inOrder = then(inOrder, "clear", 1, j.commit.Scope.Clear(core))
	err := to(inOrder, "write", j.commit.Write)

	order.Release()
	if err == nil {
		if err = j.commit.Finish(); err != nil {
			err = &StageError{Stage: "write", Err: err}
		}
	}
	return r.meter.stop(), err
}

// leaseStage is the name of the stage that waits for memory.
const leaseStage = "lease"

// tiles gives those that are still to be labelled and that the network is asked about.
func (j job) tiles() iter.Seq[slide.Tile] {
	trim := trims(j.model) && j.blend == nil
	return func(yield func(slide.Tile) bool) {
		for i := j.commit.Next(); i < j.grid.Len(); i++ {
			t := j.grid.At(i)
			if !j.commit.Scope.Holds(t.Core) {
				continue
			}
			if trim {
				t = j.commit.Scope.Trim(t, j.model.Spec().Geometry)
			}
			j.looked.seen += int64(t.Halo.Dx()) * int64(t.Halo.Dy())
			j.looked.labelled += j.commit.Scope.Area(t.Core)
			if !yield(t) {
				return
			}
		}
	}
}

// trims reports whether tiles of a model may have any size.
func trims(m unet.Model) bool {
	_, ok := m.(unet.RectModel)
	return ok && m.Spec().Input == 0
}
