package augment

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

func plain(w, h int, colour [3]byte) raster.RGB {
	m := raster.NewRGB(w, h)
	for i := range m.Pix {
		m.Pix[i] = colour[i%3]
	}
	return m
}

// TestGreyStaysGrey: a picture without colours does not get any, whatever the seed.
func TestGreyStaysGrey(t *testing.T) {
	r := seeded(1)
	src := raster.NewRGB(60, 50)
	for i := 0; i < len(src.Pix); i += 3 {
		v := byte(r.Uint32())
		src.Pix[i], src.Pix[i+1], src.Pix[i+2] = v, v, v
	}
	s := Sampler{Config: NewDefaultConfig()}
	for range 20 {
		img, _ := s.Sample(r, src, raster.NewLabels(60, 50), 32, 1)
		for i := 0; i < len(img.Pix); i += 3 {
			if img.Pix[i] != img.Pix[i+1] || img.Pix[i] != img.Pix[i+2] {
				t.Fatalf("pixel %d is %v", i/3, img.Pix[i:i+3])
			}
		}
	}
}

func TestIsGrey(t *testing.T) {
	section := plain(300, 200, [3]byte{240, 238, 240}) // a few nuclei on glass
	for y := range 20 {
		for x := range 100 {
			copy(section.At(x, y), []byte{110, 60, 150})
		}
	}
	jpeg := plain(300, 200, [3]byte{120, 128, 118})
	for name, c := range map[string]struct {
		src  raster.RGB
		want bool
	}{
		"section": {section, false},
		"jpeg":    {jpeg, true},
		"white":   {plain(1, 1, [3]byte{255, 255, 255}), true},
		"pink":    {plain(1, 1, [3]byte{250, 180, 220}), false},
		"thin":    {plain(3, 20000, [3]byte{250, 180, 220}), false},
		"wide":    {plain(20000, 1, [3]byte{9, 9, 9}), true},
	} {
		if got := IsGrey(c.src); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestGreyIsAProbability counts the tiles of a coloured source that keep their colours.
func TestGreyIsAProbability(t *testing.T) {
	c, r := NewDefaultConfig(), seeded(1)
	for _, p := range []float64{0, 0.25, 1} {
		c.Grey = p
		var kept int
		for range 4000 {
			if l := c.look(r, false); !l.stained {
				kept++
			}
		}
		if math.Abs(float64(kept)/4000-p) > 0.03 {
			t.Errorf("probability %g: %d of 4000 tiles kept their colours", p, kept)
		}
	}
}

// TestWeakestLookIsIdentity: at strengths so small that they change nothing, every step of the colours is on
// and all together are off by no more than rounding.
func TestWeakestLookIsIdentity(t *testing.T) {
	src, _ := noise(seeded(1), 64, 64)
	const tiny = 1e-6
	c := None()
	c.Brightness, c.Contrast, c.Gamma, c.Blur, c.Noise = tiny, tiny, tiny, tiny, tiny
	c.Stain, c.StainTurn, c.ChannelMix = tiny, tiny, tiny
	img, _ := c.Sample(seeded(2), src, raster.NewLabels(64, 64), 64, 1)
	if i := apart(img.Pix, src.Pix, 1); i >= 0 {
		t.Errorf("byte %d was %d, is %d", i, src.Pix[i], img.Pix[i])
	}
}

// apart returns the first byte at which a and b are further apart than by limit, or -1.
func apart(a, b []byte, limit int) int {
	for i := range a {
		if d := int(a[i]) - int(b[i]); d > limit || d < -limit {
			return i
		}
	}
	return -1
}

// TestToneIsMonotonic: no grey level passes another, whatever is drawn; at strength 0 each stays.
func TestToneIsMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewDefaultConfig().look(seeded(rapid.Uint64().Draw(t, "seed")), true)
		mean := rapid.Float64Range(0, 255).Draw(t, "mean")
		for v := 1.0; v < 256; v++ {
			if l.tone(v, mean) < l.tone(v-1, mean) {
				t.Fatalf("%+v turns %g and %g round", l, v-1, v)
			}
		}
		none := None().look(seeded(1), true)
		for v := range 256 {
			if got := none.tone(float64(v), mean); math.Abs(got-float64(v)) > 1e-9 {
				t.Fatalf("%d becomes %g", v, got)
			}
		}
	})
}

// TestContrastKeepsTheMean: it moves grey levels away from the tile's mean, also of a dim tile.
func TestContrastKeepsTheMean(t *testing.T) {
	l := look{brightness: 1, contrast: 1.5, gamma: 1}
	for _, want := range [][3]float64{{20, 20, 20}, {10, 20, 5}, {30, 20, 35}} {
		if got := l.tone(want[0], want[1]); got != want[2] {
			t.Errorf("%g around %g becomes %g, want %g", want[0], want[1], got, want[2])
		}
	}
}

func TestNoiseHasItsSigma(t *testing.T) {
	img := plain(200, 200, [3]byte{128, 100, 140})
	new(Sampler).recolour(img, look{brightness: 1, contrast: 1, gamma: 1, noise: 6}, seeded(1))
	var sum, squares [3]float64
	for i, v := range img.Pix {
		d := float64(v) - []float64{128, 100, 140}[i%3]
		sum[i%3] += d
		squares[i%3] += d * d
	}
	for c := range sum {
		if mean, sigma := sum[c]/40000, math.Sqrt(squares[c]/40000); math.Abs(mean) > 0.15 || math.Abs(sigma-6) > 0.15 {
			t.Errorf("channel %d: mean %.3f, standard deviation %.3f", c, mean, sigma)
		}
	}
}

// TestSharpenMakesEdgesSteeper: it makes a slope steeper and leaves flat parts alone.
func TestSharpenMakesEdgesSteeper(t *testing.T) {
	const w, h = 32, 8
	var s Sampler
	for c := range s.planes {
		s.planes[c] = make([]float32, w*h)
		for i := range s.planes[c] {
			s.planes[c][i] = 50 + 100*float32(min(max(i%w-13, 0), 6))/6
		}
	}
	s.sharpen(w, h, 1)
	p := s.planes[1][3*w:][:w]
	if d := p[17] - p[15]; d <= 2*100.0/6 {
		t.Errorf("the slope is %g in two pixels", d)
	}
	if p[4] != 50 || p[28] < 149.9 || p[28] > 150.1 {
		t.Errorf("flat parts became %g and %g", p[4], p[28])
	}
}

// TestCompressIsNearTheOriginal, and not the same.
func TestCompressIsNearTheOriginal(t *testing.T) {
	img := raster.NewRGB(40, 24)
	for i := range img.Pix {
		img.Pix[i] = byte(128 + 60*math.Sin(float64(i)/40))
	}
	was := bytes.Clone(img.Pix)
	var s Sampler
	s.compress(img, 80, -3, -6)
	off, changed := 0, false
	for i, v := range img.Pix {
		d := int(v) - int(was[i])
		off += d * d
		changed = changed || d != 0
	}
	if rms := math.Sqrt(float64(off) / float64(len(was))); rms > 12 || !changed {
		t.Errorf("pixels are %.1f off", rms)
	}
}
