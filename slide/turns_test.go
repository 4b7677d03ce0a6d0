package slide

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Opening hangs: it fails after the wait, and what comes later is closed.
func TestHungOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		var closed closing
		started := time.Now()
		_, err := openWithin(time.Minute, func() (BlockReader, error) {
			<-answer
			return &closed, nil
		})
		if took := time.Since(started); !errors.Is(err, ErrTimeout) || took != time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
		close(answer)
		synctest.Wait()
		if closed.times.Load() != 1 {
			t.Errorf("closed %d times", closed.times.Load())
		}
		r, err := openWithin(time.Minute, func() (BlockReader, error) { return &closed, nil })
		if err != nil || r != &closed || closed.times.Load() != 1 {
			t.Errorf("in time: %v, closed %d times", err, closed.times.Load())
		}
		if _, err := openWithin(time.Minute, func() (BlockReader, error) { return nil, errDecode }); !errors.Is(err, errDecode) {
			t.Errorf("in time: %v", err)
		}
	})
}

type closing struct{ times atomic.Int32 }

func (c *closing) Info() Info                                             { return Info{} }
func (c *closing) ReadBlock(context.Context, int, int, int, []byte) error { return nil }
func (c *closing) Close() error                                           { c.times.Add(1); return nil }

// A buffer stands for libvips': complaints of all, in order.
type buffer struct {
	mu   sync.Mutex
	text string
}

func (b *buffer) complain(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text += s
}

func (b *buffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = ""
}

func (b *buffer) reason() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.text = "" }()
	return errors.New(b.text)
}

// Calls that hang hold up the others for a while once, whether they run beside others or alone; then
// those fail for their own reasons and succeed as ever.
func TestHungCallsDoNotHoldUpOthers(t *testing.T) {
	for name, hangs := range map[string]int{"beside others": 1, "alone": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var turns turns
				var b buffer
				answer := make(chan struct{})
				calls := 0
				go func() {
					err := turns.explained(func() verdict {
						if calls++; calls == hangs {
							<-answer
						}
						if calls < hangs {
							return failed
						}
						return silent // which is not believed of one that hung
					}, b.reset, b.reason)
					if err != nil {
						t.Errorf("the call that hung ends with %v", err)
					}
				}()
				synctest.Wait()
				started := time.Now()
				var group sync.WaitGroup
				for range 5 {
					group.Go(func() {
						err := turns.explained(func() verdict { b.complain("mine"); return failed }, b.reset, b.reason)
						if err == nil || err.Error() != "mine" {
							t.Errorf("the reason is %q", err)
						}
					})
					group.Go(func() {
						if err := turns.explained(func() verdict { return silent }, b.reset, b.reason); err != nil {
							t.Error(err)
						}
					})
				}
				group.Wait()
				if took := time.Since(started); took > 2*patience {
					t.Errorf("the others waited for %v", took)
				}
				started = time.Now()
				if err := turns.explained(func() verdict { b.complain("mine"); return failed }, b.reset, b.reason); err == nil || time.Since(started) != 0 {
					t.Errorf("later it still takes %v: %v", time.Since(started), err)
				}
				close(answer)
				synctest.Wait()
				if calls != hangs+1 {
					t.Errorf("%d calls, want %d and one more", calls, hangs)
				}
				if turns.running != 0 || turns.alone {
					t.Errorf("%d turns are out, alone: %v", turns.running, turns.alone)
				}
			})
		})
	}
}

// A stray that comes back while another runs alone spoils its reason: that is found out again.
func TestStrayDisturbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		stray := turns.take(false)
		var calls int
		var b buffer
		err := turns.explained(func() verdict {
			if calls++; calls == 2 { // alone
				b.complain("stray ")
				if valid, _ := turns.give(stray, func() {}); valid {
					t.Error("the stray does not learn that it is one")
				}
			}
			b.complain("mine")
			return failed
		}, b.reset, b.reason)
		if calls != 4 || err == nil || err.Error() != "mine" {
			t.Errorf("after %d calls the reason is %q", calls, err)
		}
	})
}

// Real goroutines, for the race detector: who is alone is alone, and reasons are one's own.
func TestAloneIsAlone(t *testing.T) {
	var turns turns
	var b buffer
	var running, alone atomic.Int32
	var group sync.WaitGroup
	for g := range 8 {
		name := string(rune('a' + g))
		group.Go(func() {
			for i := range 200 {
				tries := 0
				err := turns.explained(func() verdict {
					tries++
					running.Add(1)
					defer running.Add(-1)
					for range 5 {
						runtime.Gosched() // so that others come between
						if tries == 2 && running.Load() != 1 {
							t.Error("not alone")
						}
					}
					if tries == 2 {
						alone.Add(1)
					}
					if (i+g)%3 != 0 {
						return silent
					}
					b.complain(name)
					return failed
				}, b.reset, b.reason)
				if fails := (i+g)%3 == 0; fails != (err != nil) || fails && err.Error() != name {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	group.Wait()
	if alone.Load() == 0 {
		t.Error("nobody was ever alone")
	}
}
