package score

import (
	"slices"

	"microtome/internal/raster"
)

// A table holds the overlaps of the true objects with all parts of an image, such that those with some of
// the parts follow. What a part that is dropped leaves to the others is the pixels that they grow to.
type table struct {
	overlap   // of truth with the pixels that one part alone is made of or grows to
	parts     components
	contested []candidate // for all other pixels that are not background
	scratch   []int64     // of match
}

// A candidate is a part that gets a contested pixel, unless an earlier candidate is kept.
type candidate struct {
	part uint32
	pair int32 // of overlap: the pixel's true object and the part
	last bool  // of this pixel
}

// newTable counts the overlaps of truth with parts that grow by r px.
func newTable(truth raster.Labels, parts components, r float64) *table {
	t := &table{overlap: *newOverlap(truth, parts.labels), parts: parts}
	all := claims(parts.labels, r)
	var rivals []uint32
	for i := 0; i < len(all); {
		pixel := all[i].pixel
		object, own := truth.Pix[pixel], parts.labels.Pix[pixel]
		rivals = rivals[:0]
		if own != 0 {
			rivals = append(rivals, own)
		}
		for ; i < len(all) && all[i].pixel == pixel; i++ {
			if !slices.Contains(rivals, all[i].object) {
				rivals = append(rivals, all[i].object)
			}
		}
		t.add(t.pair(object, own), -1)
		if len(rivals) == 1 {
			t.add(t.pair(object, rivals[0]), 1)
			continue
		}
		t.add(t.pair(object, 0), 1)
		for k, part := range rivals {
			t.contested = append(t.contested, candidate{part, t.pair(object, part), k == len(rivals)-1})
		}
	}
	return t
}

// match counts true objects, parts that a filter keeps, and their matches.
func (t *table) match(f Filter) Objects {
	// The overlap numbers parts as they are numbered: both go by the first pixel, row by row.
	parts, pairs := len(t.parts.area), len(t.pairs)
	t.scratch = slices.Grow(t.scratch[:0], parts+pairs)[:parts+pairs]
	area, shared := t.scratch[:parts], t.scratch[parts:]
	copy(area, t.found.area)
	for i, p := range t.pairs {
		shared[i] = p.n
	}
	c := Objects{Truth: t.truth.objects()}
	for k := 1; k < parts; k++ {
		if f.keeps(t.parts.area[k], t.parts.peak[k]) {
			c.Found++
		} else {
			area[k] = -1
		}
	}
	given := false
	for _, r := range t.contested {
		if !given && area[r.part] >= 0 {
			area[r.part]++
			shared[r.pair]++
			given = true
		}
		if r.last {
			given = false
		}
	}
	for i, p := range t.pairs {
		if p.truth == 0 || p.found == 0 || area[p.found] < 0 {
			continue
		}
		for k := range passed(shared[i], t.truth.area[p.truth]+area[p.found]-shared[i]) {
			c.Matched[k]++
		}
	}
	return c
}
