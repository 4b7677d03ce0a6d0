package slide

import (
	"context"
	"errors"
	"sync"

	"microtome/internal/pages"
)

// A blockKey names a block of a slide.
type blockKey struct{ level, x, y int }

// A block is decoded pixels. While pinned it is not recycled; unpinned it stands in the cache's queue.
type block struct {
	key          blockKey
	pix          []byte
	ready        chan struct{} // closed when pix or err is there
	err          error
	pins         int
	newer, older *block // in the queue
}

// A cache keeps decoded blocks, the most recently used ones, within a bound of bytes; blocks that are
// being read at the moment count too, and only they can exceed it. One decode serves all who want a
// block at the same time. The memory of a few evicted blocks is kept, beside the bound, for the next ones.
type cache struct {
	mu      sync.Mutex
	max     int64
	used    int64
	blocks  map[blockKey]*block
	queue   block    // head of the ring of unpinned blocks: older is the most recently used, newer the least
	free    [][]byte // of blocks evicted
	decoded int64    // blocks
	bytes   int64    // decoded
}

func newCache(limit int64) *cache {
	c := &cache{max: limit, blocks: map[blockKey]*block{}}
	c.queue.newer, c.queue.older = &c.queue, &c.queue
	return c
}

// mostFree is how many evicted blocks are kept: several go when a tile lets go of its last ones.
const mostFree = 8

// errPanicked is what others get who wait for a block whose decoder panics.
var errPanicked = errors.New("the decoder panicked")

// get returns a block of n bytes, pinned, decoding it when it is not there. A failed decode fails all
// who wait for it and is forgotten. When ctx ends first, get returns its cause.
func (c *cache) get(ctx context.Context, key blockKey, n int, decode func(dst []byte) error) (*block, error) {
	c.mu.Lock()
	if b := c.blocks[key]; b != nil {
		c.pin(b)
		c.mu.Unlock()
		return c.wait(ctx, b)
	}
	if ctx.Err() != nil {
		c.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	b := &block{key: key, ready: make(chan struct{}), pins: 1, err: errPanicked}
	c.blocks[key] = b
	c.used += int64(n)
	c.evict()
	if last := len(c.free) - 1; last >= 0 && len(c.free[last]) == n { // not a larger one, whose rest would count for nobody
		b.pix, c.free = c.free[last], c.free[:last]
	}
	c.mu.Unlock()

	defer c.decodedOne(b, n)
	if b.pix == nil {
		b.pix = make([]byte, n)
		pages.Huge(b.pix)
	}
	if b.err = decode(b.pix); b.err != nil {
		return nil, b.err
	}
	return b, nil
}

// wait waits for a pinned block that another is perhaps still decoding.
func (c *cache) wait(ctx context.Context, b *block) (*block, error) {
	select {
	case <-b.ready:
	case <-ctx.Done():
		c.put(b)
		return nil, context.Cause(ctx)
	}
	if b.err != nil {
		return nil, b.err // nothing to give back: it is out of the cache
	}
	return b, nil
}

// decodedOne ends the decoding of a block of n bytes.
func (c *cache) decodedOne(b *block, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.err == nil {
		c.decoded++
		c.bytes += int64(n)
	} else {
		delete(c.blocks, b.key)
		c.used -= int64(n)
	}
	close(b.ready)
}

func (c *cache) pin(b *block) {
	if b.newer != nil {
		c.unlink(b)
	}
	b.pins++
}

// put gives back a block that get returned.
func (c *cache) put(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.pins--
	if b.pins > 0 || c.blocks[b.key] != b {
		return
	}
	b.newer, b.older = &c.queue, c.queue.older
	b.newer.older, b.older.newer = b, b
	c.evict()
}

func (c *cache) unlink(b *block) {
	b.newer.older, b.older.newer = b.older, b.newer
	b.newer, b.older = nil, nil
}

// evict forgets the least recently used blocks until the rest fit.
func (c *cache) evict() {
	for c.used > c.max && c.queue.newer != &c.queue {
		b := c.queue.newer
		c.unlink(b)
		delete(c.blocks, b.key)
		c.used -= int64(len(b.pix))
		if len(c.free) == mostFree {
			c.free = c.free[1:]
		}
		c.free = append(c.free, b.pix)
	}
}
