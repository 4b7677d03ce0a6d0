package target

import (
	"math"
	"math/rand/v2"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// drawLabels draws discs, some of a pixel or two, laid over each other: whole, sickle-shaped, in parts.
// Numbers are sparse.
func drawLabels(t *rapid.T, most int) raster.Labels {
	l := raster.NewLabels(rapid.IntRange(0, most).Draw(t, "w"), rapid.IntRange(0, most).Draw(t, "h"))
	if len(l.Pix) == 0 {
		return l
	}
	number := rapid.SampledFrom([]uint32{0, 1, 2, 3, 4, 5, 9, 1 << 16, 1<<31 + 5, math.MaxUint32})
	for range rapid.IntRange(0, 14).Draw(t, "discs") {
		x, y := rapid.IntRange(0, l.W-1).Draw(t, "x"), rapid.IntRange(0, l.H-1).Draw(t, "y")
		disc(l, x, y, rapid.Float64Range(0, 6).Draw(t, "radius"), number.Draw(t, "number"), true)
	}
	return l
}

// disc paints an instance, over others or beside them.
func disc(l raster.Labels, x, y int, radius float64, number uint32, over bool) {
	r := int(radius)
	for j := max(y-r, 0); j <= min(y+r, l.H-1); j++ {
		for i := max(x-r, 0); i <= min(x+r, l.W-1); i++ {
			if math.Hypot(float64(i-x), float64(j-y)) <= radius && (over || l.At(i, j) == 0) {
				l.Pix[j*l.W+i] = number
			}
		}
	}
}

// tissue returns n nuclei of radius 7 to 15 on a square of the given edge, many of which touch.
func tissue(edge, n int) raster.Labels {
	rnd := rand.New(rand.NewPCG(1, 2))
	l := raster.NewLabels(edge, edge)
	for i := range n {
		disc(l, rnd.IntN(edge), rnd.IntN(edge), 7+8*rnd.Float64(), uint32(i+1), false)
	}
	return l
}
