package augment

import (
	"math"
	"math/rand/v2"
)

// A field is a smooth field of displacements over a tile: vectors at n × n nodes, the outermost of which are
// the tile's corner pixels, interpolated by Catmull-Rom splines along rows and columns. The splines go through
// the vectors at the nodes, so these keep the standard deviation they were drawn with (cubic B-splines would
// shrink it); half-way between two nodes it is 0.8 of that. The grid is continued in a straight line beyond
// its edge. n is 0 in a field that displaces nothing.
type field struct {
	n      int
	step   float64                   // pixels of the tile between nodes
	dx, dy [maxGrid][maxGrid]float64 // [row][column]
}

// newField draws the displacements, in pixels, for a tile of size × size.
func newField(r *rand.Rand, size, n int, sigma float64) *field {
	f := &field{n: n, step: float64(max(size-1, 1)) / float64(n-1)}
	for j := range n {
		for i := range n {
			f.dx[j][i] = sigma * r.NormFloat64()
			f.dy[j][i] = sigma * r.NormFloat64()
		}
	}
	return f
}

// weights are those of the nodes of a row or column at one place in it.
type weights [maxGrid]float64

func (f *field) weights(x float64) (w weights) {
	if f.n == 0 {
		return w
	}
	p := x / f.step
	i := min(max(int(math.Floor(p)), 0), f.n-2)
	for k, v := range catmullRom(p - float64(i)) {
		switch node := i + k - 1; node {
		case -1:
			w[0] += 2 * v
			w[1] -= v
		case f.n:
			w[f.n-1] += 2 * v
			w[f.n-2] -= v
		default:
			w[node] += v
		}
	}
	return w
}

// A line is the field along one row of pixels: displacements at its n columns.
type line struct{ dx, dy [maxGrid]float64 }

func (f *field) line(y float64) (l line) {
	w := f.weights(y)
	for i := range f.n {
		for j := range f.n {
			l.dx[i] += w[j] * f.dx[j][i]
			l.dy[i] += w[j] * f.dy[j][i]
		}
	}
	return l
}

// at returns the displacement at the place in the line that the weights stand for.
func (l *line) at(w *weights, n int) (dx, dy float64) {
	for i, v := range w[:n] {
		dx += v * l.dx[i]
		dy += v * l.dy[i]
	}
	return dx, dy
}

// catmullRom returns the weights of the values at -1, 0, 1 and 2 at a place t in [0, 1].
func catmullRom(t float64) [4]float64 {
	return [4]float64{
		t * (-1 + t*(2-t)) / 2,
		1 + t*t*(-5+3*t)/2,
		t * (1 + t*(4-3*t)) / 2,
		t * t * (t - 1) / 2,
	}
}
