package train

import (
	"image/color"

	"microtome/internal/raster"
)

// inferno is matplotlib's colour map of that name at every eighth: its lightness rises evenly, in print and for the colour-blind.
var inferno = []color.RGBA{
	{0, 0, 4, 255},
	{31, 12, 72, 255},
	{85, 15, 109, 255},
	{136, 34, 106, 255},
	{186, 54, 85, 255},
	{227, 89, 51, 255},
	{249, 140, 10, 255},
	{249, 201, 50, 255},
	{252, 255, 164, 255},
}

// heat returns the colour of a value from 0 to 1. What is beyond, or not a number, gets the colour of an end.
func heat(v float64) color.RGBA {
	steps := len(inferno) - 1
	if !(v > 0) {
		return inferno[0]
	}
	if v >= 1 {
		return inferno[steps]
	}
	at := v * float64(steps)
	i := int(at)
	return mix(inferno[i], inferno[i+1], at-float64(i))
}

// heatMap is a picture of values, of which hottest is the largest that can be told from larger ones.
func heatMap(values []float32, w, h int, hottest float64) raster.RGB {
	m := raster.NewRGB(w, h)
	for i, v := range values {
		set(m, i, heat(float64(v)/hottest))
	}
	return m
}

// mix lays part of b over a.
func mix(a, b color.RGBA, part float64) color.RGBA {
	of := func(a, b uint8) uint8 { return uint8(float64(a) + part*(float64(b)-float64(a)) + 0.5) }
	return color.RGBA{of(a.R, b.R), of(a.G, b.G), of(a.B, b.B), 255}
}

// set colours a pixel by its number.
func set(m raster.RGB, i int, c color.RGBA) { m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2] = c.R, c.G, c.B }
