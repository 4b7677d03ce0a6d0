package stages

import (
	"context"

	"microtome/slide"
)

// A Patch is a tile on its way to the network. After Read, Pix holds the pixels of Tile.Halo as RGB
// bytes, rows top to bottom.
type Patch struct {
	Tile slide.Tile
	Turn int // counts the tiles of a run that the network labels: 0, 1, …
	*Buffer
}

// Lease takes the memory of a tile: pix bytes for its pixels, labels bytes for its mask, and as many
// probabilities. Run it with one worker, so that memory is handed out in traversal order.
func Lease(b *Budget, pix, labels, probs int) Func[slide.Tile, Patch] {
	turn := 0
	return func(ctx context.Context, t slide.Tile) (Patch, error) {
		buf, err := b.Get(ctx, pix, labels, probs)
		p := Patch{t, turn, buf}
		turn++
		return p, err
	}
}
