package tissue

import "microtome/internal/raster"

// black is the lightest that the strongest channel of black is: what a scanner fills in, through JPEG.
const black = 16

func blackPlane(m raster.RGB) plane {
	p := newPlane(m.W, m.H)
	for i := range p.on {
		c := m.Pix[3*i:][:3]
		p.on[i] = max(c[0], c[1], c[2]) <= black
	}
	return p
}

// lit tells bright field from dark field. A slide in bright field is light where it was scanned; what was
// not can be black and larger than that, but has straight edges. In doubt it is dark field, where all that
// is light counts as tissue: nothing is lost.
func lit(light []byte, black plane) Field {
	var counts [256]int
	n, dim := 0, 0
	for i, v := range light {
		if v < 80 {
			dim++
		}
		if !black.on[i] {
			counts[v]++
			n++
		}
	}
	if n == 0 {
		return Dark
	}
	if median := quantile(&counts, 0.5); median < 100 {
		return Dark
	}
	if 2*dim < len(light) || black.straight(straightRun) >= 0.6 {
		return Bright
	}
	return Dark
}

// straightRun is how many cells in a row make an edge straight.
const straightRun = 12

// unscanned leaves on those black cells that the scanner has filled in: in large parts that reach the
// edge of the slide or are rectangles. In dark field black can be the ground, so there it is asked for
// straight edges.
func unscanned(black plane, dark bool) {
	if dark && black.straight(straightRun) < 0.6 {
		clear(black.on)
		return
	}
	l, area := black.areas(raster.Eight)
	type box struct{ x0, y0, x1, y1 int }
	boxes := make([]box, len(area))
	for k := range boxes {
		boxes[k] = box{black.w, black.h, 0, 0}
	}
	edge := make([]bool, len(area))
	black.border(func(i int) { edge[l.Pix[i]] = true })
	for y := range black.h {
		for x := range black.w {
			b := &boxes[l.Pix[y*black.w+x]]
			b.x0, b.y0, b.x1, b.y1 = min(b.x0, x), min(b.y0, y), max(b.x1, x+1), max(b.y1, y+1)
		}
	}
	filled := make([]bool, len(area))
	for k := 1; k < len(area); k++ {
		b := boxes[k]
		w, h := b.x1-b.x0, b.y1-b.y0
		rectangle := min(w, h) >= 8 && float64(area[k]) >= 0.85*float64(w*h)
		filled[k] = area[k] >= 64 && (edge[k] || rectangle)
	}
	for i, v := range l.Pix {
		black.on[i] = filled[v]
	}
}

// quantile returns the value below or at which a share q of the counted lie.
func quantile(counts *[256]int, q float64) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	sum := 0
	for v, c := range counts {
		if sum += c; sum > 0 && float64(sum) >= q*float64(n) {
			return v
		}
	}
	return 0
}

// peak returns the most frequent value from lo to hi, counts of neighbours added.
func peak(counts *[256]int, lo, hi int) int {
	best, at := -1, lo
	for v := lo; v <= hi; v++ {
		if c := counts[max(v-1, 0)] + 2*counts[v] + counts[min(v+1, 255)]; c > best {
			best, at = c, v
		}
	}
	return at
}

// total counts all.
func total(counts *[256]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
