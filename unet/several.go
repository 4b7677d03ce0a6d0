package unet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
)

// several makes one model of engines on different devices, which run the same network. Predictions stand in one queue:
// each goes to the device that has most room, so that a fast device gets more of them. One that fails gets no more, and
// the others do what it had: its predictions end at once, so that it would have most room ever after.
func several(engines []Engine) Engine {
	if len(engines) == 1 {
		return engines[0]
	}
	s := &team{spec: engines[0].Spec(), engines: engines, queue: &queue{busy: make([]int, len(engines)), failed: make([]error, len(engines)), freed: make(chan struct{})}}
	var names []string
	for _, e := range engines {
		names = append(names, e.Spec().Engine)
	}
	s.spec.Engine = strings.Join(names, " + ")
	return s
}

type team struct {
	spec    Spec
	engines []Engine
	*queue
}

// A queue is what the predictions stand in, of all views of a team.
type queue struct {
	mu     sync.Mutex
	busy   []int         // predictions that an engine has
	failed []error       // what an engine failed with; nil: it works
	freed  chan struct{} // closed, and made anew, when a prediction ends
}

// Spec warns of the devices that have failed.
func (t *team) Spec() Spec {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.spec
	s.Warnings = slices.Clone(s.Warnings)
	for i, err := range t.failed {
		if err != nil {
			s.warn("%s failed, and the other devices did its tiles: %v", t.engines[i].Spec().Engine, err)
		}
	}
	return s
}

// Bytes is the most that any of the engines takes.
func (t *team) Bytes(core int) int64 {
	var most int64
	for _, e := range t.engines {
		most = max(most, e.Bytes(core))
	}
	return most
}

// InFlight is the sum of the engines'.
func (t *team) InFlight(core int) int {
	n := 0
	for _, e := range t.engines {
		n += InFlight(e, core)
	}
	return n
}

// Memory bounds the engines' together: each may have as many predictions as it wants.
func (t *team) Memory(core, n int) int64 {
	var sum int64
	for _, e := range t.engines {
		sum += Memory(e, core, min(n, InFlight(e, core)))
	}
	return sum
}

// Predict labels tiles one by one, each on the device that is free; see [Model].
func (t *team) Predict(ctx context.Context, n int, in, out []byte) error {
	core, err := t.spec.tiles(n, len(in), len(out))
	if err != nil {
		return err
	}
	for i := range n {
		tile, labels := in[i*(len(in)/n):][:len(in)/n], out[i*core*core:][:core*core]
		err := t.on(ctx, core, func(e Engine) error { return e.Predict(ctx, 1, tile, labels) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Logits gives the network's output on the device that is free; see [LogitsModel].
func (t *team) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	if err := t.spec.checkLogits(w, h, len(in), len(out)); err != nil {
		return err
	}
	return t.on(ctx, max(w, h), func(e Engine) error { return e.Logits(ctx, w, h, in, out) })
}

// on calls run with an engine that has room for another prediction of a core, when there is one; if that fails, with another one.
func (t *team) on(ctx context.Context, core int, run func(e Engine) error) error {
	for {
		i, freed, err := t.take(core)
		if err != nil {
			return err
		}
		if i >= 0 {
			again, err := t.with(ctx, i, run)
			if !again {
				return err
			}
			continue
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// with calls run with an engine that was taken, and gives it back. It reports whether the engine is what failed: not if the
// caller has stopped it, nor if the tile is too large, which smaller ones help.
func (t *team) with(ctx context.Context, i int, run func(e Engine) error) (failed bool, err error) {
	defer func() {
		var why error
		if failed {
			why = err
		}
		t.give(i, why)
	}()
	err = run(t.engines[i])
	return err != nil && ctx.Err() == nil && !errors.Is(err, ErrMemory), err
}

// take returns the engine that has the largest share of its room left, -1 if none has any, and what tells when that changes. Its
// error is that of all engines, when all have failed.
func (t *team) take(core int) (int, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.failed, nil) {
		return -1, nil, errors.Join(t.failed...)
	}
	best, least := -1, 1.0
	for i, e := range t.engines {
		if share := float64(t.busy[i]) / float64(InFlight(e, core)); t.failed[i] == nil && share < least {
			best, least = i, share
		}
	}
	if best >= 0 {
		t.busy[best]++
	}
	return best, t.freed, nil
}

// give gives an engine back, and for good if it failed.
func (t *team) give(i int, failed error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy[i]--
	if t.failed[i] == nil {
		t.failed[i] = failed
	}
	close(t.freed)
	t.freed = make(chan struct{})
}

// Close closes all engines.
func (t *team) Close() error {
	var errs []error
	for _, e := range t.engines {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}
