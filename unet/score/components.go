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
	above, least := make([]bool, len(p)), float32(threshold)
	for i, v := range p {
		above[i] = v > least
	}
	labels, n := raster.Components(above, w, h, raster.Connectivity(connectivity))
	c := components{labels, make([]int, n+1), make([]float32, n+1)}
	for i, k := range labels.Pix {
		if k != 0 {
			c.area[k]++
			c.peak[k] = max(c.peak[k], p[i])
		}
	}
	return c
}
