package raster

import "math"

// Density returns the optical density of an 8-bit intensity: -log10((v+1)/256), from 0 for white (255) to
// 2.41 for black. Stains add up in it. The 1 keeps black finite, so that Density and [Intensity] are each
// other's inverse.
func Density(v byte) float64 { return -math.Log10((float64(v) + 1) / 256) }

// Intensity returns the intensity, in grey levels, of an optical density. It leaves [0, 255] for densities
// that no byte has.
func Intensity(density float64) float64 { return 256*math.Pow(10, -density) - 1 }

// Stains are the colours of three stains: Stains[s][c] is the optical density that one unit of stain s gives
// to channel c (red, green, blue). Each row has length 1.
type Stains [3][3]float64

// HaematoxylinEosin returns the colours of haematoxylin and eosin that Ruifrok and Johnston measured
// (Quantification of histochemical staining by color deconvolution, 2001), and as third the colour at
// right angles to both, which takes what they leave.
func HaematoxylinEosin() Stains {
	return NewStains([3]float64{0.65, 0.70, 0.29}, [3]float64{0.07, 0.99, 0.11})
}

// NewStains returns the colours a and b, scaled to length 1, and the colour at right angles to both. They must
// not be parallel.
func NewStains(a, b [3]float64) Stains {
	return Stains{unit(a), unit(b), unit([3]float64{
		a[1]*b[2] - a[2]*b[1],
		a[2]*b[0] - a[0]*b[2],
		a[0]*b[1] - a[1]*b[0],
	})}
}

func unit(v [3]float64) [3]float64 {
	n := math.Sqrt(v[0]*v[0] + v[1]*v[1] + v[2]*v[2])
	return [3]float64{v[0] / n, v[1] / n, v[2] / n}
}

// Mix returns the optical densities of red, green and blue where there is so much of each stain.
func (s Stains) Mix(amounts [3]float64) (density [3]float64) {
	for c := range density {
		density[c] = amounts[0]*s[0][c] + amounts[1]*s[1][c] + amounts[2]*s[2][c]
	}
	return density
}

// Deconvolution returns the matrix that undoes Mix, which is Ruifrok and Johnston's colour deconvolution:
// the amount of stain s is Σ d[s][c] · density of channel c.
func (s Stains) Deconvolution() (d [3][3]float64) {
	// Mix multiplies by the transpose of s, whose inverse is the matrix of cofactors of s / its determinant.
	// Indices in cyclic order give a cofactor its sign.
	var det float64
	for i := range 3 {
		for j := range 3 {
			i1, i2, j1, j2 := (i+1)%3, (i+2)%3, (j+1)%3, (j+2)%3
			d[i][j] = s[i1][j1]*s[i2][j2] - s[i1][j2]*s[i2][j1]
		}
	}
	for j := range 3 {
		det += s[0][j] * d[0][j]
	}
	for i := range d {
		for j := range d[i] {
			d[i][j] /= det
		}
	}
	return d
}
