package sink

import "image"

// An Overview is a Container that keeps one small level in memory, for overlay.png.
type Overview struct {
	Size  image.Point
	Pix   []byte // labels, row by row
	level int
	tile  int
}

// NewOverview keeps the largest level of an image whose long edge is at most edge pixels, or the last.
func NewOverview(size image.Point, tile, edge int) *Overview {
	levels := Levels(size, tile)
	k := 0
	for k+1 < len(levels) && max(levels[k].X, levels[k].Y) > edge {
		k++
	}
	return &Overview{Size: levels[k], Pix: make([]byte, levels[k].X*levels[k].Y), level: k, tile: tile}
}

// WriteTile keeps a tile of the level; see [Container].
func (o *Overview) WriteTile(level, x, y int, pix []byte) error {
	if level != o.level {
		return nil
	}
	x0, y0 := x*o.tile, y*o.tile
	w, h := min(o.tile, o.Size.X-x0), min(o.tile, o.Size.Y-y0)
	for row := range h {
		copy(o.Pix[(y0+row)*o.Size.X+x0:][:w], pix[row*o.tile:])
	}
	return nil
}

// Commit does nothing: an overview is not a file.
func (o *Overview) Commit() error { return nil }

// Abort does nothing.
func (o *Overview) Abort() error { return nil }
