package ops

import (
	"cmp"
	"errors"
	"slices"

	"gorgonia.org/tensor"
)

// An Arena is the memory of a forward pass: one block that outputs and scratch of its operations share, each for as long as
// somebody reads it. Who reads what is known when the graph is built, so each has its place before the first run. It
// serves one graph without gradients, whose operations run in the order that they were added in.
type Arena struct {
	ops   []*op
	next  int // operation to run
	size  int // floats; 0: not planned yet
	block []float32
	free  func()
}

// align keeps places at whole cache lines, floats.
const align = 16

// A span is a piece of an arena that is taken while operations first to last run.
type span struct {
	floats, first, last int
	place               *int // where it begins
}

// add enters an operation, which reads the outputs of others.
func (a *Arena) add(o *op, reads []*op) {
	o.arena, o.index, o.last = a, len(a.ops), 1<<30 // the end's output stays
	for _, r := range reads {
		r.last = o.index
	}
	a.ops = append(a.ops, o)
}

// plan gives each span its place: the largest first, each as low as those that are taken at the same time let it be.
func (a *Arena) plan() {
	if a.size > 0 {
		return
	}
	var spans []span
	add := func(floats, first, last int, place *int) {
		if floats > 0 {
			spans = append(spans, span{(floats + align - 1) / align * align, first, last, place})
		}
	}
	for i, o := range a.ops {
		add(o.shape.TotalSize(), i, o.last, &o.place)
		for k, n := range o.room {
			add(n, i, i, &o.roomPlace[k])
		}
	}
	slices.SortStableFunc(spans, func(x, y span) int { return cmp.Compare(y.floats, x.floats) })
	var placed []span // by place
	for _, s := range spans {
		at := 0
		for _, p := range placed {
			if p.last < s.first || s.last < p.first {
				continue
			}
			if at+s.floats <= *p.place {
				break
			}
			at = max(at, *p.place+p.floats)
		}
		*s.place = at
		a.size = max(a.size, at+s.floats)
		i, _ := slices.BinarySearchFunc(placed, at, func(p span, at int) int { return cmp.Compare(*p.place, at) })
		placed = slices.Insert(placed, i, s)
	}
}

// Bytes returns how much memory a run takes.
func (a *Arena) Bytes() int64 {
	a.plan()
	return 4 * int64(a.size)
}

// begin prepares an operation's run.
func (a *Arena) begin(scratch *[3][]float32, o *op) error {
	if o.index == 0 {
		a.next = 0
	}
	if o.index != a.next {
		return errors.New("the operations of an arena run in another order than they were added in")
	}
	a.next++
	if a.block == nil {
		a.plan()
		var err error
		if a.block, a.free, err = allocate(a.size); err != nil {
			return err
		}
	}
	for k, n := range o.room {
		scratch[k] = a.block[o.roomPlace[k]:][:n:n]
	}
	if o.out == nil {
		n := o.shape.TotalSize()
		o.out = tensor.New(tensor.WithShape(o.shape.Clone()...), tensor.WithBacking(a.block[o.place:][:n:n]))
	}
	return nil
}

// Free gives the memory back. Nothing of the graph may be used after it, its last output neither.
func (a *Arena) Free() {
	if a.free != nil {
		a.free()
		a.free, a.block = nil, nil
	}
}
