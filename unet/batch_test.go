package unet

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// An inverter labels a pixel with what its red lacks to white. It takes a while for a run, and notes their sizes.
type inverter struct {
	name   string
	takes  time.Duration
	fail   error
	panics bool

	mu      sync.Mutex
	runs    []int // tiles of each
	running atomic.Int64
	most    atomic.Int64 // runs at a time
	stopped atomic.Int64
	closed  atomic.Int64
}

func (v *inverter) Spec() Spec {
	return Spec{Geometry: Geometry{Stride: 2, Before: 1, After: 2}, Channels: 3, Classes: []string{"no", "yes"}, Logits: 1, Engine: v.name}
}
func (v *inverter) Bytes(int) int64 { return 1000 }
func (v *inverter) Close() error    { v.closed.Add(1); return nil }

func (v *inverter) Logits(ctx context.Context, _, _ int, _ []byte, _ []float32) error {
	return v.run(ctx, 1)
}

func (v *inverter) run(ctx context.Context, n int) error {
	v.mu.Lock()
	v.runs = append(v.runs, n)
	v.most.Store(max(v.most.Load(), v.running.Add(1)))
	v.mu.Unlock()
	defer v.running.Add(-1)
	select {
	case <-time.After(v.takes):
	case <-ctx.Done():
		v.stopped.Add(1)
		return context.Cause(ctx)
	}
	if v.panics {
		panic("a bug")
	}
	return v.fail
}

func (v *inverter) Predict(ctx context.Context, n int, in, out []byte) error {
	core, err := v.Spec().tiles(n, len(in), len(out))
	if err != nil {
		return err
	}
	if err := v.run(ctx, n); err != nil {
		return err
	}
	edge := core + 3
	for t := range n {
		for i := range core * core {
			out[t*core*core+i] = 255 - in[3*(t*edge*edge+(i/core+1)*edge+i%core+1)]
		}
	}
	return nil
}

// inverted returns a tile of a core and its labels.
func inverted(seed uint64, core int) (in, want []byte) {
	r := rand.New(rand.NewPCG(seed, 1))
	edge := core + 3
	in, want = make([]byte, 3*edge*edge), make([]byte, core*core)
	for i := range in {
		in[i] = byte(r.Uint32())
	}
	for i := range want {
		want[i] = 255 - in[3*((i/core+1)*edge+i%core+1)]
	}
	return in, want
}

// Whatever callers come when, with how many tiles of which size, and whoever of them leaves: each of the others gets
// its own labels, runs always have the same size, and never more than allowed go at a time.
func TestBatchGivesEachItsOwn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(rt, "most")
		runs := rapid.IntRange(1, 3).Draw(rt, "runs")
		type caller struct {
			after, leaves time.Duration
			core, tiles   int
		}
		callers := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) caller {
			return caller{
				after:  time.Duration(rapid.IntRange(0, 40).Draw(rt, "after")) * time.Millisecond,
				leaves: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 7, 30}).Draw(rt, "leaves")) * time.Millisecond,
				core:   rapid.SampledFrom([]int{2, 4}).Draw(rt, "core"),
				tiles:  rapid.IntRange(1, 4).Draw(rt, "tiles"),
			}
		}), 1, 30).Draw(rt, "callers")
		synctest.Test(t, func(t *testing.T) {
			v := &inverter{takes: 10 * time.Millisecond}
			m := Batch(v, Batching{Pixels: 1 << 20, Most: most, Runs: runs, Wait: 5 * time.Millisecond})
			for i, c := range callers {
				go func() {
					time.Sleep(c.after)
					ctx := t.Context()
					if c.leaves > 0 {
						var stop context.CancelFunc
						ctx, stop = context.WithTimeout(ctx, c.leaves)
						defer stop()
					}
					var in, want []byte
					for k := range c.tiles {
						a, b := inverted(uint64(100*i+k), c.core)
						in, want = append(in, a...), append(want, b...)
					}
					got := make([]byte, len(want))
					err := m.Predict(ctx, c.tiles, in, got)
					if err == nil && !bytes.Equal(got, want) {
						t.Errorf("caller %d got labels of another", i)
					}
					if err != nil && (c.leaves == 0 || !errors.Is(err, context.DeadlineExceeded)) {
						t.Errorf("caller %d: %v", i, err)
					}
				}()
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			for _, n := range v.runs {
				if n != most {
					t.Errorf("a run of %d tiles, not %d", n, most)
				}
			}
			if v.most.Load() > int64(runs) {
				t.Errorf("%d runs at a time, %d allowed", v.most.Load(), runs)
			}
		})
	})
}

