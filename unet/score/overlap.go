package score

import (
	"fmt"

	"microtome/internal/raster"
)

// An overlap counts the pixels that the objects of a truth share with the objects found. Objects are
// renumbered 1, 2, … in the order in which they come into it, row by row, so nothing depends on the
// numbers they had; 0 is background.
type overlap struct {
	truth, found numbering
	pairs        []pair
	index        map[[2]uint32]int32 // of the pair of a true and a found number
}

// A pair is a true and a found object and the pixels they share. Either may be background.
type pair struct {
	truth, found uint32
	n            int64
}

// A numbering gives objects their new numbers and counts their pixels.
type numbering struct {
	of   map[uint32]uint32
	area []int64 // px, by new number
}

func newNumbering() numbering {
	return numbering{of: map[uint32]uint32{0: 0}, area: []int64{0}}
}

func (m *numbering) number(id uint32) uint32 {
	n, ok := m.of[id]
	if !ok {
		n = uint32(len(m.area))
		m.of[id] = n
		m.area = append(m.area, 0)
	}
	return n
}

// objects says how many there are, background aside.
func (m *numbering) objects() int { return len(m.area) - 1 }

// newOverlap counts two label images of one size, in one pass over their pixels.
func newOverlap(truth, found raster.Labels) *overlap {
	if truth.W != found.W || truth.H != found.H {
		panic(fmt.Sprintf("score: truth of %d×%d px, prediction of %d×%d", truth.W, truth.H, found.W, found.H))
	}
	o := &overlap{truth: newNumbering(), found: newNumbering(), index: map[[2]uint32]int32{}}
	f := found.Pix[:len(truth.Pix)]
	for i := 0; i < len(f); {
		j := i + 1
		for j < len(f) && truth.Pix[j] == truth.Pix[i] && f[j] == f[i] {
			j++
		}
		o.add(o.pair(truth.Pix[i], f[i]), int64(j-i))
		i = j
	}
	return o
}

// pair returns the index in pairs of a true and a found object, given by the numbers of their images.
func (o *overlap) pair(truth, found uint32) int32 {
	k, ok := o.index[[2]uint32{truth, found}]
	if !ok {
		k = int32(len(o.pairs))
		o.index[[2]uint32{truth, found}] = k
		o.pairs = append(o.pairs, pair{truth: o.truth.number(truth), found: o.found.number(found)})
	}
	return k
}

// add counts n more pixels of a pair.
func (o *overlap) add(k int32, n int64) {
	p := &o.pairs[k]
	p.n += n
	o.truth.area[p.truth] += n
	o.found.area[p.found] += n
}
