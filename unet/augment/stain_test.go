package augment

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// restained returns the picture after a change of its densities.
func (d *densities) restained(src raster.RGB) raster.RGB {
	s := new(Sampler)
	out := raster.RGB{W: src.W, H: src.H, Pix: append([]byte(nil), src.Pix...)}
	s.recolour(out, look{stained: true, stain: *d, brightness: 1, contrast: 1, gamma: 1}, nil)
	return out
}

// TestNoStainIsIdentity: colours that are taken apart and put together again are what they were, to one
// grey level.
func TestNoStainIsIdentity(t *testing.T) {
	d := None().densities(seeded(1))
	src, _ := noise(seeded(2), 256, 256)
	if got := d.restained(src); apart(got.Pix, src.Pix, 1) >= 0 {
		i := apart(got.Pix, src.Pix, 1)
		t.Errorf("byte %d was %d, is %d", i, src.Pix[i], got.Pix[i])
	}
}

// TestRestainingIsItsFormula compares with intensities computed in floats.
func TestRestainingIsItsFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		d := NewDefaultConfig().densities(seeded(seed))
		src, _ := noise(seeded(seed), 8, 8)
		got := d.restained(src)
		for i, v := range got.Pix {
			p, m := src.Pix[i-i%3:], d[i%3]
			want := raster.Intensity(m[0]*raster.Density(p[0]) + m[1]*raster.Density(p[1]) + m[2]*raster.Density(p[2]) + m[3])
			if want = min(max(want, 0), 255); math.Abs(float64(v)-want) > 0.52 {
				t.Fatalf("byte %d is %d, want %.2f", i, v, want)
			}
		}
	})
}

// TestStainScalesAmounts: without turns and mixing, a change of stains is a factor and a shift of each
// stain's amount, within their bounds.
func TestStainScalesAmounts(t *testing.T) {
	he := raster.HaematoxylinEosin()
	deconvolution := he.Deconvolution()
	amounts := func(density [3]float64) (a [3]float64) {
		for s := range a {
			for c := range density {
				a[s] += deconvolution[s][c] * density[c]
			}
		}
		return a
	}
	rapid.Check(t, func(t *rapid.T) {
		c := None()
		c.Stain = rapid.Float64Range(0, 1).Draw(t, "stain")
		d := c.densities(seeded(rapid.Uint64().Draw(t, "seed")))
		stained := func(a [3]float64) [3]float64 {
			density := he.Mix(a)
			var out [3]float64
			for ch := range out {
				out[ch] = d[ch][0]*density[0] + d[ch][1]*density[1] + d[ch][2]*density[2] + d[ch][3]
			}
			return amounts(out)
		}
		shift := stained([3]float64{})
		for s := range 3 {
			if math.Abs(shift[s]) > c.Stain/10+1e-9 {
				t.Fatalf("stain %d is shifted by %g", s, shift[s])
			}
			var unit [3]float64
			unit[s] = 1
			for other, v := range stained(unit) {
				v -= shift[other]
				if other != s && math.Abs(v) > 1e-9 {
					t.Fatalf("stain %d shows in stain %d: %g", s, other, v)
				}
				if other == s && (v < 1/(1+c.Stain)-1e-9 || v > 1+c.Stain+1e-9) {
					t.Fatalf("stain %d is scaled by %g", s, v)
				}
			}
		}
	})
}

// TestGlassStaysWhite: other stains and mixed channels colour what is stained, not the light.
func TestGlassStaysWhite(t *testing.T) {
	c := None()
	c.StainTurn, c.ChannelMix = 20, 0.5
	for seed := range uint64(50) {
		d := c.densities(seeded(seed))
		for i, v := range d.restained(plain(1, 1, [3]byte{255, 255, 255})).Pix {
			if v != 255 {
				t.Errorf("seed %d: channel %d of white is %d", seed, i, v)
			}
		}
	}
}

// TestChannelMixKeepsGreys: equal densities stay equal, and other colours do not stay what they are.
func TestChannelMixKeepsGreys(t *testing.T) {
	c := None()
	c.ChannelMix = 0.5
	d := c.densities(seeded(1))
	for ch, row := range d {
		if sum := row[0] + row[1] + row[2]; math.Abs(sum-1) > 1e-9 || row[3] != 0 {
			t.Errorf("channel %d: %v adds up to %g", ch, row, sum)
		}
		if math.Abs(row[ch]-1) < 0.001 {
			t.Errorf("channel %d is not mixed: %v", ch, row)
		}
	}
}

// TestTurnStaysWithinItsAngle, and reaches most of it.
func TestTurnStaysWithinItsAngle(t *testing.T) {
	h, r := raster.HaematoxylinEosin()[0], seeded(1)
	var largest float64
	for range 1000 {
		v := turn(r, h, 15)
		dot := v[0]*h[0] + v[1]*h[1] + v[2]*h[2]
		largest = max(largest, math.Acos(min(dot, 1))*180/math.Pi)
	}
	if largest < 14 || largest > 15.001 {
		t.Errorf("the largest of 1000 turns by up to 15° is %.2f°", largest)
	}
}