// Callers together fill runs; a lone one waits for others no longer than it is told to.
func TestBatchMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &inverter{takes: 10 * time.Millisecond}
		m := Batch(v, Batching{Pixels: 1 << 20, Most: 4, Runs: 2, Wait: 5 * time.Millisecond})
		predict := func(n int) time.Duration {
			begin := time.Now()
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					in, want := inverted(uint64(i), 4)
					got := make([]byte, len(want))
					if err := m.Predict(t.Context(), 1, in, got); err != nil || !bytes.Equal(got, want) {
						t.Errorf("caller %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			return time.Since(begin)
		}
		if took := predict(8); took != 10*time.Millisecond || len(v.runs) != 2 {
			t.Errorf("8 callers took %v in %d runs, want two runs at a time", took, len(v.runs))
		}
		if took := predict(1); took != 15*time.Millisecond || len(v.runs) != 3 {
			t.Errorf("a lone caller took %v in %d runs", took, len(v.runs)-2)
		}
	})
}

// What fails for all is told to all; who asks for nonsense, or is late, is told so alone; a panic is an error.
func TestBatchFails(t *testing.T) {
	injected := errors.New("injected")
	for name, v := range map[string]*inverter{"error": {fail: injected}, "panic": {panics: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := Batch(v, Batching{Pixels: 1 << 20, Most: 3, Runs: 1, Wait: time.Millisecond})
				for i := range 5 {
					go func() {
						in, want := inverted(uint64(i), 4)
						err := m.Predict(t.Context(), 1, in, make([]byte, len(want)))
						if v.panics && (err == nil || !strings.Contains(err.Error(), "a bug")) || !v.panics && !errors.Is(err, injected) {
							t.Errorf("caller %d: %v", i, err)
						}
					}()
				}
				go func() {
					if err := m.Predict(t.Context(), 1, make([]byte, 7), make([]byte, 16)); err == nil || errors.Is(err, injected) {
						t.Errorf("nonsense: %v", err)
					}
				}()
				synctest.Wait()
				time.Sleep(time.Second)
			})
		})
	}
}

// A run that nobody waits for is stopped, or not begun.
func TestBatchStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &inverter{takes: time.Hour}
		m := Batch(v, Batching{Pixels: 1 << 20, Most: 2, Runs: 1, Wait: time.Millisecond})
		gone := errors.New("the slide is gone")
		ctx, end := context.WithCancelCause(t.Context())
		for i := range 6 {
			go func() {
				in, want := inverted(uint64(i), 4)
				if err := m.Predict(ctx, 1, in, make([]byte, len(want))); !errors.Is(err, gone) {
					t.Errorf("caller %d: %v", i, err)
				}
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		begin := time.Now()
		end(gone)
		synctest.Wait()
		if took := time.Since(begin); took != 0 || v.stopped.Load() != v.running.Load()+int64(len(v.runs)) {
			t.Errorf("after %v %d of %d runs are stopped", took, v.stopped.Load(), len(v.runs))
		}
		in, want := inverted(1, 4)
		v.takes = 0
		if err := m.Predict(t.Context(), 1, in, make([]byte, len(want))); err != nil {
			t.Error(err)
		}
	})
}

