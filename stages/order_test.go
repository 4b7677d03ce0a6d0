package stages

import (
	"context"
	"math/rand/v2"
	"testing"

	"microtome/slide"

	"pgregory.net/rapid"
)

// lease takes a mask of one byte for tile index.
func lease(t interface {
	Helper()
	Fatal(...any)
}, b *Budget, index int,
) Mask {
	t.Helper()
	return Mask{slide.Tile{Index: index}, index, get(t, b, 1, 0)}
}

// TestOrder: masks in any order come out in order, none held longer than it must be.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "tiles")
		indices := make([]int, n)
		for i := range indices {
			indices[i] = i
		}
		indices = rapid.Permutation(indices).Draw(t, "order")
		b := NewBudget(int64(n))
		var o Order
		come := map[int]bool{}
		next := 0
		for _, index := range indices {
			ms, err := o.Next(context.Background(), lease(t, b, index))
			if err != nil {
				t.Fatal(err)
			}
			come[index] = true
			for _, m := range ms {
				if m.Tile.Index != next {
					t.Fatalf("tile %d, want %d", m.Tile.Index, next)
				}
				next++
			}
			if come[next] {
				t.Fatalf("tile %d is held though all before it have come", next)
			}
			ms.Release()
			if held := int64(len(come) - next); b.Used() != held {
				t.Fatalf("%d masks are held, want %d", b.Used(), held)
			}
		}
		if next != n {
			t.Errorf("%d tiles came out, want %d", next, n)
		}
	})
}

// TestOrderRelease: after a failure nothing stays, however much was waiting.
func TestOrderRelease(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "tiles")
		b := NewBudget(int64(n))
		var o Order
		o.Release() // of an Order that has seen nothing
		lost := rapid.IntRange(0, n-1).Draw(t, "lost")
		for i := n - 1; i >= 0; i-- {
			if i == lost {
				continue
			}
			ms, err := o.Next(context.Background(), lease(t, b, i))
			if err != nil {
				t.Fatal(err)
			}
			ms.Release()
		}
		if b.Used() != int64(n-1-lost) {
			t.Errorf("%d masks wait for tile %d of %d", b.Used(), lost, n)
		}
		o.Release()
		o.Release()
		if b.Used() != 0 {
			t.Errorf("%d bytes leaked", b.Used())
		}
	})
}

func BenchmarkOrder(b *testing.B) {
	const n = 64
	budget := NewBudget(n)
	order := rand.New(rand.NewPCG(1, 1)).Perm(n)
	b.ReportAllocs()
	for b.Loop() {
		var o Order
		for _, index := range order {
			ms, err := o.Next(context.Background(), lease(b, budget, index))
			if err != nil {
				b.Fatal(err)
			}
			ms.Release()
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "tiles/s")
}
