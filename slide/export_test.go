package slide

import (
	"context"
	"image"
)

// A Way is how blocks are read.
type Way int

const (
	Shortest    Way = iota // as any reader reads them
	ByOpenSlide            // by OpenSlide, even where they are JPEG tiles
	ThroughVips            // by OpenSlide through libvips
)

// OpenBy opens a slide whose blocks are read in a way.
func OpenBy(path string, cfg Config, way Way) (*Slide, error) {
	r, err := openBy(path, way)
	if err != nil {
		return nil, err
	}
	return New(r, cfg), nil
}

func openBy(path string, way Way) (*fileReader, error) {
	r, err := openFile(path)
	if err != nil || way == Shortest {
		return r, err
	}
	r.jpeg = make([]*jpegTiles, len(r.levels))
	for n := range r.levels {
		r.levels[n].byVips = r.levels[n].byVips || way == ThroughVips
	}
	return r, nil
}

// ReadBlocks reads the blocks of a level. It reports whether OpenSlide is asked without libvips, and how many blocks are
// JPEG tiles that OpenSlide is not asked for at all.
func ReadBlocks(path string, level int, way Way) (blocks [][]byte, direct bool, jpegs int, err error) {
	r, err := openBy(path, way)
	if err != nil {
		return nil, false, 0, err
	}
	defer r.Close()
	l := r.info.Levels[level]
	for y := 0; y < l.Size.Y; y += l.Block.Y {
		for x := 0; x < l.Size.X; x += l.Block.X {
			area := image.Rect(x, y, x+l.Block.X, y+l.Block.Y).Intersect(image.Rectangle{Max: l.Size})
			dst := make([]byte, 3*area.Dx()*area.Dy())
			if err := r.ReadBlock(context.Background(), level, x/l.Block.X, y/l.Block.Y, dst); err != nil {
				return nil, false, 0, err
			}
			blocks = append(blocks, dst)
			if t := r.jpegOf(level); t != nil && t.read(area, make([]byte, len(dst))) {
				jpegs++
			}
		}
	}
	return blocks, r.levels[level].direct(), jpegs, nil
}
