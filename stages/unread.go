package stages

import (
	"context"
	"image"

	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

// Mark gives the label [sink.Unread] to the pixels of masks that the network decided by pixels of v that could not be
// read. All others are as if the whole slide could be read: a network sees no further than its margins, seen from
// the squares of its stride.
func Mark(v *slide.View, g slide.Grid, n unet.Geometry) Func[Masks, Masks] {
	reach := max(n.Before, n.After) + n.Stride // also of what is mirrored
	down := func(a int) int { return a - (a%n.Stride+n.Stride)%n.Stride }
	return func(_ context.Context, ms Masks) (Masks, error) {
		for _, m := range ms {
			for _, bad := range v.Unread(m.Tile.Core.Inset(-reach)) {
				bad = bad.Sub(g.Region.Min)
				blind := image.Rect(down(bad.Min.X-n.After), down(bad.Min.Y-n.After), down(bad.Max.X+n.Before+n.Stride-1), down(bad.Max.Y+n.Before+n.Stride-1))
				fill(m.Labels, g.Core, blind.Add(g.Region.Min).Intersect(m.Tile.Core).Sub(m.Tile.Core.Min), sink.Unread)
			}
		}
		return ms, nil
	}
}
