package tissue

import (
	"math"

	"microtome/internal/raster"
)

// A plane says yes or no for each cell, row by row.
type plane struct {
	w, h int
	on   []bool
}

func newPlane(w, h int) plane { return plane{w, h, make([]bool, w*h)} }

func (p plane) row(y int) []bool { return p.on[y*p.w : (y+1)*p.w] }

func (p plane) clone() plane { return plane{p.w, p.h, append([]bool(nil), p.on...)} }

func (p plane) count() (n int) {
	for _, on := range p.on {
		if on {
			n++
		}
	}
	return n
}

// grow adds all cells of which any point is nearer than r cells to a cell that is on.
func (p plane) grow(r float64) {
	if r <= 0 {
		return
	}
	was := p.clone()
	for dy := range int(math.Ceil(r)) + 1 {
		apart := float64(max(dy-1, 0)) // of the rows
		if apart >= r {
			break
		}
		dx := int(math.Ceil(math.Sqrt(r*r - apart*apart)))
		for y := range p.h {
			if y >= dy {
				spread(p.row(y), was.row(y-dy), dx)
			}
			if y+dy < p.h && dy > 0 {
				spread(p.row(y), was.row(y+dy), dx)
			}
		}
	}
}

// spread turns on in dst what is at most r columns from what is on in src.
func spread(dst, src []bool, r int) {
	done := 0 // columns before are on where they shall be
	for i, on := range src {
		if on {
			end := min(i+r+1, len(dst))
			for k := max(done, i-r); k < end; k++ {
				dst[k] = true
			}
			done = end
		}
	}
}

// areas returns the connected components, and how many cells each has; numbers begin at 1.
func (p plane) areas(c raster.Connectivity) (raster.Labels, []int) {
	l, n := raster.Components(p.on, p.w, p.h, c)
	area := make([]int, n+1)
	for _, v := range l.Pix {
		area[v]++
	}
	return l, area
}

// dropSpecks drops components of fewer cells than least.
func (p plane) dropSpecks(least float64) {
	l, area := p.areas(raster.Eight)
	for i, v := range l.Pix {
		p.on[i] = v != 0 && float64(area[v]) >= least
	}
}

// fillHoles fills what is off, surrounded and not larger than most cells. What reaches the edge of the slide
// is not surrounded.
func (p plane) fillHoles(most float64) {
	off := newPlane(p.w, p.h)
	for i, on := range p.on {
		off.on[i] = !on
	}
	l, area := off.areas(raster.Four)
	open := make([]bool, len(area))
	p.border(func(i int) { open[l.Pix[i]] = true })
	for i, v := range l.Pix {
		if v != 0 && !open[v] && float64(area[v]) <= most {
			p.on[i] = true
		}
	}
}

// border calls f for the cells along the edges of the slide.
func (p plane) border(f func(i int)) {
	for x := range p.w {
		f(x)
		f((p.h-1)*p.w + x)
	}
	for y := range p.h {
		f(y * p.w)
		f(y*p.w + p.w - 1)
	}
}

// straight returns which share of the edge between what is on and what is off runs, in rows or columns,
// straight for long. Edges that a scanner makes do; those of tissue do not.
func (p plane) straight(long int) float64 {
	var all, kept int
	line := func(n int, differs func(i int) int) {
		run, last := 0, 0
		for i := 0; i <= n; i++ {
			d := 0
			if i < n {
				d = differs(i)
			}
			if d == last && d != 0 {
				run++
				continue
			}
			if all += run; run >= long {
				kept += run
			}
			run, last = 0, d
			if d != 0 {
				run = 1
			}
		}
	}
	side := func(a, b bool) int {
		switch {
		case a == b:
			return 0
		case a:
			return 1
		}
		return -1
	}
	for y := 1; y < p.h; y++ {
		a, b := p.row(y-1), p.row(y)
		line(p.w, func(x int) int { return side(a[x], b[x]) })
	}
	for x := 1; x < p.w; x++ {
		line(p.h, func(y int) int { return side(p.on[y*p.w+x-1], p.on[y*p.w+x]) })
	}
	if all == 0 {
		return 0
	}
	return float64(kept) / float64(all)
}
