package slide

import (
	"context"
	"image"
)

// ReadBlocks reads the blocks of a level of a file that OpenSlide opens: as any other reader does, or through libvips.
// It reports whether they were read without libvips.
func ReadBlocks(path string, level int, byVips bool) (blocks [][]byte, direct bool, err error) {
	r, err := openFile(path)
	if err != nil {
		return nil, false, err
	}
	defer r.Close()
	l := r.info.Levels[level]
	if byVips {
		r.levels[level].byVips = true
	}
	for y := 0; y < l.Size.Y; y += l.Block.Y {
		for x := 0; x < l.Size.X; x += l.Block.X {
			area := image.Rect(x, y, x+l.Block.X, y+l.Block.Y).Intersect(image.Rectangle{Max: l.Size})
			dst := make([]byte, 3*area.Dx()*area.Dy())
			if err := r.ReadBlock(context.Background(), level, x/l.Block.X, y/l.Block.Y, dst); err != nil {
				return nil, false, err
			}
			blocks = append(blocks, dst)
		}
	}
	return blocks, r.levels[level].direct(), nil
}
