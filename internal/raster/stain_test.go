package raster

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestDensityAndIntensityAreInverse(t *testing.T) {
	for v := range 256 {
		if got := Intensity(Density(byte(v))); math.Abs(got-float64(v)) > 1e-9 {
			t.Errorf("grey level %d comes back as %g", v, got)
		}
	}
	if Density(255) != 0 {
		t.Errorf("white has density %g", Density(255))
	}
}

// Scaled to length 1, the colours are still those that Ruifrok and Johnston print, to two places.
func TestHaematoxylinEosinGolden(t *testing.T) {
	want := Stains{{0.65, 0.70, 0.29}, {0.07, 0.99, 0.11}}
	got := HaematoxylinEosin()
	for s := range 2 {
		for c := range 3 {
			if math.Abs(got[s][c]-want[s][c]) > 0.005 {
				t.Errorf("stain %d, channel %d: %.3f, want %.2f", s, c, got[s][c], want[s][c])
			}
		}
	}
}

func TestStainsAreUnitVectorsTheThirdAtRightAngles(t *testing.T) {
	s := HaematoxylinEosin()
	for i := range s {
		if n := dot(s[i], s[i]); math.Abs(n-1) > 1e-12 {
			t.Errorf("stain %d has squared length %g", i, n)
		}
	}
	if a, b := dot(s[0], s[2]), dot(s[1], s[2]); math.Abs(a) > 1e-12 || math.Abs(b) > 1e-12 {
		t.Errorf("the residual is not at right angles: %g, %g", a, b)
	}
}

func TestDeconvolutionUndoesMix(t *testing.T) {
	component := rapid.Float64Range(0.01, 1)
	rapid.Check(t, func(t *rapid.T) {
		var a, b, amounts [3]float64
		for i := range 3 {
			a[i], b[i] = component.Draw(t, "a"), component.Draw(t, "b")
			amounts[i] = rapid.Float64Range(-1, 3).Draw(t, "amount")
		}
		if c := dot(unit(a), unit(b)); c > 0.999 {
			t.Skip("nearly parallel")
		}
		s := NewStains(a, b)
		d, density := s.Deconvolution(), s.Mix(amounts)
		for i := range amounts {
			if got := dot(d[i], density); math.Abs(got-amounts[i]) > 1e-9 {
				t.Fatalf("stain %d of %v comes back as %g", i, amounts, got)
			}
		}
	})
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
