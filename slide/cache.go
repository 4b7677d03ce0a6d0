package slide

import (
	"container/list"
	"context"
	"sync"
)

// A blockKey names a block of a slide.
type blockKey struct{ level, x, y int }

// A block is decoded pixels. While pinned it is not recycled.
type block struct {
	key   blockKey
	pix   []byte
	ready chan struct{} // closed when pix or err is there
	err   error
	pins  int
	at    *list.Element // in the queue of unpinned blocks
}

// A cache keeps decoded blocks, the most recently used ones, within a bound of bytes; blocks that are
// being read at the moment count too, and only they can exceed it. One decode serves all who want a
// block at the same time.
type cache struct {
	mu      sync.Mutex
	max     int64
	used    int64
	blocks  map[blockKey]*block
	idle    *list.List // of *block, most recently used first
	free    []byte     // of the last block evicted, for the next one
	decoded int64      // blocks
	bytes   int64      // decoded
}

func newCache(limit int64) *cache {
	return &cache{max: limit, blocks: map[blockKey]*block{}, idle: list.New()}
}

// get returns a block of n bytes, pinned, decoding it when it is not there. A failed decode fails all
// who wait for it and is forgotten.
func (c *cache) get(ctx context.Context, key blockKey, n int, decode func(dst []byte) error) (*block, error) {
	c.mu.Lock()
	b := c.blocks[key]
	if b != nil {
		c.pin(b)
		c.mu.Unlock()
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
	b = &block{key: key, ready: make(chan struct{}), pins: 1}
	c.blocks[key] = b
	c.used += int64(n)
	c.evict()
	if cap(c.free) >= n {
		b.pix, c.free = c.free[:n], nil
	}
	c.mu.Unlock()

	if b.pix == nil {
		b.pix = make([]byte, n)
	}
	err := decode(b.pix)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decoded++
	c.bytes += int64(n)
	if err != nil {
		b.err = err
		delete(c.blocks, key)
		c.used -= int64(n)
		close(b.ready)
		return nil, err
	}
	close(b.ready)
	return b, nil
}

func (c *cache) pin(b *block) {
	if b.at != nil {
		c.idle.Remove(b.at)
		b.at = nil
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
	b.at = c.idle.PushFront(b)
	c.evict()
}

// evict forgets the least recently used blocks until the rest fit.
func (c *cache) evict() {
	for c.used > c.max && c.idle.Len() > 0 {
		b := c.idle.Remove(c.idle.Back()).(*block)
		delete(c.blocks, b.key)
		c.used -= int64(len(b.pix))
		c.free = b.pix
	}
}
