package raster

import (
	"math"
	"math/bits"
	"slices"
)

// A Distance measures how far pixels are from instances. Its zero value is ready; it keeps its buffers, 20
// bytes a pixel, from one image to the next. It is for one goroutine at a time.
//
// The transform is exact. It works in squared distances, which are integers, and in the two passes of
// Felzenszwalb and Huttenlocher (Distance Transforms of Sampled Functions, 2012): along columns, then along
// rows by the lower envelope of parabolas.
//
// For the second nearest instance, a column hands on its two nearest at each row. Two are enough: were the
// second nearest instance of a pixel only third in the column where it is closest, then one of the two
// before it would not be the nearest, and be as near at least. Along a row, the second nearest is the lowest
// parabola of all instances but the nearest, and which one that is changes along the row. So the instances
// that are nearest somewhere in the row get codes, and the others share code 0. Two codes differ in some
// bit: the lowest parabola of other instances is found among those that have the opposite bit, in one of
// two envelopes for each bit. Time is linear in the pixels, times the logarithm of the number of instances
// that are the nearest somewhere in a row.
type Distance struct {
	number []uint32    // the instances, 1 … n
	above  []verticals // of every pixel
	below  []verticals // of the row at hand
	code   []uint32    // of every instance, for the row at hand
	coded  []uint32    // instances whose code is not 0

	// Of the row at hand:
	a, b   []parabola // of the nearest and second nearest instance of each column, where there is one
	spans  []span
	q1, q2 []int // squared distances
	first  envelope
	second [2]envelope
}

// A span is the columns [from, to) to which one instance is the nearest.
type span struct {
	from, to int
	instance uint32
}

// verticals are the two nearest instances on one side of a pixel, in its column: instance a with its pixel
// in row ya, and b, another one and farther, with yb; 0 is none.
type verticals struct {
	a, b   uint32
	ya, yb int32
}

const (
	nowhere = 1 << 30       // the row of a pixel that is not there
	far     = math.MaxInt64 // a squared distance to nothing
)

// Nearest2 writes, for each pixel of l, the distance in pixels to the nearest instance and to the nearest of
// the other instances. The distance to an instance is that from the pixel's
// centre to the closest centre of a pixel of the instance: 0 inside. Where there is no such instance it is
// +Inf. d1 and d2 hold l.W × l.H values; sides may be up to 2^20 pixels long.
func (d *Distance) Nearest2(l Labels, d1, d2 []float32) {
	d.columns(l)
	for y := l.H - 1; y >= 0; y-- {
		d.row(l.W, y)
		for x, q := range d.q1 {
			d1[y*l.W+x] = root(q)
		}
		for x, q := range d.q2 {
			d2[y*l.W+x] = root(q)
		}
	}
}

func root(q int) float32 {
	if q == far {
		return float32(math.Inf(1))
	}
	return float32(math.Sqrt(float64(q)))
}

// columns numbers the instances, goes down the columns and makes ready for going up them, row by row.
func (d *Distance) columns(l Labels) {
	d.number = slices.Grow(d.number[:0], len(l.Pix))[:len(l.Pix)]
	n := len(l.Number(d.number))
	d.code = slices.Grow(d.code[:0], n)[:n]
	clear(d.code)
	d.coded = d.coded[:0]
	d.above, d.below = slices.Grow(d.above[:0], len(l.Pix))[:len(l.Pix)], slices.Grow(d.below[:0], l.W)[:l.W]
	d.q1, d.q2 = slices.Grow(d.q1[:0], l.W)[:l.W], slices.Grow(d.q2[:0], l.W)[:l.W]

	for x := range d.below {
		d.below[x] = verticals{ya: -nowhere, yb: -nowhere}
	}
	last := d.below
	for y := range l.H {
		row := d.above[y*l.W : (y+1)*l.W]
		for x, n := range d.number[y*l.W : (y+1)*l.W] {
			row[x] = last[x].with(n, y)
		}
		last = row
	}
	for x := range d.below {
		d.below[x] = verticals{ya: nowhere, yb: nowhere}
	}
}

// with returns v after a step to a pixel of instance n in row y.
func (v verticals) with(n uint32, y int) verticals {
	if n == 0 {
		return v
	}
	if n != v.a {
		v.b, v.yb = v.a, v.ya
	}
	v.a, v.ya = n, int32(y)
	return v
}

// both returns the two nearest instances in the whole column, with their distances from row y in place of
// rows.
func both(up, down verticals, y int32) verticals {
	up.ya, up.yb, down.ya, down.yb = y-up.ya, y-up.yb, down.ya-y, down.yb-y
	if down.ya < up.ya {
		up, down = down, up
	}
	if down.a == up.a {
		down.a, down.ya = down.b, down.yb
	}
	if down.ya < up.yb {
		up.b, up.yb = down.a, down.ya
	}
	return up
}

