package augment

import (
	"math"
	"math/rand/v2"

	"microtome/internal/raster"
)

// A Warp says where in the source each place of a square tile comes from: a place is displaced by the
// elastic field, then turned, mirrored, scaled and shifted. In tile and source, pixel (x, y) has its centre
// at (x, y).
type Warp struct {
	size    int
	step    float64       // pixels of the source to one of the tile, elastic field aside
	m       [2][3]float64 // source = m · (x, y, 1)
	elastic *field
}

// The symmetries of the square, as matrices.
var symmetries = [8][2][2]float64{
	{{1, 0}, {0, 1}},
	{{0, -1}, {1, 0}},
	{{-1, 0}, {0, -1}},
	{{0, 1}, {-1, 0}},
	{{-1, 0}, {0, 1}},
	{{0, 1}, {1, 0}},
	{{1, 0}, {0, -1}},
	{{0, -1}, {-1, 0}},
}

// Warp draws the geometry of one tile of size × size pixels over a source of w × h. Base is how many
// pixels of the source make one of the tile at a magnification of 1: the tile's mpp / the source's mpp.
func (c Config) Warp(r *rand.Rand, w, h, size int, base float64) Warp {
	// The tile's corner is at a whole pixel, so that what needs no interpolation gets none.
	edge := float64(size) * base
	x, y := math.Floor((float64(w)-edge)/2), math.Floor((float64(h)-edge)/2)
	if c.Shift {
		x, y = math.Ceil(centre(r, w, edge)-edge/2), math.Ceil(centre(r, h, edge)-edge/2)
	}
	x, y = x+(edge-1)/2, y+(edge-1)/2

	m := symmetries[0]
	if c.Flip {
		m = symmetries[r.IntN(len(symmetries))]
	}
	if c.Rotate {
		s, k := math.Sincos(2 * math.Pi * r.Float64())
		m = [2][2]float64{
			{k*m[0][0] - s*m[1][0], k*m[0][1] - s*m[1][1]},
			{s*m[0][0] + k*m[1][0], s*m[0][1] + k*m[1][1]},
		}
	}
	step := base
	if c.ScaleMin != 1 || c.ScaleMax != 1 {
		step /= logUniform(r, c.ScaleMin, c.ScaleMax)
	}
	elastic := new(field)
	if c.Elastic > 0 {
		elastic = newField(r, size, c.ElasticGrid, c.Elastic)
	}
	half := float64(size-1) / 2
	warp := Warp{size: size, step: step, elastic: elastic}
	for i, centre := range [2]float64{x, y} {
		a, b := step*m[i][0], step*m[i][1]
		warp.m[i] = [3]float64{a, b, centre - a*half - b*half}
	}
	return warp
}

// centre draws the centre of a tile on an axis of n pixels, not so near the border that much of the tile would be mirrored.
func centre(r *rand.Rand, n int, edge float64) float64 {
	margin := int(0.375 * min(edge, float64(n)))
	return float64(margin + r.IntN(n-2*margin))
}

// logUniform draws a number from lo to hi whose logarithm is uniform.
func logUniform(r *rand.Rand, lo, hi float64) float64 {
	return lo * math.Pow(hi/lo, r.Float64())
}

// At returns the place in the source that the tile shows at (x, y). It may lie outside the source, which
// is then mirrored.
func (w Warp) At(x, y float64) (sx, sy float64) {
	l := w.elastic.line(y)
	return w.at(&l, &column{x, w.elastic.weights(x)}, y)
}

func (w *Warp) at(l *line, c *column, y float64) (sx, sy float64) {
	dx, dy := l.at(&c.nodes, w.elastic.n)
	x := c.x + dx
	y += dy
	return w.m[0][0]*x + w.m[0][1]*y + w.m[0][2], w.m[1][0]*x + w.m[1][1]*y + w.m[1][2]
}

// Labels returns the tile's labels: each pixel has the number of the pixel of the source nearest to its
// place. An instance may come out in several pieces: cut by the warp, or as its own mirror image beyond the
// border of the source. Pieces that do not touch are then one number and several objects.
func (w Warp) Labels(src raster.Labels) raster.Labels { return w.labels(src, 0) }

// labels is Labels, with a number for what lies beyond the border of the source, unless that is 0.
func (w *Warp) labels(src raster.Labels, beyond uint32) raster.Labels {
	out := raster.NewLabels(w.size, w.size)
	columns := w.columns(nil, 1)
	for y := range w.size {
		l := w.elastic.line(float64(y))
		row := out.Pix[y*w.size:][:w.size]
		for x := range row {
			sx, sy := w.at(&l, &columns[x], float64(y))
			px, py := int(math.Floor(sx+0.5)), int(math.Floor(sy+0.5))
			if beyond != 0 && (px < 0 || py < 0 || px >= src.W || py >= src.H) {
				row[x] = beyond
				continue
			}
			row[x] = src.At(mirror(px, src.W), mirror(py, src.H))
		}
	}
	return out
}

// A column is a column of places in the tile, with the weights of the elastic field's nodes there.
type column struct {
	x     float64
	nodes weights
}

// columns returns the columns of the tile, n a pixel, in the memory of scratch if it suffices.
func (w *Warp) columns(scratch []column, n int) []column {
	scratch = scratch[:0]
	for i := range w.size * n {
		x := place(i, n)
		scratch = append(scratch, column{x, w.elastic.weights(x)})
	}
	return scratch
}

// place returns where the i-th place of an axis is that has n places a pixel, spread evenly.
func place(i, n int) float64 {
	if n == 1 {
		return float64(i)
	}
	return (float64(i)+0.5)/float64(n) - 0.5
}
