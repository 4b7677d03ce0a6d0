package stages

import (
	"context"

	"microtome/slide"
)

// A Patch is a tile on its way to the network. After Read, Pix holds the pixels of Tile.Halo as RGB
// bytes, rows top to bottom.
type Patch struct {
	Tile slide.Tile
	*Buffer
}

// Lease takes the memory of a tile: pix bytes for its pixels and labels bytes for its mask. Run it
// with one worker, so that memory is handed out in traversal order.
func Lease(b *Budget, pix, labels int) Func[slide.Tile, Patch] {
	return func(ctx context.Context, t slide.Tile) (Patch, error) {
		buf, err := b.Get(ctx, pix, labels)
		return Patch{t, buf}, err
	}
}