// row fills q1 and q2 for row y; rows are asked for from the last to the first.
func (d *Distance) row(w, y int) {
	above, numbers := d.above[y*w:(y+1)*w], d.number[y*w:(y+1)*w]
	d.a, d.b = d.a[:0], d.b[:0]
	d.first.reset()
	for x := range d.below {
		d.below[x] = d.below[x].with(numbers[x], y)
		v := both(above[x], d.below[x], int32(y))
		if v.a != 0 {
			d.a = append(d.a, newParabola(x, v.ya, v.a))
			d.b = append(d.b, newParabola(x, v.yb, v.b))
			d.first.add(d.a[len(d.a)-1])
		}
	}
	for x := range w {
		d.q1[x], d.q2[x] = far, far
	}
	d.first.lower(d.q1, 0)
	d.spans = d.first.spans(d.spans[:0], w)

	for _, n := range d.coded {
		d.code[n] = 0
	}
	d.coded = d.coded[:0]
	for _, s := range d.spans {
		if d.code[s.instance] == 0 {
			d.coded = append(d.coded, s.instance)
			d.code[s.instance] = uint32(len(d.coded))
		}
	}
	for i := range d.a {
		a, b := &d.a[i], &d.b[i]
		a.of = d.code[a.of]
		if b.of == 0 {
			b.of = a.of // no bit tells it from a: it is never added
		} else {
			b.of = d.code[b.of]
		}
	}
	for bit := range bits.Len(uint(len(d.coded))) {
		d.second[0].reset()
		d.second[1].reset()
		for i, a := range d.a {
			b := d.b[i]
			d.second[a.of>>bit&1].add(a)
			if (a.of^b.of)>>bit&1 == 1 {
				d.second[b.of>>bit&1].add(b)
			}
		}
		for _, s := range d.spans {
			d.second[1-d.code[s.instance]>>bit&1].lower(d.q2[s.from:s.to], s.from)
		}
	}
}

// A parabola is the squared distance, along a row, to a pixel of an instance in another row: at column c it
// is v + c² - 2·c·x, where x is the pixel's column, and v is x² plus the square of the distance between the
// rows.
type parabola struct {
	v  int
	x  int32
	of uint32 // the instance, or its code
}

func newParabola(x int, dy int32, instance uint32) parabola {
	return parabola{x*x + int(dy)*int(dy), int32(x), instance}
}

// An envelope is the minimum of parabolas. Those that are the lowest somewhere are the lower convex hull of
// the points (x, v), which takes no division.
type envelope struct {
	p []parabola
	k int // the lowest one where it was last asked for
}

func (e *envelope) reset() { e.p, e.k = e.p[:0], 0 }

// add takes a parabola to the right of those before. All are added before the minimum is asked for.
func (e *envelope) add(q parabola) {
	n := len(e.p)
	for ; n > 1; n-- {
		a, b := e.p[n-2], e.p[n-1]
		if (b.v-a.v)*int(q.x-b.x) < (q.v-b.v)*int(b.x-a.x) {
			break // b is lower than both between them
		}
	}
	e.p = append(e.p[:n], q)
}

// lower puts the minimum into q where it is smaller than what stands there; q begins at column c. Columns
// are asked for from left to right.
func (e *envelope) lower(q []int, c int) {
	if len(e.p) == 0 {
		return
	}
	rest := e.p[e.k:]
	for i := range q {
		v := rest[0].v - 2*c*int(rest[0].x)
		for len(rest) > 1 {
			next := rest[1].v - 2*c*int(rest[1].x)
			if next > v {
				break
			}
			v, rest = next, rest[1:]
		}
		q[i] = min(q[i], v+c*c)
		c++
	}
	e.k = len(e.p) - len(rest)
}

// spans appends, for a row of w columns, who has the minimum where.
func (e *envelope) spans(spans []span, w int) []span {
	for k, from := 0, 0; k < len(e.p) && from < w; k++ {
		a, to := e.p[k], w
		if k+1 < len(e.p) {
			// The next one is as low from the column at which 2·c·(x' - x) reaches v' - v.
			b := e.p[k+1]
			to = min(w, (b.v-a.v+2*int(b.x-a.x)-1)/(2*int(b.x-a.x)))
		}
		if to <= from {
			continue
		}
		if n := len(spans); n > 0 && spans[n-1].instance == a.of {
			spans[n-1].to = to
		} else {
			spans = append(spans, span{from, to, a.of})
		}
		from = to
	}
	return spans
}
