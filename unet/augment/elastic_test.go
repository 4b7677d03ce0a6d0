package augment

import (
	"math"
	"testing"
)

// TestDisplacementsHaveTheirSigma measures, at corners, edge middles and centre of the tile, by how much
// each is displaced: 10 pixels in the standard deviation of each component, to 3 %, and 0 in the mean.
func TestDisplacementsHaveTheirSigma(t *testing.T) {
	const edge, draws = 257, 4000
	c := None()
	c.Elastic = 10
	r := seeded(1)
	var sum, squares [3][3][2]float64
	for range draws {
		w := c.Warp(r, edge, edge, edge, 1)
		for j := range 3 {
			for i := range 3 {
				x, y := float64(i*(edge-1)/2), float64(j*(edge-1)/2)
				sx, sy := w.At(x, y)
				for k, d := range [2]float64{sx - x, sy - y} {
					sum[j][i][k] += d
					squares[j][i][k] += d * d
				}
			}
		}
	}
	var all float64
	for j := range 3 {
		for i := range 3 {
			for k := range 2 {
				mean, sigma := sum[j][i][k]/draws, math.Sqrt(squares[j][i][k]/draws)
				if math.Abs(mean) > 0.6 || math.Abs(sigma-10) > 0.5 { // about 4 standard errors
					t.Errorf("node (%d, %d), component %d: mean %.2f, standard deviation %.2f", i, j, k, mean, sigma)
				}
				all += squares[j][i][k]
			}
		}
	}
	sigma := math.Sqrt(all / (18 * draws))
	t.Logf("standard deviation %.3f", sigma)
	if math.Abs(sigma-10) > 0.3 {
		t.Errorf("standard deviation %.3f, want 10 to 3 %%", sigma)
	}
}

// TestFieldIsSmooth: neither the field nor its slope jumps, at nodes or anywhere.
func TestFieldIsSmooth(t *testing.T) {
	const edge = 65
	for _, n := range []int{2, 3, 5, 8} {
		f := newField(seeded(1), edge, n, 10)
		at := func(x, y float64) float64 {
			l, w := f.line(y), f.weights(x)
			dx, _ := l.at(&w, n)
			return dx
		}
		const h = 0.01
		for x := 1.0; x < edge-1; x += 0.25 {
			for _, v := range [][3]float64{
				{at(x-h, 7), at(x, 7), at(x+h, 7)},
				{at(7, x-h), at(7, x), at(7, x+h)},
			} {
				if bend := math.Abs(v[0]-2*v[1]+v[2]) / h; bend > 0.1 {
					t.Errorf("grid %d: the slope jumps by %.2f at %g", n, bend, x)
				}
			}
		}
	}
}

// TestStraightFieldStaysStraight: splines through vectors on a plane give the plane, to the edge and beyond.
func TestStraightFieldStaysStraight(t *testing.T) {
	f := newField(seeded(1), 31, 4, 1) // nodes 10 pixels apart
	for j := range 4 {
		for i := range 4 {
			f.dx[j][i], f.dy[j][i] = float64(10*i), float64(20*j-10*i)
		}
	}
	for _, y := range []float64{-0.4, 0, 3.3, 15, 30, 30.4} {
		for _, x := range []float64{-0.4, 0, 7.7, 10, 29, 30.4} {
			l, w := f.line(y), f.weights(x)
			if dx, dy := l.at(&w, 4); math.Abs(dx-x) > 1e-9 || math.Abs(dy-(2*y-x)) > 1e-9 {
				t.Errorf("(%g, %g) is displaced by (%g, %g)", x, y, dx, dy)
			}
		}
	}
}
