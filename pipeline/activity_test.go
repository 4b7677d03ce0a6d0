package pipeline

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// pass is a stage that takes a time.
func pass(took time.Duration) func(context.Context, int) (int, error) {
	return func(_ context.Context, v int) (int, error) {
		<-time.After(took)
		return v, nil
	}
}

// through runs n values through three stages of so many workers, which take so long, and a last one of one worker.
func through(ctx context.Context, n int, workers [3]int, took [3]time.Duration, last time.Duration) (*Course, error) {
	r := newRun(ctx)
	s := from(r, func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	})
	for i, name := range []string{"a", "b", "c"} {
		s = then(s, name, workers[i], pass(took[i]))
	}
	err := to(s, "last", func(context.Context, int) (struct{}, error) {
		<-time.After(last)
		return struct{}{}, nil
	})
	return r.meter.stop(), err
}

// Whatever the stages do, the times in the four states of their workers add up to workers × wall, busy is what they
// took, and the course tells of the same times.
func TestActivityAddsUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var workers [3]int
		var took [3]time.Duration
		for i := range workers {
			workers[i] = rapid.IntRange(1, 4).Draw(rt, "workers")
			took[i] = time.Duration(rapid.IntRange(0, 50).Draw(rt, "took")) * time.Millisecond
		}
		last := time.Duration(rapid.IntRange(0, 50).Draw(rt, "last")) * time.Millisecond
		n := rapid.IntRange(0, 60).Draw(rt, "values")
		synctest.Test(t, func(t *testing.T) {
			c, err := through(t.Context(), n, workers, took, last)
			if err != nil {
				rt.Fatal(err)
			}
			all := append(took[:], last)
			for i, a := range c.Stages {
				if sum := a.Busy + a.Waiting + a.Blocked + a.Starved; sum != time.Duration(a.Workers)*c.Took {
					rt.Errorf("stage %s: the states of its workers add up to %v, of %d × %v", a.Stage, sum, a.Workers, c.Took)
				}
				if a.Starved < 0 {
					rt.Errorf("stage %s was starved for %v", a.Stage, a.Starved)
				}
				if want := time.Duration(n) * all[i]; a.Busy != want {
					rt.Errorf("stage %s was busy for %v, not %v", a.Stage, a.Busy, want)
				}
				var busy, blocked float64
				for _, m := range a.Course {
					busy += m.Busy * c.Step.Seconds()
					blocked += m.Blocked * c.Step.Seconds()
				}
				if math.Abs(busy-a.Busy.Seconds()) > 1e-6 || math.Abs(blocked-a.Blocked.Seconds()) > 1e-6 {
					rt.Errorf("stage %s: its course has %.6f s busy and %.6f s blocked, not %v and %v", a.Stage, busy, blocked, a.Busy, a.Blocked)
				}
				if len(a.Course) > moments {
					rt.Errorf("stage %s: %d moments", a.Stage, len(a.Course))
				}
			}
		})
	})
}

// A slow stage is busy all the time; those before it are blocked and those after it starved.
func TestActivityOfSlowStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		c, err := through(t.Context(), 200, [3]int{2, 1, 2}, [3]time.Duration{ms, 100 * ms, ms}, ms)
		if err != nil {
			t.Fatal(err)
		}
		share := func(i int, d func(Activity) time.Duration) float64 {
			a := c.Stages[i]
			return float64(d(a)) / float64(a.Workers) / float64(c.Took)
		}
		busy := func(a Activity) time.Duration { return a.Busy }
		blocked := func(a Activity) time.Duration { return a.Blocked }
		starved := func(a Activity) time.Duration { return a.Starved }
		if b := share(1, busy); b < 0.98 {
			t.Errorf("the slow stage is busy for %.3f of the time", b)
		}
		if b := share(0, blocked); b < 0.95 {
			t.Errorf("the stage before it is blocked for %.3f of the time", b)
		}
		if s := min(share(2, starved), share(3, starved)); s < 0.95 {
			t.Errorf("those after it are starved for %.3f of the time", s)
		}
		if d := c.Stages[1].Depth; d < 2 || d > 3.1 || c.Stages[1].MaxDepth != 3 {
			t.Errorf("%.2f values wait before it, %d at most: two in the hands of workers, one on its way", d, c.Stages[1].MaxDepth)
		}
	})
}
