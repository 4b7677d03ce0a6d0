package stages

import (
	"context"
	"image"

	"microtome/sink"
	"microtome/slide"
)

// Write commits masks of core × core labels to the pyramid, whose pixel (0, 0) is origin in the
// coordinates of the tiles, and calls done after each. It ends a tile's life: its memory is released here.
func Write(p *sink.Pyramid, origin image.Point, core int, done func(slide.Tile)) Func[Masks, struct{}] {
	return func(_ context.Context, ms Masks) (struct{}, error) {
		defer ms.Release()
		for _, m := range ms {
			if err := p.Write(m.Tile.Core.Sub(origin), core, m.Labels); err != nil {
				return struct{}{}, err
			}
			done(m.Tile)
		}
		return struct{}{}, nil
	}
}
