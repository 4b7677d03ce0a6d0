package stages

import (
	"context"

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

// Infer labels a patch.
func Infer(m unet.Model) Func[Patch, Mask] {
	return func(ctx context.Context, p Patch) (Mask, error) {
		if err := m.Predict(ctx, 1, p.Pix, p.Labels); err != nil {
			p.Release()
			return Mask{}, err
		}
		return Mask(p), nil
	}
}
