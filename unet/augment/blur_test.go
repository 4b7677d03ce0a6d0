package augment

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// TestBlurIsItsFormula compares with the sum over a square, written out.
func TestBlurIsItsFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 12).Draw(t, "w"), rapid.IntRange(1, 12).Draw(t, "h")
		sigma := rapid.Float64Range(0, 3).Draw(t, "sigma")
		r := seeded(rapid.Uint64().Draw(t, "seed"))
		in := make([]float32, w*h)
		for i := range in {
			in[i] = 255 * r.Float32()
		}
		got := append([]float32(nil), in...)
		blur(got, make([]float32, w*h), w, h, sigma)
		k := gaussian(sigma)
		for y := range h {
			for x := range w {
				var want float64
				for j, wy := range k {
					for i, wx := range k {
						sx, sy := raster.Reflect(x+i-len(k)/2, w), raster.Reflect(y+j-len(k)/2, h)
						want += float64(wx) * float64(wy) * float64(in[sy*w+sx])
					}
				}
				if math.Abs(float64(got[y*w+x])-want) > 1e-3 {
					t.Fatalf("(%d, %d) is %g, want %g", x, y, got[y*w+x], want)
				}
			}
		}
	})
}

// TestGaussian: weights add up to 1, and spread by sigma.
func TestGaussian(t *testing.T) {
	for _, sigma := range []float64{0, 0.1, 0.5, 0.7, 1, 2.2, 10} {
		k := gaussian(sigma)
		var sum, variance float64
		for i, v := range k {
			d := float64(i - len(k)/2)
			sum += float64(v)
			variance += d * d * float64(v)
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Errorf("sigma %g: weights add up to %g", sigma, sum)
		}
		if sigma >= 0.7 && math.Abs(math.Sqrt(variance)-sigma) > 0.03*sigma {
			t.Errorf("sigma %g: spread %g", sigma, math.Sqrt(variance))
		}
	}
}