// Tiles of a batch have the logits, and so the labels, that they have alone, wherever in it they are, bit for bit on
// the CPU: ONNX Runtime runs them as one tensor here, as it does on a GPU.
func TestBatchOfONNXRuntime(t *testing.T) {
	needRuntime(t)
	n := openNetwork(t, Architecture{Depth: 3, Base: 8, Same: true, Seed: 3})
	e := n.Engine.(*onnxEngine)
	const core, tiles = 64, 10
	edge := n.geometry.Input(core)
	in := randomPicture(rand.New(rand.NewPCG(1, 1)), edge, edge*tiles).pixels
	want, got := make([]byte, tiles*core*core), make([]byte, tiles*core*core)
	if err := e.Predict(t.Context(), tiles, in, want); err != nil {
		t.Fatal(err)
	}
	e.together = true
	m := Batch(e, Batching{Pixels: 1 << 20, Most: 4, Runs: 2, Wait: time.Millisecond})
	var wg sync.WaitGroup
	for i := range tiles {
		wg.Go(func() {
			if err := m.Predict(t.Context(), 1, in[i*3*edge*edge:][:3*edge*edge], got[i*core*core:][:core*core]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !bytes.Equal(got, want) {
		t.Error("labels of a batch differ from those of single tiles")
	}
	if bytes.Count(want, []byte{1}) < len(want)/20 || bytes.Count(want, []byte{0}) < len(want)/20 {
		t.Error("one label only: the comparison is blind")
	}
}

// Memory is never less than what is taken, for any number of predictions; and a run is filled by pixels.
func TestBatchMemory(t *testing.T) {
	b := Batching{Pixels: 4096, Most: 16, Runs: 2}
	m := Batch(&inverter{}, b).(*batcher)
	for _, c := range []struct{ core, size int }{{2, 16}, {13, 16}, {20, 7}, {44, 1}, {200, 1}} {
		if got := b.size(c.core + 3); got != c.size {
			t.Errorf("core %d: runs of %d tiles, want %d", c.core, got, c.size)
		}
		if got := m.InFlight(c.core); got != 3*c.size {
			t.Errorf("core %d: %d in flight", c.core, got)
		}
		last := int64(0)
		for n := 1; n < 70; n++ {
			got := m.Memory(c.core, n)
			least := int64(min(n, 2)) * int64(c.size) * 1000 // of the runs
			if c.size > 1 {
				least += int64((n+c.size-1)/c.size) * int64(c.size) * int64(3*(c.core+3)*(c.core+3)+c.core*c.core)
			}
			if got < least || got < last {
				t.Fatalf("core %d: %d predictions take %d bytes, at least %d", c.core, n, got, least)
			}
			last = got
		}
	}
}

// A mortal engine fails for good after some predictions.
type mortal struct {
	*inverter
	lives atomic.Int64
	with  error
}

func (m *mortal) Predict(ctx context.Context, n int, in, out []byte) error {
	if m.lives.Add(-1) < 0 {
		return m.with
	}
	return m.inverter.Predict(ctx, n, in, out)
}

// A device that fails gets no more tiles: the others do its own. When none is left
// all callers, those that wait too, hear why; one tile that is too large, or a caller that leaves, is no failure of the device.
func TestSeveralLoseDevices(t *testing.T) {
	burnt, lost := errors.New("device a has burnt"), errors.New("device b is lost")
	for _, c := range []struct {
		name string
		a, b int64 // lives
		want []error
	}{
		{"one at once", 0, 1000, nil},
		{"one later", 7, 1000, nil},
		{"both", 7, 20, []error{burnt, lost}},
		{"both at once", 0, 0, []error{burnt, lost}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &mortal{inverter: &inverter{name: "a", takes: time.Millisecond}, with: burnt}
				b := &mortal{inverter: &inverter{name: "b", takes: 9 * time.Millisecond}, with: lost}
				a.lives.Store(c.a)
				b.lives.Store(c.b)
				batching := Batching{Pixels: 1, Most: 1, Runs: 1}
				m := several([]Engine{Batch(a, batching), Batch(b, batching)})
				var done atomic.Int64
				for i := range 100 {
					go func() {
						in, want := inverted(uint64(i), 4)
						got := make([]byte, len(want))
						err := m.Predict(t.Context(), 1, in, got)
						if done.Add(1); err == nil && !bytes.Equal(got, want) || err != nil && c.want == nil {
							t.Errorf("tile %d: %v", i, err)
						}
						for _, why := range c.want {
							if err != nil && !errors.Is(err, why) {
								t.Errorf("tile %d: %v, want %v", i, err, why)
							}
						}
					}()
				}
				time.Sleep(time.Minute)
				if done.Load() != 100 {
					t.Fatalf("%d of 100 callers came back", done.Load())
				}
				warnings := m.Spec().Warnings
				if len(warnings) == 0 || !strings.HasPrefix(warnings[0], "a failed, ") {
					t.Errorf("warnings %q", warnings)
				}
				in, want := inverted(1, 4)
				if err := m.Predict(t.Context(), 1, in, make([]byte, len(want))); (err != nil) != (c.want != nil) {
					t.Errorf("afterwards: %v", err)
				}
				if got := int64(len(a.runs)); got != c.a {
					t.Errorf("a predicted %d times, want %d", got, c.a)
				}
			})
		})
	}
	t.Run("no failure", func(t *testing.T) {
		a := &mortal{inverter: &inverter{name: "a"}, with: ErrMemory}
		m := several([]Engine{a, &inverter{name: "b"}})
		in, want := inverted(1, 4)
		if err := m.Predict(t.Context(), 1, in, make([]byte, len(want))); !errors.Is(err, ErrMemory) {
			t.Errorf("%v, want out of memory", err)
		}
		ctx, end := context.WithCancelCause(t.Context())
		end(burnt)
		a.with = burnt
		if err := m.Predict(ctx, 1, in, make([]byte, len(want))); !errors.Is(err, burnt) {
			t.Errorf("%v, want the cause", err)
		}
		if warnings := m.Spec().Warnings; len(warnings) > 0 {
			t.Errorf("warnings %q", warnings)
		}
	})
}

// Several devices share out what comes by how fast they are; an error of one reaches its caller, and Close all of them.
func TestSeveralShareOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast, slow := &inverter{name: "fast", takes: time.Millisecond}, &inverter{name: "slow", takes: 9 * time.Millisecond}
		batching := Batching{Pixels: 1, Most: 1, Runs: 1}
		m := several([]Engine{Batch(fast, batching), Batch(slow, batching)})
		const tiles = 200
		begin := time.Now()
		queue := make(chan int)
		var wg sync.WaitGroup
		for range InFlight(m, 4) {
			wg.Go(func() {
				for i := range queue {
					in, want := inverted(uint64(i), 4)
					got := make([]byte, len(want))
					if err := m.Predict(t.Context(), 1, in, got); err != nil || !bytes.Equal(got, want) {
						t.Errorf("tile %d: %v", i, err)
					}
				}
			})
		}
		for i := range tiles {
			queue <- i
		}
		close(queue)
		wg.Wait()
		took, ideal := time.Since(begin), time.Duration(float64(tiles)/(1+1.0/9)*float64(time.Millisecond))
		if took > ideal+20*time.Millisecond || len(fast.runs)+len(slow.runs) != tiles {
			t.Errorf("took %v, both together could do it in %v (%d and %d tiles)", took, ideal, len(fast.runs), len(slow.runs))
		}
		if got := m.Spec().Engine; got != "fast + slow" {
			t.Errorf("engine %q", got)
		}
		slow.fail, fast.fail = errors.New("injected"), errors.New("injected")
		in, want := inverted(1, 4)
		if err := m.Predict(t.Context(), 1, in, make([]byte, len(want))); err == nil {
			t.Error("no error")
		}
		slow.fail, fast.fail = nil, nil
		m = several([]Engine{Batch(fast, batching), Batch(slow, batching)}) // the other one has no engine left
		ctx, end := context.WithCancel(t.Context())
		fast.takes, slow.takes = time.Hour, time.Hour
		for i := range 12 {
			go func() {
				if err := m.Predict(ctx, 1, in, make([]byte, len(want))); !errors.Is(err, context.Canceled) {
					t.Errorf("caller %d: %v", i, err)
				}
			}()
		}
		synctest.Wait()
		end()
		synctest.Wait()
		if err := m.Close(); err != nil || fast.closed.Load() != 1 || slow.closed.Load() != 1 {
			t.Errorf("%v: closed %d and %d times", err, fast.closed.Load(), slow.closed.Load())
		}
	})
}

