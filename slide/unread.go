package slide

import (
	"context"
	"errors"
	"image"
	"math"
	"slices"
	"sort"
	"sync"

	"microtome/internal/raster"
)

// unread remembers the blocks that cannot be decoded, so that none is tried twice.
type unread struct {
	mu     sync.Mutex
	blocks map[blockKey]bool
}

// read decodes a block, or makes it white; a nil unread makes nothing white.
func (u *unread) read(ctx context.Context, r BlockReader, key blockKey, dst []byte) error {
	if u == nil {
		return r.ReadBlock(ctx, key.level, key.x, key.y, dst)
	}
	if !u.has(key) {
		if err := r.ReadBlock(ctx, key.level, key.x, key.y, dst); err == nil || !damage(err) {
			return err
		}
		u.mu.Lock()
		u.blocks[key] = true
		u.mu.Unlock()
	}
	for i := range dst {
		dst[i] = 255
	}
	return nil
}

func (u *unread) has(key blockKey) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.blocks[key]
}

// damage reports whether an error is of a block alone, not of the whole file or of who reads it.
func damage(err error) bool {
	for _, other := range []error{ErrTimeout, errClosed, errDisturbed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, other) {
			return false
		}
	}
	var whole fileError
	return !errors.As(err, &whole)
}

// Unread returns how many blocks of all levels could not be decoded so far and are shown white, see
// [Config].Unread.
func (s *Slide) Unread() (blocks int) {
	if s.unread == nil {
		return 0
	}
	s.unread.mu.Lock()
	defer s.unread.mu.Unlock()
	return len(s.unread.blocks)
}

// UnreadAreas returns where the blocks of all levels lie that could not be decoded so far, in pixels of level 0,
// rounded outward and in no order.
func (s *Slide) UnreadAreas() (areas []image.Rectangle) {
	if s.unread == nil {
		return nil
	}
	s.unread.mu.Lock()
	defer s.unread.mu.Unlock()
	for key := range s.unread.blocks {
		l := s.info.Levels[key.level]
		at := func(column, block int) float64 { return float64(column*block) * l.Downsample }
		areas = append(areas, image.Rect(
			int(at(key.x, l.Block.X)), int(at(key.y, l.Block.Y)), int(math.Ceil(at(key.x+1, l.Block.X))), int(math.Ceil(at(key.y+1, l.Block.Y))),
		).Intersect(image.Rectangle{Max: s.info.Levels[0].Size}))
	}
	return areas
}

// Unread returns the pixels of the view, as rectangles within it, that blocks which could not be decoded
// have a part in, for those blocks that have a part in r. r may leave the view: beyond, the view is
// mirrored. The rectangles are in the order of the blocks, by row, then column. All of a rectangle's are
// known when a Read of it has returned.
func (v *View) Unread(r image.Rectangle) []image.Rectangle {
	s := v.slide
	if r.Empty() || s.Unread() == 0 {
		return nil
	}
	l := s.info.Levels[v.level]
	x := axis{v.scale, v.size.X, l.Size.X, l.Block.X}
	y := axis{v.scale, v.size.Y, l.Size.Y, l.Block.Y}
	columns, rows := x.blocks(r.Min.X, r.Max.X), y.blocks(r.Min.Y, r.Max.Y)
	var out []image.Rectangle
	s.unread.mu.Lock()
	defer s.unread.mu.Unlock()
	for _, by := range rows {
		for _, bx := range columns {
			if !s.unread.blocks[blockKey{v.level, bx, by}] {
				continue
			}
			across := x.pixels(bx)
			for _, ys := range y.pixels(by) {
				for _, xs := range across {
					out = append(out, image.Rect(xs.lo, ys.lo, xs.hi, ys.hi))
				}
			}
		}
	}
	return out
}

// An axis of a view: size pixels, made from a level of n pixels in blocks of block pixels.
type axis struct {
	scale          float64
	size, n, block int
}

// A span is the indices [lo, hi).
type span struct{ lo, hi int }

// blocks returns the blocks that the pixels [lo, hi) of the view are made from, in order. They may lie
// outside the view, and what they are made from outside the level: both are mirrored.
func (a axis) blocks(lo, hi int) []int {
	touched := make([]bool, (a.n+a.block-1)/a.block)
	for _, shown := range raster.AppendRuns(nil, lo, min(hi, lo+2*a.size), a.size) { // then it repeats
		from, to := shown.Span()
		first, _ := reach(from, a.scale)
		_, last := reach(to-1, a.scale)
		for _, run := range raster.AppendRuns(nil, first, last+1, a.n) {
			from, to := run.Span()
			for b := from / a.block; b*a.block < to; b++ {
				touched[b] = true
			}
		}
	}
	var out []int
	for b, is := range touched {
		if is {
			out = append(out, b)
		}
	}
	return out
}

// pixels returns the pixels of the view that a block has a part in, in order. Near the edges it has one
// part directly and one by mirroring, which may lie apart.
func (a axis) pixels(block int) []span {
	first, _ := reach(0, a.scale)
	_, last := reach(a.size-1, a.scale)
	var out []span
	for _, run := range raster.AppendRuns(nil, first, last+1, a.n) {
		k0, k1 := run.Within(block*a.block, min((block+1)*a.block, a.n))
		if k0 >= k1 {
			continue
		}
		from, to := first+run.At+k0, first+run.At+k1 // on the level as it is continued
		lo := sort.Search(a.size, func(i int) bool { _, last := reach(i, a.scale); return last >= from })
		hi := sort.Search(a.size, func(i int) bool { first, _ := reach(i, a.scale); return first >= to })
		if lo < hi {
			out = append(out, span{lo, hi})
		}
	}
	slices.SortFunc(out, func(a, b span) int { return a.lo - b.lo })
	merged := out[:0]
	for _, s := range out {
		if n := len(merged); n > 0 && s.lo <= merged[n-1].hi {
			merged[n-1].hi = max(merged[n-1].hi, s.hi)
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}
