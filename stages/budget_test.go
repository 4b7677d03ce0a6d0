package stages

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

func get(t interface {
	Helper()
	Fatal(...any)
}, b *Budget, pix, labels int,
) *Buffer {
	t.Helper()
	buf, err := b.Get(context.Background(), pix, labels, 0)
	if err != nil {
		t.Fatal(err)
	}
	return buf
}

// mustPanic checks that f panics.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

// TestBudgetCounts takes and gives back at random, against a sum kept by the test.
func TestBudgetCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "size")
		b := NewBudget(int64(size))
		var held []*Buffer
		used, high := 0, 0
		ended, cancel := context.WithCancelCause(context.Background())
		cancel(errors.New("stop"))
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				used -= len(held[i].Pix) + len(held[i].Labels)
				held[i].Release()
				held = append(held[:i], held[i+1:]...)
			} else {
				pix, labels := rapid.IntRange(0, 60).Draw(t, "pix"), rapid.IntRange(0, 20).Draw(t, "labels")
				fits := used+pix+labels <= size
				ctx := context.Background()
				if !fits {
					ctx = ended // it would wait
				}
				buf, err := b.Get(ctx, pix, labels, 0)
				if fits != (err == nil) {
					t.Fatalf("%d more of %d, %d used: error %v", pix+labels, size, used, err)
				}
				if err == nil {
					if len(buf.Pix) != pix || len(buf.Labels) != labels {
						t.Fatalf("%d and %d bytes, want %d and %d", len(buf.Pix), len(buf.Labels), pix, labels)
					}
					held = append(held, buf)
					used += pix + labels
					high = max(high, used)
				}
			}
			if b.Used() != int64(used) || b.High() != int64(high) || used > size {
				t.Fatalf("used %d, high %d, want %d and %d of %d", b.Used(), b.High(), used, high, size)
			}
		}
		// No two that are held share memory.
		for i, buf := range held {
			for j := range buf.Pix {
				buf.Pix[j] = byte(i)
			}
			for j := range buf.Labels {
				buf.Labels[j] = byte(i)
			}
		}
		for i, buf := range held {
			for _, v := range append(append([]byte{}, buf.Pix...), buf.Labels...) {
				if v != byte(i) {
					t.Fatal("two buffers share memory")
				}
			}
			buf.Release()
		}
		if b.Used() != 0 {
			t.Errorf("%d bytes are used at the end", b.Used())
		}
	})
}

func TestBudgetTooSmall(t *testing.T) {
	_, err := NewBudget(100).Get(context.Background(), 90, 11, 0)
	if err == nil || !strings.Contains(err.Error(), "101 bytes") || !strings.Contains(err.Error(), "--memory") {
		t.Errorf("error %v", err)
	}
}

// TestBudgetWaits until enough is given back, and no longer than its context.
func TestBudgetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		first, second := get(t, b, 4, 1), get(t, b, 4, 1)
		cause := errors.New("the slide failed")
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error)
		go func() {
			_, err := b.Get(ctx, 5, 1, 0)
			failed <- err
		}()
		synctest.Wait()
		cancel(cause)
		if err := <-failed; !errors.Is(err, cause) {
			t.Errorf("error %v, want the cause", err)
		}
		got := make(chan *Buffer)
		go func() { got <- get(t, b, 5, 1) }()
		synctest.Wait()
		first.Release()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("6 bytes were given while 5 of 10 are held")
		default:
		}
		second.Release()
		(<-got).Release()
		if b.Used() != 0 || b.High() != 10 {
			t.Errorf("used %d, high %d", b.Used(), b.High())
		}
	})
}

// TestBudgetEndedContext: what fits is given or refused with the cause, never with a bare "canceled".
func TestBudgetEndedContext(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 0, errors.New("took too long"))
	defer cancel()
	b := NewBudget(10)
	held := get(t, b, 10, 0)
	<-ctx.Done()
	if _, err := b.Get(ctx, 1, 0, 0); err == nil || err.Error() != "took too long" {
		t.Errorf("error %v, want the cause", err)
	}
	held.Release()
	if b.Used() != 0 {
		t.Errorf("%d bytes leaked", b.Used())
	}
}

func TestBufferReleasedTwice(t *testing.T) {
	b := NewBudget(10)
	buf := get(t, b, 5, 5)
	buf.Release()
	mustPanic(t, "second Release", buf.Release)
	if b.Used() != 0 {
		t.Errorf("%d bytes are used", b.Used())
	}
}

// TestBudgetReuses the memory of finished tiles, and drops what has another size.
func TestBudgetReuses(t *testing.T) {
	b := NewBudget(1000)
	first := get(t, b, 100, 50)
	pix := &first.Pix[0]
	first.Release()
	second := get(t, b, 100, 50)
	if &second.Pix[0] != pix {
		t.Error("the memory of the first tile was not taken again")
	}
	second.Release()
	if n := testing.AllocsPerRun(100, func() { get(t, b, 100, 50).Release() }); n > 0 {
		t.Errorf("%v allocations a tile", n)
	}
	other := get(t, b, 50, 100)
	if len(b.free) > 0 {
		t.Errorf("%d buffers of another size are kept", len(b.free))
	}
	other.Release()
}

func BenchmarkBudget(b *testing.B) {
	budget := NewBudget(1 << 20)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			buf, err := budget.Get(context.Background(), 1<<16, 1<<14, 0)
			if err != nil {
				b.Fatal(err)
			}
			buf.Release()
		}
	})
}
