package stages

import (
	"context"

	"microtome/slide"
)

// Read fills a patch with the pixels of its halo, mirrored where the halo leaves the slide.
func Read(v *slide.View) Func[Patch, Patch] {
	return func(ctx context.Context, p Patch) (Patch, error) {
		size := p.Tile.Halo.Size()
		if err := v.Read(ctx, p.Pix[:3*size.X*size.Y], p.Tile.Halo); err != nil {
			p.Release()
			return Patch{}, err
		}
		return p, nil
	}
}
