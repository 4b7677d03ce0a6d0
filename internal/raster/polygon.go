package raster

import (
	"cmp"
	"math"
	"slices"
)

// A Point is a place in an image; pixel (x, y) covers [x, x+1) × [y, y+1), its centre is (x+½, y+½).
type Point struct{ X, Y float64 }

// An edge is a side of a polygon, from its upper end to its lower.
type edge struct {
	upper, lower Point
	first, end   int // rows whose centres it crosses
}

// at returns where the edge crosses the line at y.
func (e edge) at(y float64) float64 {
	return e.upper.X + (y-e.upper.Y)*(e.lower.X-e.upper.X)/(e.lower.Y-e.upper.Y)
}

// FillPolygon calls span for each stretch [x0, x1) of pixels in row y of an image of w×h pixels whose
// centres lie in the polygon, from top to bottom and left to right. The rings are outlines and holes in
// any order, closed or not: what an odd number of them surrounds is inside. A centre that lies on a side
// belongs to what is right of it, or below: polygons that share a side share no pixel and leave none out.
func FillPolygon(w, h int, rings [][]Point, span func(y, x0, x1 int)) {
	var edges []edge
	for _, ring := range rings {
		for i, p := range ring {
			q := ring[(i+1)%len(ring)]
			if p.Y > q.Y {
				p, q = q, p
			}
			e := edge{p, q, centre(p.Y, h), centre(q.Y, h)}
			if e.first < e.end {
				edges = append(edges, e)
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.first, b.first) })
	var active []edge
	var crossings []float64
	for y := 0; len(edges) > 0 || len(active) > 0; y++ {
		if len(active) == 0 {
			y = edges[0].first
		}
		for len(edges) > 0 && edges[0].first == y {
			active = append(active, edges[0])
			edges = edges[1:]
		}
		crossings = crossings[:0]
		for _, e := range active {
			crossings = append(crossings, e.at(float64(y)+0.5))
		}
		slices.Sort(crossings)
		for i := 0; i+1 < len(crossings); i += 2 {
			if x0, x1 := centre(crossings[i], w), centre(crossings[i+1], w); x0 < x1 {
				span(y, x0, x1)
			}
		}
		active = slices.DeleteFunc(active, func(e edge) bool { return e.end == y+1 })
	}
}

// centre returns the first pixel of n whose centre is at v or beyond.
func centre(v float64, n int) int {
	return int(math.Ceil(min(max(v-0.5, 0), float64(n))))
}
