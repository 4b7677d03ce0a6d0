package augment

import (
	"math"
	"math/rand/v2"

	"microtome/internal/raster"
)

// A look is what happens to the colours of one tile.
type look struct {
	grey                        bool // the source has no colours
	stained                     bool
	stain                       densities
	brightness, contrast, gamma float64
	blur, noise                 float64
	sharpen                     float64
	quality                     int // of JPEG, 0: none
	left, top                   int // of its blocks
}

// look draws what happens to the colours of one tile of a source that is grey or not.
func (c Config) look(r *rand.Rand, grey bool) look {
	l := look{grey: grey}
	if !grey && r.Float64() >= c.Grey && (c.Stain > 0 || c.StainTurn > 0 || c.ChannelMix > 0) {
		l.stained, l.stain = true, c.densities(r)
	}
	l.brightness = logUniform(r, 1/(1+c.Brightness), 1+c.Brightness)
	l.contrast = logUniform(r, 1/(1+c.Contrast), 1+c.Contrast)
	l.gamma = logUniform(r, 1/(1+c.Gamma), 1+c.Gamma)
	l.blur = c.Blur * r.Float64()
	l.noise = c.Noise * r.Float64()
	if c.Sharpen > 0 && r.Float64() < 0.5 {
		l.blur, l.sharpen = 0, c.Sharpen*r.Float64()
	}
	if c.JPEG > 0 && r.Float64() < c.JPEG {
		l.quality, l.left, l.top = 40+r.IntN(56), -r.IntN(8), -r.IntN(8)
	}
	return l
}

// IsGrey reports whether a picture has no colours: less than a hundredth of its pixels have channels that
// differ by more than 16 grey levels. It looks at no more than some 10,000 pixels, spread evenly.
func IsGrey(src raster.RGB) bool {
	step := int(math.Sqrt(float64(src.W)*float64(src.H)/10000)) + 1
	var coloured, n int
	for y := step / 2 % src.H; y < src.H; y += step {
		for x := step / 2 % src.W; x < src.W; x += step {
			p := src.At(x, y)
			if max(p[0], p[1], p[2])-min(p[0], p[1], p[2]) > 16 {
				coloured++
			}
			n++
		}
	}
	return 100*coloured < n
}

// tone returns the grey level that becomes of v, in a tile whose mean is the given one.
func (l *look) tone(v, mean float64) float64 {
	if l.gamma != 1 {
		v = 255 * math.Pow(max(v, 0)/255, l.gamma)
	}
	return l.brightness * (mean + l.contrast*(v-mean))
}

// recolour gives the tile its look: stains, grey levels, blur, noise, in the order in which light meets them.
func (s *Sampler) recolour(img raster.RGB, l look, r *rand.Rand) {
	if l.quality > 0 {
		defer s.compress(img, l.quality, l.left, l.top)
	}
	toned := l.brightness != 1 || l.contrast != 1 || l.gamma != 1
	if !l.stained && !toned && l.blur == 0 && l.sharpen == 0 && l.noise == 0 {
		return
	}
	for c := range s.planes {
		s.planes[c] = grow(s.planes[c], img.W*img.H)
	}
	tone := func(v float64) float64 { return v }
	if toned {
		m := mean(img)
		tone = func(v float64) float64 { return l.tone(v, m) }
	}
	if l.stained {
		l.stain.apply(&s.planes, img, tone)
	} else {
		var table [256]float32
		for v := range table {
			table[v] = float32(tone(float64(v)))
		}
		r, g, b := s.planes[0], s.planes[1], s.planes[2]
		for i := range r {
			p := img.Pix[3*i:][:3:3]
			r[i], g[i], b[i] = table[p[0]], table[p[1]], table[p[2]]
		}
	}
	if l.blur > 0 {
		s.blurred = grow(s.blurred, img.W*img.H)
		for _, p := range s.planes {
			blur(p, s.blurred, img.W, img.H, l.blur)
		}
	}
	if l.sharpen > 0 {
		s.sharpen(img.W, img.H, float32(l.sharpen))
	}
	if l.noise > 0 {
		s.addNoise(r, float32(l.noise), l.grey)
	}
	for c, p := range s.planes {
		for i, v := range p {
			img.Pix[3*i+c] = byte(min(max(v, 0), 255) + 0.5)
		}
	}
}

// addNoise adds Gaussian noise, the same to all channels where there are no colours.
func (s *Sampler) addNoise(r *rand.Rand, sigma float32, grey bool) {
	for i := range s.planes[0] {
		n := sigma * float32(r.NormFloat64())
		s.planes[0][i] += n
		if !grey {
			n = sigma * float32(r.NormFloat64())
		}
		s.planes[1][i] += n
		if !grey {
			n = sigma * float32(r.NormFloat64())
		}
		s.planes[2][i] += n
	}
}

// mean returns the mean grey level of a picture.
func mean(img raster.RGB) float64 {
	var sum int
	for _, v := range img.Pix {
		sum += int(v)
	}
	return float64(sum) / float64(len(img.Pix))
}
