package stages

import (
	"context"
	"image"

	"microtome/internal/raster"
	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

// Mark gives the label [sink.Unread] to the pixels of masks that the network decided by pixels of v that could not be
// read, directly or mirrored beyond the edge. All others are as if the whole slide could be read: a network sees no
// further than its margins, seen from the squares of its stride.
func Mark(v *slide.View, g slide.Grid, n unet.Geometry) Func[Masks, Masks] {
	return func(_ context.Context, ms Masks) (Masks, error) {
		for _, m := range ms {
			halo, core := m.Tile.Halo, m.Tile.Core
			for _, bad := range v.Unread(halo) { // all of them: the halo was read
				across := blind(halo.Min.X, halo.Max.X, v.Size().X, bad.Min.X, bad.Max.X, g.Region.Min.X, n)
				for _, y := range blind(halo.Min.Y, halo.Max.Y, v.Size().Y, bad.Min.Y, bad.Max.Y, g.Region.Min.Y, n) {
					for _, x := range across {
						area := image.Rect(x[0], y[0], x[1], y[1]).Intersect(core)
						fill(m.Labels, g.Core, area.Sub(core.Min), sink.Unread)
					}
				}
			}
		}
		return ms, nil
	}
}

// blind returns, along an axis of size pixels, what is decided by the pixels [from, to) where they show in [lo, hi):
// whole squares of the stride, counted from the start of the grid.
func blind(lo, hi, size, from, to, start int, n unet.Geometry) (spans [][2]int) {
	down := func(i int) int { return i - ((i-start)%n.Stride+n.Stride)%n.Stride }
	for _, run := range raster.AppendRuns(nil, lo, hi, size) {
		if k0, k1 := run.Within(from, to); k0 < k1 {
			at := lo + run.At
			spans = append(spans, [2]int{down(at + k0 - n.After), down(at + k1 + n.Before + n.Stride - 1)})
		}
	}
	return spans
}
