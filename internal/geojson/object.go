package geojson

import (
	"image"
	"math"

	"microtome/internal/raster"
)

// Place moves an object to the pixels of a picture of the slide: origin is the pixel of level 0 that
// annotations count from, and scale pixels of level 0 make one of the picture.
func (o Object) Place(origin image.Point, scale float64) {
	for _, p := range o.Polygons {
		for _, ring := range p {
			for i, at := range ring {
				ring[i] = raster.Point{X: (at.X + float64(origin.X)) / scale, Y: (at.Y + float64(origin.Y)) / scale}
			}
		}
	}
}

// Bounds returns the smallest rectangle of pixels whose centres an object may cover.
func (o Object) Bounds() (r image.Rectangle) {
	for _, p := range o.Polygons {
		low, high := p[0][0], p[0][0]
		for _, at := range p[0] {
			low = raster.Point{X: min(low.X, at.X), Y: min(low.Y, at.Y)}
			high = raster.Point{X: max(high.X, at.X), Y: max(high.Y, at.Y)}
		}
		first := func(v float64) int { return int(math.Ceil(v - 0.5)) }
		r = r.Union(image.Rect(first(low.X), first(low.Y), first(high.X), first(high.Y)))
	}
	return r
}

// Area returns how much an object covers, holes taken off.
func (o Object) Area() (sum float64) {
	for _, p := range o.Polygons {
		for n, ring := range p {
			twice := 0.0
			for i, a := range ring[1:] {
				b := ring[i]
				twice += (b.X - a.X) * (b.Y + a.Y)
			}
			if n == 0 {
				sum += math.Abs(twice) / 2
			} else {
				sum -= math.Abs(twice) / 2
			}
		}
	}
	return sum
}

// Fill calls span for the stretches of pixels that an object covers within r, counted from its corner.
func (o Object) Fill(r image.Rectangle, span func(y, x0, x1 int)) {
	for _, p := range o.Polygons {
		moved := make([][]raster.Point, len(p))
		for n, ring := range p {
			for _, at := range ring {
				moved[n] = append(moved[n], raster.Point{X: at.X - float64(r.Min.X), Y: at.Y - float64(r.Min.Y)})
			}
		}
		raster.FillPolygon(r.Dx(), r.Dy(), moved, span)
	}
}
