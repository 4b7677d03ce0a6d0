package score

import (
	"cmp"
	"math"

	"microtome/internal/raster"
)

// A Case is an image to choose a filter by: what the network says of it, and the truth.
type Case struct {
	P     []float32 // probabilities of foreground, row by row, as many as Truth has pixels
	Truth raster.Labels
	MPP   float64 // µm a pixel, where the grid's lengths are in µm; 0: they are in pixels
}

// A Grid holds the values that Choose tries, each with each; there is at least one of each kind.
type Grid struct {
	Thresholds   []float64
	MinAreas     []float64 // µm² where the cases say how large their pixels are, else px²
	MinPeaks     []float64
	Grow         []float64 // µm or px
	Connectivity int
}

// NewDefaultGrid returns what training chooses from: areas in µm² and growth in µm, or, where there is no resolution, in
// pixels as if of 0.5 µm.
func NewDefaultGrid(mpp float64) Grid {
	g := Grid{
		Thresholds:   []float64{0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85},
		MinAreas:     []float64{0, 2, 4, 6, 8, 10, 12},
		MinPeaks:     []float64{0, 0.7, 0.8, 0.85, 0.9},
		Grow:         []float64{0, 0.25, 0.5, 0.75, 1},
		Connectivity: 8,
	}
	if mpp == 0 {
		for i := range g.MinAreas {
			g.MinAreas[i] *= 4
		}
		for i := range g.Grow {
			g.Grow[i] *= 2
		}
	}
	return g
}

// filters lists all of the grid, those of one threshold together, in these those of one growth.
func (g Grid) filters() []Filter {
	var all []Filter
	for _, t := range g.Thresholds {
		for _, r := range g.Grow {
			for _, area := range g.MinAreas {
				for _, peak := range g.MinPeaks {
					all = append(all, Filter{t, area, peak, r, g.Connectivity})
				}
			}
		}
	}
	return all
}

// noise is by how much the F1 of two filters may differ and count as the same: half the standard error of an F1 of 0.8 over
// a thousand objects.
const noise = 0.005

// Choose returns the filter of a valid grid that is best over all cases: of those whose F1 at IoU 0.5 is the greatest, or less
// by no more than noise, the one that finds most of the true objects. Among equals it takes the greatest F1 and mean F1, then the filter
// that does least: of least Grow, of least MinArea, of least MinPeak, of the Threshold nearest to one half.
//
// The parts of an image are found once a threshold, and their overlaps with the truth once a growth;
// filters select from these.
func Choose(cases []Case, g Grid) Filter {
	filters := g.filters()
	sums := make([]Objects, len(filters)) // without what AJI, SQ, merges and splits need
	for _, c := range cases {
		var parts components
		var t *table
		for i, f := range filters {
			f = f.Pixels(c.MPP)
			if i == 0 || f.Threshold != filters[i-1].Threshold {
				parts, t = newComponents(c.P, c.Truth.W, c.Truth.H, f.Threshold, f.Connectivity), nil
			}
			if t == nil || filters[i].Grow != filters[i-1].Grow {
				t = newTable(c.Truth, parts, f.Grow)
			}
			sums[i].Add(t.match(f))
		}
	}
	greatest := 0.0
	for _, c := range sums {
		greatest = max(greatest, c.F1At50())
	}
	best := -1
	for i := range filters {
		if sums[i].F1At50() >= greatest-noise && (best < 0 || better(filters[i], filters[best], sums[i], sums[best]) < 0) {
			best = i
		}
	}
	return filters[best]
}

// better is negative when filter f, with counts a, is to be chosen before filter g, with counts b.
func better(f, g Filter, a, b Objects) int {
	return cmp.Or(
		-cmp.Compare(a.Matched[0], b.Matched[0]),
		-cmp.Compare(a.F1At50(), b.F1At50()),
		-cmp.Compare(a.F1(), b.F1()),
		cmp.Compare(f.Grow, g.Grow),
		cmp.Compare(f.MinArea, g.MinArea),
		cmp.Compare(f.MinPeak, g.MinPeak),
		cmp.Compare(math.Abs(f.Threshold-0.5), math.Abs(g.Threshold-0.5)),
	)
}
