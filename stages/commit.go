package stages

import (
	"context"
	"fmt"
	"image"

	"microtome/sink"
	"microtome/slide"
)

// A Commit takes the labels of a grid's tiles in traversal order, first those of an interrupted run, then those that the
// network gives, and fills in the background between them. All that becomes of a slide is made from
// this one sequence of rectangles of level 0, so it comes out the same whether a run was interrupted or not.
// It is not safe for concurrent use.
type Commit struct {
	Grid    slide.Grid
	Scope   *Scope
	Pyramid *sink.Pyramid    // its pixel (0, 0) is the corner of the grid's region
	Journal *sink.Journal    // nil: nothing is kept for a run that goes on
	Done    func(slide.Tile) // is called when the labels of a tile are in the journal and the pyramid

	next  int    // the tile that comes next
	blank []byte // labels of a tile of background
}

// Replay commits the tiles that the journal holds. It comes before the first Write, which goes on with the
// tile that Next names.
func (c *Commit) Replay(ctx context.Context) error {
	for rec, err := range c.Journal.Replay() {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case rec.Index < c.next || rec.Index >= c.Grid.Len() || rec.Rect != c.place(c.Grid.At(rec.Index)):
			return fmt.Errorf("the interrupted run left tile %d at %v, which is none of this run's: give --force to start this slide over", rec.Index, rec.Rect)
		}
		if err := c.pass(rec.Index); err != nil {
			return err
		}
		if err := c.Pyramid.Write(rec.Rect, rec.Stride, rec.Labels); err != nil {
			return err
		}
		c.next++
	}
	return nil
}

// Next returns the index of the first tile that is not committed.
func (c *Commit) Next() int { return c.next }

// Write commits masks of core × core labels. It ends a tile's life: its memory is released here.
func (c *Commit) Write(_ context.Context, ms Masks) (struct{}, error) {
	defer ms.Release()
	for _, m := range ms {
		if err := c.write(m); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, nil
}

func (c *Commit) write(m Mask) error {
	if err := c.pass(m.Tile.Index); err != nil {
		return err
	}
	at := c.place(m.Tile)
	if c.Journal != nil {
		if err := c.Journal.Append(sink.Record{Index: m.Tile.Index, Rect: at, Stride: c.Grid.Core, Labels: m.Labels}); err != nil {
			return err
		}
	}
	if err := c.Pyramid.Write(at, c.Grid.Core, m.Labels); err != nil {
		return err
	}
	c.next++
	c.Done(m.Tile)
	return nil
}

// Finish commits what is background after the last tile.
func (c *Commit) Finish() error { return c.pass(c.Grid.Len()) }

// pass commits the background before the tile of an index.
func (c *Commit) pass(index int) error {
	for ; c.next < index; c.next++ {
		t := c.Grid.At(c.next)
		if c.Scope.Holds(t.Core) {
			return fmt.Errorf("tile %d at %v came before tile %d, which is missing: give --force to start this slide over", index, t.Core, c.next)
		}
		if c.blank == nil {
			c.blank = make([]byte, c.Grid.Core*c.Grid.Core)
		}
		if err := c.Pyramid.Write(c.place(t), c.Grid.Core, c.blank); err != nil {
			return err
		}
	}
	return nil
}

// place returns where a tile's core lies in the mask.
func (c *Commit) place(t slide.Tile) image.Rectangle { return t.Core.Sub(c.Grid.Region.Min) }
