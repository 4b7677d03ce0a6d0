package slide

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

var errDecode = errors.New("planted")

// ring lists the idle blocks, most recently used first, and checks that both directions agree.
func (c *cache) ring(t interface{ Fatal(...any) }) (keys []int) {
	for b := c.queue.older; b != &c.queue; b = b.older {
		if b.older.newer != b || b.pins != 0 || c.blocks[b.key] != b {
			t.Fatal("the queue of idle blocks is broken")
		}
		keys = append(keys, b.key.x)
	}
	return keys
}

// Sixteen goroutines want one block: it is decoded once, after all of them have come.
func TestOneDecodeServesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100)
		open := make(chan struct{})
		var decodes atomic.Int32
		for range 16 {
			go func() {
				b, err := c.get(t.Context(), blockKey{}, 10, func(dst []byte) error {
					decodes.Add(1)
					<-open
					dst[0] = 42
					return nil
				})
				if err != nil || b.pix[0] != 42 {
					t.Errorf("got %v, %v", b, err)
					return
				}
				c.put(b)
			}()
		}
		synctest.Wait()
		if n := decodes.Load(); n != 1 {
			t.Errorf("%d decodes are under way", n)
		}
		close(open)
		synctest.Wait()
		if n := decodes.Load(); n != 1 || c.decoded != 1 || len(c.ring(t)) != 1 {
			t.Errorf("%d decodes, %d counted, %d idle blocks", n, c.decoded, len(c.ring(t)))
		}
	})
}

// A failure reaches all who wait, is forgotten, and the next who asks decodes again.
func TestFailedDecodeIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100)
		open := make(chan struct{})
		var failures atomic.Int32
		for range 5 {
			go func() {
				_, err := c.get(t.Context(), blockKey{}, 10, func([]byte) error { <-open; return errDecode })
				if errors.Is(err, errDecode) {
					failures.Add(1)
				}
			}()
		}
		synctest.Wait()
		close(open)
		synctest.Wait()
		if failures.Load() != 5 || c.used != 0 || len(c.blocks) != 0 || c.decoded != 0 {
			t.Fatalf("%d failures of 5, %d bytes in use, %d blocks, %d counted", failures.Load(), c.used, len(c.blocks), c.decoded)
		}
		b, err := c.get(t.Context(), blockKey{}, 10, func([]byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		c.put(b)
	})
}

// Who stops waiting leaves the others and the block alone, whether its decode then works or not.
func TestCancelledWaiterPoisonsNothing(t *testing.T) {
	for name, outcome := range map[string]error{"decoded": nil, "failed": errDecode} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(100)
				open := make(chan struct{})
				ctx, cancel := context.WithCancelCause(t.Context())
				get := func(ctx context.Context) <-chan error {
					result := make(chan error, 1)
					go func() {
						b, err := c.get(ctx, blockKey{}, 10, func([]byte) error { <-open; return outcome })
						if err == nil {
							c.put(b)
						}
						result <- err
					}()
					synctest.Wait()
					return result
				}
				decoder, impatient, patient := get(t.Context()), get(ctx), get(t.Context())
				cause := errors.New("no time")
				cancel(cause)
				if err := <-impatient; !errors.Is(err, cause) {
					t.Errorf("the impatient got %v", err)
				}
				close(open)
				for _, result := range []<-chan error{decoder, patient} {
					if err := <-result; !errors.Is(err, outcome) {
						t.Errorf("another got %v, want %v", err, outcome)
					}
				}
				for _, b := range c.blocks {
					if b.pins != 0 {
						t.Errorf("%d pins are left", b.pins)
					}
				}
				if want := map[bool]int64{true: 10, false: 0}[outcome == nil]; c.used != want {
					t.Errorf("%d bytes in use, want %d", c.used, want)
				}
			})
		})
	}
}

func TestPanickingDecoderLeavesNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100)
		open := make(chan struct{})
		go func() {
			defer func() { _ = recover() }()
			_, _ = c.get(t.Context(), blockKey{}, 10, func([]byte) error { <-open; panic("planted") })
		}()
		synctest.Wait()
		go func() {
			if _, err := c.get(t.Context(), blockKey{}, 10, nil); !errors.Is(err, errPanicked) {
				t.Errorf("who waited got %v", err)
			}
		}()
		synctest.Wait()
		close(open)
		synctest.Wait()
		if c.used != 0 || len(c.blocks) != 0 {
			t.Errorf("%d bytes in %d blocks are left", c.used, len(c.blocks))
		}
	})
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	c := newCache(30)
	use := func(x int) {
		b, err := c.get(t.Context(), blockKey{x: x}, 10, func([]byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		c.put(b)
	}
	for _, x := range []int{1, 2, 3, 1, 4} {
		use(x)
	}
	if got := c.ring(t); len(got) != 3 || [3]int(got) != [3]int{4, 1, 3} {
		t.Errorf("blocks %v are kept, want 4, 1 and 3", got)
	}
	if use(2); c.decoded != 5 {
		t.Errorf("%d decodes, want 5: block 2 was to be forgotten", c.decoded)
	}
}

// Any order of getting and giving back: what is kept is within the bound but for pinned blocks, and the
// sum is right.
func TestBoundHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(0, 200).Draw(t, "limit")
		c := newCache(limit)
		held := []*block{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			x := rapid.IntRange(0, 12).Draw(t, "x")
			switch {
			case len(held) > 0 && rapid.Bool().Draw(t, "give back"):
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				c.put(held[i])
				held = append(held[:i], held[i+1:]...)
			default:
				failing := rapid.IntRange(0, 5).Draw(t, "fails") == 0
				b, err := c.get(context.Background(), blockKey{x: x}, 5+7*x, func(dst []byte) error {
					if failing {
						return errDecode
					}
					for i := range dst {
						dst[i] = byte(x)
					}
					return nil
				})
				if err == nil {
					held = append(held, b)
				}
			}
			var sum, pinned int64
			for key, b := range c.blocks {
				sum += int64(len(b.pix))
				if b.pins > 0 {
					pinned += int64(len(b.pix))
				}
				if len(b.pix) != 5+7*key.x {
					t.Fatalf("block %d has %d bytes", key.x, len(b.pix))
				}
			}
			if c.used != sum || sum > max(limit, pinned) {
				t.Fatalf("%d bytes in use, %d kept, %d pinned, bound %d", c.used, sum, pinned, limit)
			}
			for _, b := range held {
				for _, v := range b.pix {
					if int(v) != b.key.x {
						t.Fatalf("block %d shows pixels of %d while it is held", b.key.x, v)
					}
				}
			}
			c.ring(t)
		}
		for _, b := range held {
			c.put(b)
		}
		if c.ring(t); c.used > limit {
			t.Fatalf("%d bytes are kept in the end, bound %d", c.used, limit)
		}
	})
}

// Real goroutines, for the race detector: pixels are right, no pin is lost.
func TestCacheUnderContention(t *testing.T) {
	c := newCache(64)
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			for range 2000 {
				x, failing := random.IntN(20), random.IntN(20) == 0
				b, err := c.get(t.Context(), blockKey{x: x}, 8, func(dst []byte) error {
					if failing {
						return errDecode
					}
					for i := range dst {
						dst[i] = byte(x)
					}
					return nil
				})
				if err != nil {
					continue
				}
				for _, v := range b.pix {
					if int(v) != x {
						t.Errorf("block %d shows pixels of %d", x, v)
					}
				}
				c.put(b)
			}
		})
	}
	group.Wait()
	if idle := len(c.ring(t)); idle != len(c.blocks) || c.used != int64(8*idle) || c.used > c.max {
		t.Errorf("%d blocks, %d idle, %d bytes, bound %d", len(c.blocks), idle, c.used, c.max)
	}
}
