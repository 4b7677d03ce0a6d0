package stages

import (
	"context"
	"image"

	"microtome/slide"
	"microtome/unet"
)

// A Mask is a tile that the network has labelled: Labels holds the full core square row by row, also
// where Tile.Core was clipped to the slide.
type Mask struct {
	Tile slide.Tile
	Turn int // see Patch
	*Buffer
}

// Infer labels a patch with a core of core × core pixels, or, of one that was trimmed, the part that its halo is of;
// the rest of the labels is 0.
func Infer(m unet.Model, core int) Func[Patch, Mask] {
	g := m.Spec().Geometry
	return func(ctx context.Context, p Patch) (Mask, error) {
		part := image.Rectangle{Min: p.Tile.Halo.Min.Add(image.Pt(g.Before, g.Before)), Max: p.Tile.Halo.Max.Sub(image.Pt(g.After, g.After))}
		var err error
		if size := part.Size(); size == image.Pt(core, core) {
			err = m.Predict(ctx, 1, p.Pix, p.Labels)
		} else {
			pixels := 3 * p.Tile.Halo.Dx() * p.Tile.Halo.Dy()
			err = m.(unet.RectModel).PredictRect(ctx, size.X, size.Y, p.Pix[:pixels], p.Labels[:size.X*size.Y])
			spread(p.Labels, core, part.Sub(p.Tile.Core.Min))
		}
		if err != nil {
			p.Release()
			return Mask{}, err
		}
		return Mask(p), nil
	}
}

// spread moves the labels of a part of a core, which stand one row after another, to where they belong.
func spread(labels []byte, core int, part image.Rectangle) {
	w := part.Dx()
	for y := part.Dy() - 1; y >= 0; y-- { // nothing moves towards the front
		row := labels[(part.Min.Y+y)*core:][:core]
		copy(row[part.Min.X:], labels[y*w:][:w])
		clear(row[:part.Min.X])
		clear(row[part.Max.X:])
	}
	clear(labels[:part.Min.Y*core])
	clear(labels[part.Max.Y*core:])
}
