package unet

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Batching says how predictions are merged into runs of a device.
type Batching struct {
	Pixels int           // that the network sees in a run, roughly: as many as keep the device busy
	Most   int           // tiles of a run at most
	Runs   int           // at a time
	Wait   time.Duration // for a run's last tiles
}

// Runs of a GPU are filled by pixels, not tiles, since large ones fill it alone. Two at a time let one copy while the
// other computes; ONNX Runtime runs those of WebGPU one after another.
var (
	gpuBatches    = Batching{Pixels: 2 << 20, Most: 16, Runs: 2, Wait: 5 * time.Millisecond}
	webGPUBatches = Batching{Pixels: 1 << 18, Most: 4, Runs: 1, Wait: 5 * time.Millisecond}
)

// cpuBatches are for trying out what batches bring on a CPU: a processor runs one at a time.
func cpuBatches() Batching { return Batching{Runs: runtime.GOMAXPROCS(0), Wait: 5 * time.Millisecond} }

// size returns how many tiles a run has, whose network sees squares of an edge.
func (b Batching) size(edge int) int { return max(1, min(b.Pixels/(edge*edge), b.Most)) }

// Batch makes a model that merges concurrent predictions of tiles of one size into runs of another model. A run always
// has as many tiles, some of them blank where too few came within the wait, so that the device computes each tile in
// the same way whatever ran beside it. Callers may belong to different slides; one that leaves, because its ctx ended,
// does not disturb the others.
func Batch(e Engine, b Batching) Engine {
	return &batcher{Engine: e, Batching: b, places: make(chan struct{}, b.Runs), filling: map[int]*batch{}}
}

type batcher struct {
	Engine
	Batching
	places chan struct{} // one for each run at a time

	mu      sync.Mutex
	filling map[int]*batch // by the core of their tiles
	idle    []*buffers     // of the size that ran last
}

// buffers hold the tiles of a run.
type buffers struct{ in, out []byte }

// A batch is one run in the making, or running.
type batch struct {
	core, size int
	*buffers
	full   chan struct{}   // closed when the last place is taken
	copied sync.WaitGroup  // pixels are in
	ctx    context.Context //nolint:containedctx // of the run: it ends when nobody waits for it any more
	cancel context.CancelFunc
	done   chan struct{} // closed after the run, when err is set
	err    error

	// Guarded by the batcher.
	tiles   int // taken places
	waiting int // callers' tiles that are not given back yet
	ran     bool
}

// Bytes counts what one prediction takes when it is alone: a whole run.
func (b *batcher) Bytes(core int) int64 { return b.Memory(core, 1) }

// InFlight is a run more than there are at a time: it fills while they go on.
func (b *batcher) InFlight(core int) int {
	return b.size(b.Spec().Geometry.Input(core)) * (b.Runs + 1)
}

// Memory counts the runs and their tiles: those that run, one that fills, and those that are full and wait.
func (b *batcher) Memory(core, n int) int64 {
	s := b.Spec()
	edge := s.Geometry.Input(core)
	size := b.size(edge)
	runs := int64(min(n, b.Runs)) * int64(size) * b.Engine.Bytes(core)
	if size == 1 {
		return runs
	}
	batches := min(n, b.Runs+1+n/size)
	return runs + int64(batches)*int64(size)*(int64(edge)*int64(edge)*int64(s.Channels)+int64(core)*int64(core))
}

// Predict labels tiles together with those of other callers; see [Model].
func (b *batcher) Predict(ctx context.Context, n int, in, out []byte) error {
	s := b.Spec()
	core, err := s.tiles(n, len(in), len(out))
	if err != nil {
		return err
	}
	size := b.size(s.Geometry.Input(core))
	type place struct {
		*batch
		at int
	}
	var places []place
	for i := range n {
		tile, labels := in[i*(len(in)/n):][:len(in)/n], out[i*core*core:][:core*core]
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			break
		}
		if size == 1 {
			if err := b.alone(ctx, func() error { return b.Engine.Predict(ctx, 1, tile, labels) }); err != nil {
				return err
			}
			continue
		}
		t, at := b.join(core, size, len(tile))
		copy(t.in[at*len(tile):], tile)
		t.copied.Done()
		places = append(places, place{t, at})
	}
	for i, p := range places {
		if err == nil {
			select {
			case <-p.done:
				if err = p.err; err == nil {
					copy(out[i*core*core:], p.out[p.at*core*core:][:core*core])
				}
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		b.leave(p.batch)
	}
	return err
}

// Logits runs by itself; see [LogitsModel].
func (b *batcher) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	return b.alone(ctx, func() error { return b.Engine.Logits(ctx, w, h, in, out) })
}

// alone calls run when there is a place for it.
func (b *batcher) alone(ctx context.Context, run func() error) error {
	select {
	case b.places <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-b.places }()
	return run()
}

// join takes a place in the batch that fills, or in a new one, whose tiles have bytes of pixels.
func (b *batcher) join(core, size, bytes int) (t *batch, at int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t = b.filling[core]
	if t == nil {
		t = &batch{core: core, size: size, buffers: b.take(size*bytes, size*core*core), full: make(chan struct{}), done: make(chan struct{})}
		t.ctx, t.cancel = context.WithCancel(context.Background())
		b.filling[core] = t
		go b.run(t)
	}
	at = t.tiles
	t.tiles++
	t.waiting++
	t.copied.Add(1)
	if t.tiles == size {
		delete(b.filling, core)
		close(t.full)
	}
	return t, at
}

// leave gives a place back. A batch that nobody waits for is not run, or stopped.
func (b *batcher) leave(t *batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.waiting--
	if t.waiting > 0 {
		return
	}
	b.close(t)
	t.cancel()
	if t.ran {
		b.idle = append(b.idle, t.buffers)
	}
}

// close lets nobody else join a batch.
func (b *batcher) close(t *batch) {
	if b.filling[t.core] == t {
		delete(b.filling, t.core)
	}
}

// run waits until a batch is full, or long enough, and until there is a place; then it runs it.
func (b *batcher) run(t *batch) {
	wait := time.NewTimer(b.Wait)
	defer wait.Stop()
	select {
	case <-t.full:
	case <-wait.C:
	case <-t.ctx.Done():
	}
	b.places <- struct{}{} // while it waits for its place it fills on
	b.mu.Lock()
	b.close(t)
	b.mu.Unlock()
	t.copied.Wait()
	t.err = t.predict(b.Engine)
	<-b.places
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.ran = true; t.waiting == 0 {
		b.idle = append(b.idle, t.buffers)
	}
	close(t.done)
}

// predict runs the engine. A panic there would end the process, since no caller is on this stack: it becomes an error.
func (t *batch) predict(e Engine) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error in a prediction: %v: please report it", p)
		}
	}()
	return e.Predict(t.ctx, t.size, t.in, t.out)
}

// take returns buffers of some bytes: idle ones, or new ones. Idle ones of other sizes are let go.
func (b *batcher) take(in, out int) *buffers {
	for len(b.idle) > 0 {
		last := len(b.idle) - 1
		t := b.idle[last]
		b.idle = b.idle[:last]
		if len(t.in) == in && len(t.out) == out {
			return t
		}
	}
	return &buffers{make([]byte, in), make([]byte, out)}
}
