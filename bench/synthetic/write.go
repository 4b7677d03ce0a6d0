package synthetic

import (
	"context"
	"errors"
	"fmt"
	"image"

	"microtome/sink"
)

// tile is the edge of the tiles of synthetic slides, px.
const tile = 256

// WriteSlide writes a synthetic slide, and the mask of its nuclei, label 1, beside it. When ctx ends it
// leaves neither and returns the cause.
func WriteSlide(ctx context.Context, slidePath, truthPath string, c Config) (err error) {
	size := image.Pt(c.Size, c.Size)
	description := fmt.Sprintf("Aperio microtome synthetic\r\n%dx%d (%dx%d) JPEG/YCC|AppMag = 20|MPP = %.4f|Seed = %d", size.X, size.Y, tile, tile, mpp, c.Seed)
	picture, err := sink.CreateTIFF(sink.Disk, slidePath, sink.TIFFConfig{
		Size: size, Tile: tile, RGB: true, Compression: "jpeg", MPP: mpp, Software: "microtome bench", Description: description,
	})
	if err != nil {
		return err
	}
	mask, err := sink.CreateTIFF(sink.Disk, truthPath, sink.TIFFConfig{
		Size: size, Tile: tile, Compression: "lzw", MPP: mpp, Software: "microtome bench", Description: "microtome bench truth",
	})
	if err != nil {
		return errors.Join(err, picture.Abort())
	}
	w := &writer{ctx: ctx, painter: painter{scene: newScene(c)}, levels: sink.Levels(size, tile), picture: picture, truth: sink.NewPyramid(size, tile, sink.Majority, mask)}
	if _, err := w.tile(len(w.levels)-1, 0, 0); err != nil {
		return errors.Join(err, picture.Abort(), w.truth.Abort())
	}
	if err := picture.Commit(); err != nil {
		return errors.Join(err, w.truth.Abort())
	}
	return w.truth.Commit()
}

// A writer renders a pyramid from its top: a tile is made from its four children, so that memory holds
// one tile a level.
type writer struct {
	ctx context.Context //nolint:containedctx // a writer makes one slide
	painter
	levels  []image.Point
	picture sink.Container
	truth   *sink.Pyramid
}

// tile renders tile (x, y) of a level with all below it, writes it, and returns its pixels.
func (w *writer) tile(level, x, y int) ([]byte, error) {
	if w.ctx.Err() != nil {
		return nil, context.Cause(w.ctx)
	}
	pix := make([]byte, 3*tile*tile)
	if level == 0 {
		truth := make([]byte, tile*tile)
		w.paint(pix, truth, image.Rect(x*tile, y*tile, (x+1)*tile, (y+1)*tile))
		r := image.Rect(x*tile, y*tile, (x+1)*tile, (y+1)*tile).Intersect(image.Rectangle{Max: w.levels[0]})
		if err := w.truth.Write(r, tile, truth); err != nil {
			return nil, err
		}
		return pix, w.picture.WriteTile(0, x, y, pix)
	}
	below := w.levels[level-1]
	for i := range 4 {
		cx, cy := 2*x+i%2, 2*y+i/2
		if cx*tile >= below.X || cy*tile >= below.Y {
			continue
		}
		child, err := w.tile(level-1, cx, cy)
		if err != nil {
			return nil, err
		}
		halve(pix[3*(i/2*tile/2*tile+i%2*tile/2):], child)
	}
	return pix, w.picture.WriteTile(level, x, y, pix)
}

// halve puts the means of a tile's 2 × 2 pixels into a quarter of another.
func halve(dst, src []byte) {
	for y := range tile / 2 {
		a, b := src[3*2*y*tile:], src[3*(2*y+1)*tile:]
		for x := range tile / 2 {
			for band := range 3 {
				i := 6*x + band
				dst[3*(y*tile+x)+band] = byte((int(a[i]) + int(a[i+3]) + int(b[i]) + int(b[i+3]) + 2) / 4)
			}
		}
	}
}
