package pipeline

import (
	"context"
	"slices"
	"sync"
)

// Turns share one model out among the slides that are at work: as many predictions run at a time as one slide
// alone would have, and those of the slide that began first go first. So the tiles of the next slide fill
// the processors, or the GPU, while the last tiles of this one run and while its files are written, and at no
// other time.
type turns struct {
	mu      sync.Mutex
	free    int // of a whole
	waiting []*turn
}

// whole is the model. A prediction takes the share that its slide's plan says: a tile of a plan of four
// predictions at a time takes a quarter, and also that of the memory.
const whole = 1 << 20

// A turn is one prediction that waits.
type turn struct {
	slide, share int
	come         chan struct{}
}

func newTurns() *turns { return &turns{free: whole} }

// of returns what the predictions of a slide, the n-th of a run, wait for: workers of them make a whole.
func (t *turns) of(slide, workers int) turnFunc {
	share := whole / workers
	done := func() { t.give(share) }
	return func(ctx context.Context) (func(), error) { return done, t.take(ctx, slide, share) }
}

func (t *turns) take(ctx context.Context, slide, share int) error {
	t.mu.Lock()
	if len(t.waiting) == 0 && share <= t.free {
		t.free -= share
		t.mu.Unlock()
		return nil
	}
	me := &turn{slide, share, make(chan struct{})}
	at := len(t.waiting)
	for at > 0 && t.waiting[at-1].slide > slide {
		at--
	}
	t.waiting = slices.Insert(t.waiting, at, me)
	t.next()
	t.mu.Unlock()
	select {
	case <-me.come:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(t.waiting, me); at >= 0 {
		t.waiting = slices.Delete(t.waiting, at, at+1)
	} else { // it has come at the same time
		t.free += share
	}
	t.next()
	return context.Cause(ctx)
}

func (t *turns) give(share int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free += share
	t.next()
}

// next lets those go on whose turn it is.
func (t *turns) next() {
	for len(t.waiting) > 0 && t.waiting[0].share <= t.free {
		t.free -= t.waiting[0].share
		close(t.waiting[0].come)
		t.waiting = slices.Delete(t.waiting, 0, 1)
	}
}
