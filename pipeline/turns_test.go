package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestTurnsShareTheModel: whatever slides at work, plans and durations, all predictions get their turn; never more
// than a whole runs at a time; and none is given its turn while one of an older slide waits.
func TestTurnsShareTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		slides := rapid.IntRange(1, 5).Draw(rt, "slides")
		workers := rapid.SliceOfN(rapid.IntRange(1, 7), slides, slides).Draw(rt, "workers")
		tiles := rapid.SliceOfN(rapid.IntRange(0, 12), slides, slides).Draw(rt, "tiles")
		seed := rapid.Uint64().Draw(rt, "seed")
		synctest.Test(t, func(t *testing.T) {
			turns := newTurns()
			var mu sync.Mutex
			used, most, served := 0, 0, 0
			var all sync.WaitGroup
			for s := range slides {
				turn, share := turns.of(s, workers[s]), whole/workers[s]
				queue := make(chan int)
				for w := range workers[s] {
					random := rand.New(rand.NewPCG(seed, uint64(s*100+w)))
					all.Go(func() {
						for range queue {
							time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
							done, err := turn(t.Context())
							if err != nil {
								t.Error(err)
								return
							}
							mu.Lock()
							used += share
							most = max(most, used)
							served++
							mu.Unlock()
							time.Sleep(time.Duration(1+random.IntN(30)) * time.Millisecond)
							mu.Lock()
							used -= share
							mu.Unlock()
							done()
						}
					})
				}
				all.Go(func() {
					defer close(queue)
					for range tiles[s] {
						queue <- 1
					}
				})
			}
			all.Wait()
			want := 0
			for _, n := range tiles {
				want += n
			}
			if served != want || most > whole || turns.free != whole || len(turns.waiting) != 0 {
				rt.Errorf("%d predictions of %d, at most %d of %d at a time, %d are free at the end, %d wait", served, want, most, whole, turns.free, len(turns.waiting))
			}
		})
	})
}

// TestOlderSlideGoesFirst: of those that wait, the slide that began first goes first, and of one slide who came first. One
// that needs more than is free is passed by older slides only, and holds up nobody when it gives up.
func TestOlderSlideGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		var mu sync.Mutex
		var gone []string
		wait := func(ctx context.Context, slide, workers int, name string) {
			go func() {
				done, err := turns.of(slide, workers)(ctx)
				if err != nil {
					return
				}
				mu.Lock()
				gone = append(gone, name)
				mu.Unlock()
				time.Sleep(time.Second)
				done()
			}()
			synctest.Wait()
		}
		expect := func(want ...string) { // in any order: they go on together
			t.Helper()
			synctest.Wait()
			mu.Lock()
			slices.Sort(gone)
			if !slices.Equal(gone, want) {
				t.Fatalf("%q go on, want %q", gone, want)
			}
			gone = nil
			mu.Unlock()
		}
		hold := func(workers int) func() {
			done, err := turns.of(1, workers)(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return done
		}
		free := hold(1)
		wait(t.Context(), 3, 2, "third, a")
		wait(t.Context(), 2, 2, "second, a")
		wait(t.Context(), 3, 2, "third, b")
		wait(t.Context(), 2, 2, "second, b")
		wait(t.Context(), 2, 2, "second, c")
		wait(t.Context(), 1, 1, "first")
		expect()
		free()
		for _, want := range [][]string{{"first"}, {"second, a", "second, b"}, {"second, c", "third, a"}, {"third, b"}} {
			expect(want...)
			time.Sleep(time.Second)
		}

		free = hold(2)
		ctx, giveUp := context.WithCancel(t.Context())
		wait(ctx, 2, 1, "large")
		wait(t.Context(), 3, 2, "younger")
		expect()
		wait(t.Context(), 1, 2, "older")
		expect("older")
		time.Sleep(time.Second)
		expect()
		giveUp()
		expect("younger")
		time.Sleep(time.Second)
		free()
		synctest.Wait()
		if turns.free != whole || len(turns.waiting) != 0 {
			t.Errorf("%d are free at the end, %d wait", turns.free, len(turns.waiting))
		}
	})
}

// TestTurnsEndWithTheRun: of any number that wait, those whose context ends get its cause, also when their turn comes in
// the same moment; none keeps what it did not use, and the rest are served.
func TestTurnsEndWithTheRun(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(rt, "waiting")
		shares := rapid.SliceOfN(rapid.IntRange(1, 4), n, n).Draw(rt, "workers")
		ends := rapid.SliceOfN(rapid.IntRange(0, 3), n, n).Draw(rt, "ends") // 0: never; 2: when its turn may come
		synctest.Test(t, func(t *testing.T) {
			turns := newTurns()
			hold, err := turns.of(0, 1)(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			all.Go(func() {
				time.Sleep(2 * time.Second)
				hold()
			})
			for i := range n {
				ctx, cancel := context.WithCancelCause(t.Context())
				if ends[i] > 0 {
					time.AfterFunc(time.Duration(ends[i])*time.Second, func() { cancel(errInjected) })
				}
				all.Go(func() {
					defer cancel(nil)
					done, err := turns.of(i, shares[i])(ctx)
					switch {
					case err == nil:
						time.Sleep(10 * time.Second)
						done()
					case !errors.Is(err, errInjected) || ends[i] == 0:
						rt.Errorf("%d: %v", i, err)
					}
				})
			}
			all.Wait()
			if turns.free != whole || len(turns.waiting) != 0 {
				rt.Errorf("%d of %d are free at the end, %d wait", turns.free, whole, len(turns.waiting))
			}
		})
	})
}
