package augment

import (
	"math"
	"math/rand/v2"

	"microtome/internal/raster"
)

// densities is a change of optical densities: channel c becomes Σ d[c][k] · density of channel k, + d[c][3].
type densities [3][4]float64

// densities draws a change of the stains: the colours of haematoxylin and eosin are taken apart, their
// amounts changed, and put together with other colours; then the channels are mixed.
func (c Config) densities(r *rand.Rand) densities {
	he := raster.HaematoxylinEosin()
	apart := he.Deconvolution()
	colours := raster.NewStains(turn(r, he[0], c.StainTurn), turn(r, he[1], c.StainTurn))
	mix := c.channelMix(r)
	var out densities
	for s, shift := range [3]float64{c.Stain / 10, c.Stain / 10, c.Stain / 20} {
		factor := logUniform(r, 1/(1+c.Stain), 1+c.Stain)
		shift *= 2*r.Float64() - 1
		for ch := range out {
			// What a unit of the stain gives to channel ch once the channels are mixed.
			gives := mix[ch][0]*colours[s][0] + mix[ch][1]*colours[s][1] + mix[ch][2]*colours[s][2]
			for k := range 3 {
				out[ch][k] += gives * factor * apart[s][k]
			}
			out[ch][3] += gives * shift
		}
	}
	return out
}

// turn returns a colour of length 1, turned by up to so many degrees in a random direction. No channel
// becomes lighter by it.
func turn(r *rand.Rand, colour [3]float64, degrees float64) [3]float64 {
	var v [3]float64
	var along float64
	for i := range v {
		v[i] = r.NormFloat64()
		along += v[i] * colour[i]
	}
	sin, cos := math.Sincos(degrees * math.Pi / 180 * r.Float64())
	var across float64
	for i := range v {
		v[i] -= along * colour[i] // now at right angles to the colour
		across += v[i] * v[i]
	}
	across = math.Sqrt(across)
	for i := range v {
		v[i] = max(cos*colour[i]+sin*v[i]/across, 0)
	}
	return v
}

// channelMix draws a matrix close to 1 whose rows add up to 1.
func (c Config) channelMix(r *rand.Rand) (m [3][3]float64) {
	for i := range m {
		m[i][i] = 1
		for j := range m[i] {
			if j != i {
				v := c.ChannelMix * (2*r.Float64() - 1)
				m[i][j] += v
				m[i][i] -= v
			}
		}
	}
	return m
}

// density is the optical density of each byte.
var density = func() (table [256]float32) {
	for v := range table {
		table[v] = float32(raster.Density(byte(v)))
	}
	return table
}()

// apply writes to the planes what becomes of the picture's densities, as intensities that tone has changed.
func (d *densities) apply(planes *[3][]float32, img raster.RGB, tone func(float64) float64) {
	// Intensities stand in a table of densities, from white to black, between whose entries lines are drawn:
	// 0.01 grey levels from the truth.
	const steps = 1024
	top := raster.Density(0)
	var table [steps + 2]float32
	for i := range table {
		table[i] = float32(tone(min(max(raster.Intensity(top*float64(i)/steps), 0), 255)))
	}
	scale := steps / top
	for c := range planes {
		plane := planes[c]
		m0, m1, m2 := float32(d[c][0]*scale), float32(d[c][1]*scale), float32(d[c][2]*scale)
		shift := float32(d[c][3] * scale)
		for i := range plane {
			p := img.Pix[3*i:][:3:3]
			at := min(max(m0*density[p[0]]+m1*density[p[1]]+m2*density[p[2]]+shift, 0), steps)
			k := int(at)
			t := at - float32(k)
			plane[i] = table[k] + t*(table[k+1]-table[k])
		}
	}
}
