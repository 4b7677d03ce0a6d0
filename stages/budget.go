package stages

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"microtome/internal/pages"
)

// A Budget bounds the bytes of all tiles in flight. It also keeps the buffers of finished tiles for
// the next ones, so that a run allocates its tiles once.
type Budget struct {
	size int64
	sem  *semaphore.Weighted

	mu         sync.Mutex
	used, high int64
	free       []*Buffer
}

// NewBudget returns a Budget of size bytes.
func NewBudget(size int64) *Budget {
	return &Budget{size: size, sem: semaphore.NewWeighted(size)}
}

// A Buffer is the memory of one tile for its whole life.
type Buffer struct {
	Pix    []byte    // what the network sees: halo × halo × channels
	Labels []byte    // what it says: core × core
	Probs  []float32 // how sure it is, of tiles that are blended: classes × tile × tile; see [Blend]
	budget *Budget
}

// Get returns a Buffer of pix and labels bytes and probs values, waiting until they are free. It fails at once when
// they can never be, and with the cause of ctx when that ends first. The contents are undefined.
func (b *Budget) Get(ctx context.Context, pix, labels, probs int) (*Buffer, error) {
	n := int64(pix) + int64(labels) + 4*int64(probs)
	if n > b.size { // semaphore.Acquire would wait until ctx ends
		return nil, fmt.Errorf("a tile of %d bytes does not fit the tile memory of %d bytes: give more --memory or a smaller --tile", n, b.size)
	}
	if err := b.sem.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	b.high = max(b.high, b.used)
	for len(b.free) > 0 {
		last := len(b.free) - 1
		buf := b.free[last]
		b.free = b.free[:last]
		if len(buf.Pix) == pix && len(buf.Labels) == labels && len(buf.Probs) == probs {
			buf.budget = b
			return buf, nil
		}
	}
	buf := &Buffer{Pix: make([]byte, pix), Labels: make([]byte, labels), Probs: make([]float32, probs), budget: b}
	pages.Huge(buf.Pix)
	pages.Huge(buf.Labels)
	return buf, nil
}

// Release gives the memory back. The Buffer must not be used afterwards; a second Release panics.
func (buf *Buffer) Release() {
	b := buf.budget
	if b == nil {
		panic("stages: buffer released twice")
	}
	buf.budget = nil
	n := int64(len(buf.Pix)) + int64(len(buf.Labels)) + 4*int64(len(buf.Probs))
	b.mu.Lock()
	b.used -= n
	b.free = append(b.free, buf)
	b.mu.Unlock()
	b.sem.Release(n)
}

// Used returns the bytes in flight now, and High the most there have been.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// High returns the most bytes that were in flight at one time.
func (b *Budget) High() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.high
}
