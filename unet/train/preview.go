package train

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"slices"

	"microtome/internal/raster"
)

// previewEdge is the largest edge of a cell, px: four stand side by side in 1600.
const previewEdge = 384

// Preview writes a PNG of the first tiles that Train would draw, as it draws them: whether the labels move with the image, and
// which gaps weigh, can be seen before hours are spent on them.
func (r *Run) Preview(w io.Writer, rows int) error {
	c := r.config()
	if err := c.Validate(); err != nil {
		return err
	}
	on, _, err := r.Set.Split(c.Held)
	if err != nil {
		return err
	}
	sampler := newSampler(c, mark(c.pick(r.Set, on)))
	var samples []sample
	for n := range rows {
		samples = append(samples, sampler.draw(uint64(n)))
	}
	return newPreview(c, samples).write(w)
}

// newPreview lays out samples. Targets that are smaller than a cell are enlarged by a whole number, larger ones are reduced.
func newPreview(c Config, samples []sample) *sheet {
	in, out := c.input()
	edge := min(out, previewEdge)
	edge *= previewEdge / edge
	s := &sheet{edge: edge, headings: []string{"tile", "tile and target", "target", "weight in the loss"}}
	if in > out {
		s.headings[0] = "tile (frame: target)"
	}
	for _, t := range samples {
		s.hottest = max(s.hottest, float64(slices.Max(t.weights)))
	}
	for i, t := range samples {
		seen := raster.Resize(t.image, edge, edge)
		if in > out {
			at := (in - out) / 2 * edge / in
			frame(seen, image.Rect(at, at, edge-at, edge-at))
		}
		target := raster.Labels{W: edge, H: edge, Pix: nearest(t.target.Pix, out, edge)}
		found := raster.Resize(crop(t.image, image.Rect(0, 0, out, out).Add(image.Pt((in-out)/2, (in-out)/2))), edge, edge)
		outline(found, target, instanceColor)
		s.rows = append(s.rows, row{
			text: fmt.Sprintf("tile %d: %d instances, weights up to %.3g", i, slices.Max(t.target.Pix), slices.Max(t.weights)),
			cells: []raster.RGB{
				seen, found,
				drawTarget(c, target, nearest(t.classes, out, edge), nearest(t.weights, out, edge)),
				heatMap(nearest(t.weights, out, edge), edge, edge, s.hottest),
			},
		})
	}
	return s
}

// unknownColor is for pixels that nobody annotated.
var unknownColor = color.RGBA{90, 90, 90, 255}

// drawTarget colours each instance, or the classes where there are several.
func drawTarget(c Config, target raster.Labels, classes []uint8, weights []float32) raster.RGB {
	m := raster.NewRGB(target.W, target.H)
	for i, n := range target.Pix {
		switch {
		case weights[i] == 0:
			set(m, i, unknownColor)
		case classes[i] == 0:
		case c.Shape.Classes > 2:
			set(m, i, classColors[(int(classes[i])-1)%len(classColors)])
		default:
			set(m, i, instanceColor(n))
		}
	}
	return m
}

// classColors are Okabe and Ito's, from label 1 on, as in the other pictures of masks.
var classColors = []color.RGBA{
	{0, 158, 115, 255},
	{230, 159, 0, 255},
	{0, 114, 178, 255},
	{204, 121, 167, 255},
	{86, 180, 233, 255},
	{213, 94, 0, 255},
	{240, 228, 66, 255},
}

// instanceColor returns a bright colour that differs from those of the numbers nearby: hues that are a golden section apart.
func instanceColor(n uint32) color.RGBA {
	hue := uint64(n) * 0x9e3779b97f4a7c15 >> 32 * 6 // six sectors of 2³²
	up := uint8(hue >> 24)
	return [6]color.RGBA{
		{255, up, 0, 255},
		{255 - up, 255, 0, 255},
		{0, 255, up, 255},
		{0, 255 - up, 255, 255},
		{up, 0, 255, 255},
		{255, 0, 255 - up, 255},
	}[hue>>32]
}

// outline draws the outlines of instances.
func outline(m raster.RGB, l raster.Labels, of func(uint32) color.RGBA) {
	for i, edge := range raster.Outline(l) {
		if edge {
			if c := of(l.Pix[i]); c.A > 0 {
				set(m, i, c)
			}
		}
	}
}

// frame draws the edge of a rectangle, in white between black, so that it shows on any image.
func frame(m raster.RGB, r image.Rectangle) {
	for y := range m.H {
		for x := range m.W {
			p := image.Pt(x, y)
			switch {
			case !p.In(r.Inset(-1)) || p.In(r.Inset(2)):
			case p.In(r) && !p.In(r.Inset(1)):
				set(m, y*m.W+x, color.RGBA{255, 255, 255, 255})
			default:
				set(m, y*m.W+x, color.RGBA{0, 0, 0, 255})
			}
		}
	}
}

// crop cuts a rectangle from an image.
func crop(m raster.RGB, r image.Rectangle) raster.RGB {
	return raster.RGB{W: r.Dx(), H: r.Dy(), Pix: part(m.Pix, 3*m.W, image.Rect(3*r.Min.X, r.Min.Y, 3*r.Max.X, r.Max.Y))}
}

// part cuts a rectangle from values in rows of w.
func part[T any](v []T, w int, r image.Rectangle) []T {
	var cut []T
	for y := r.Min.Y; y < r.Max.Y; y++ {
		cut = append(cut, v[y*w+r.Min.X:y*w+r.Max.X]...)
	}
	return cut
}

// nearest resizes a square of values without mixing them.
func nearest[T any](v []T, from, to int) []T {
	out := make([]T, 0, to*to)
	for y := range to {
		for x := range to {
			out = append(out, v[y*from/to*from+x*from/to])
		}
	}
	return out
}