// Real engines side by side give what each gives alone.
func TestSeveralReal(t *testing.T) {
	needRuntime(t)
	open := func(device string) Model {
		m, err := Open("haematoxylin", Config{Device: device})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	alone, both := open("cpu"), open("cpu,gorgonia")
	if got := both.Spec().Engine; !strings.HasPrefix(got, "onnxruntime ") || !strings.HasSuffix(got, ", cpu + gorgonia, cpu") {
		t.Errorf("engine %q", got)
	}
	const core, tiles = 64, 12
	edge := alone.Spec().Geometry.Input(core)
	p := stained(rand.New(rand.NewPCG(5, 5)), edge, edge*tiles)
	want, got := make([]byte, tiles*core*core), make([]byte, tiles*core*core)
	if err := alone.Predict(t.Context(), tiles, p.pixels, want); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range tiles {
		wg.Go(func() {
			if err := both.Predict(t.Context(), 1, p.pixels[i*3*edge*edge:][:3*edge*edge], got[i*core*core:][:core*core]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !bytes.Equal(got, want) {
		t.Error("labels of two devices differ from those of one")
	}
	if n := bytes.Count(want, []byte{1}); n == 0 || n == len(want) {
		t.Error("one label only: the comparison is blind")
	}
	if m, n := Memory(both, core, 4), 4*alone.Bytes(core); m < n {
		t.Errorf("%d bytes for four predictions, the CPU alone counts %d", m, n)
	}
}
