package stages

import "context"

// Masks are consecutive masks in traversal order.
type Masks []Mask

// Release gives back the memory of all of them.
func (ms Masks) Release() {
	for _, m := range ms {
		m.Release()
	}
}

// An Order brings masks back into traversal order, whatever order the network's workers finish in.
// It holds only masks that an earlier tile is still missing for; those tiles are in flight, so the
// Budget bounds it. The zero Order starts at turn 0. It is not safe for concurrent use: run Next with
// one worker.
type Order struct {
	next    int
	waiting map[int]Mask
}

// Next takes a mask and returns the run of masks that it completes, often empty.
func (o *Order) Next(_ context.Context, m Mask) (Masks, error) {
	if o.waiting == nil {
		o.waiting = make(map[int]Mask)
	}
	o.waiting[m.Turn] = m
	var ready Masks
	for m, ok := o.waiting[o.next]; ok; m, ok = o.waiting[o.next] {
		delete(o.waiting, o.next)
		ready = append(ready, m)
		o.next++
	}
	return ready, nil
}

// Release gives back the masks that still wait, after a failure upstream.
func (o *Order) Release() {
	for _, m := range o.waiting {
		m.Release()
	}
	clear(o.waiting)
}
