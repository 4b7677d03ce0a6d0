package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestLedgerHoldsTheLimit: slides of any needs that enter and leave at any time all get in; those at work never need more
// than the limit together, but for one that is alone, nor are they more than the most.
func TestLedgerHoldsTheLimit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit, most := rapid.Int64Range(1, 100).Draw(rt, "limit"), rapid.IntRange(1, 5).Draw(rt, "most")
		needs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) need {
			return need{rapid.Int64Range(0, 60).Draw(t, "own"), rapid.Int64Range(0, 60).Draw(t, "shared")}
		}), 1, 12).Draw(rt, "needs")
		seed := rapid.Uint64().Draw(rt, "seed")
		synctest.Test(t, func(t *testing.T) {
			l := newLedger(limit, most)
			var mu sync.Mutex
			in := map[int]need{}
			var all sync.WaitGroup
			for i, n := range needs {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				all.Go(func() {
					time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
					leave, err := l.enter(t.Context(), n)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					in[i] = n
					var own, shared int64
					for _, n := range in {
						own += n.own
						shared = max(shared, n.shared)
					}
					if len(in) > most || len(in) > 1 && own+shared > limit {
						rt.Errorf("%v are in: limit %d, %d at most", in, limit, most)
					}
					mu.Unlock()
					time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
					mu.Lock()
					delete(in, i)
					mu.Unlock()
					leave()
				})
			}
			all.Wait() // synctest fails when nobody can go on
			if len(l.in) != 0 {
				rt.Errorf("%v are in at the end", l.in)
			}
		})
	})
}

// TestLedgerLetsInWhatFits: what fits goes in at once; what does not waits until one leaves, or its context ends.
func TestLedgerLetsInWhatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(100, 3)
		now := func(n need) func() {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			leave, err := l.enter(ctx, n)
			if err != nil {
				t.Fatalf("%+v has to wait beside %+v", n, l.in)
			}
			return leave
		}
		later := func(n need) {
			t.Helper()
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errInjected)
			defer cancel()
			if leave, err := l.enter(ctx, n); !errors.Is(err, errInjected) || leave != nil {
				t.Fatalf("%+v goes in beside %+v, %v", n, l.in, err)
			}
		}
		now(need{1000, 0})() // alone
		a := now(need{30, 40})
		later(need{31, 30})
		later(need{1, 70})
		b := now(need{30, 40})
		c := now(need{0, 10})
		later(need{}) // a fourth
		in := make(chan func())
		go func() {
			leave, err := l.enter(t.Context(), need{30, 10})
			if err != nil {
				t.Error(err)
			}
			in <- leave
		}()
		synctest.Wait()
		select {
		case <-in:
			t.Fatal("a fourth is in")
		default:
		}
		b()
		d := <-in
		a()
		c()
		d()
		if len(l.in) != 0 {
			t.Errorf("%v are in at the end", l.in)
		}
	})
}
