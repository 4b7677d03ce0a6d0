package score

import (
	"fmt"

	"microtome/internal/raster"
)

// components are the connected parts of an image where p is greater than a threshold.
type components struct {
	labels raster.Labels // 1, 2, … by their first pixel, row by row
	area   []int         // px, by number; [0] is 0
	peak   []float32     // the greatest p in it, by number
}

// newComponents finds the parts of p, w × h, row by row, that connect through 4 or 8 neighbours. A p that
// is NaN is background.
func newComponents(p []float32, w, h int, threshold float64, connectivity int) components {
	if len(p) != w*h {
		panic(fmt.Sprintf("score: %d probabilities for %d×%d px", len(p), w, h))
	}
	c := components{labels: raster.NewLabels(w, h)}
	l := c.labels.Pix
	root := []uint32{0} // union-find over provisional numbers; a root is its set's smallest
	find := func(a uint32) uint32 {
		for root[a] != a {
			root[a] = root[root[a]]
			a = root[a]
		}
		return a
	}
	least := float32(threshold)
	for i, v := range p {
		if !(v > least) {
			continue
		}
		x := i % w
		join := func(j int) {
			if l[j] == 0 || l[j] == l[i] {
				return
			}
			b := find(l[j])
			if l[i] == 0 {
				l[i] = b
				return
			}
			a := find(l[i])
			root[max(a, b)] = min(a, b)
			l[i] = min(a, b)
		}
		if x > 0 {
			join(i - 1)
		}
		if i >= w {
			join(i - w)
			if connectivity == 8 && x > 0 {
				join(i - w - 1)
			}
			if connectivity == 8 && x < w-1 {
				join(i - w + 1)
			}
		}
		if l[i] == 0 {
			l[i] = uint32(len(root))
			root = append(root, l[i])
		}
	}
	number := make([]uint32, len(root))
	n := uint32(0)
	for a := 1; a < len(root); a++ {
		if root[a] == uint32(a) {
			n++
			number[a] = n
		} else {
			number[a] = number[find(uint32(a))]
		}
	}
	c.area = make([]int, n+1)
	c.peak = make([]float32, n+1)
	for i, a := range l {
		if a != 0 {
			k := number[a]
			l[i] = k
			c.area[k]++
			c.peak[k] = max(c.peak[k], p[i])
		}
	}
	return c
}
