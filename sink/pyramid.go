package sink

import (
	"fmt"
	"image"
)

// A Container stores the tiles of a pyramid in one file format. Exactly one of Commit and Abort ends
// it; after that Abort does nothing, and WriteTile and Commit fail and change nothing. Package sinktest
// checks all of this.
type Container interface {
	// WriteTile stores tile (x, y) of a level: tile × tile × bands bytes, 0 past the edge of the image.
	// Each tile comes exactly once, in any order; one that comes twice is an error. pix is only valid
	// during the call.
	WriteTile(level, x, y int, pix []byte) error
	// Commit makes the file whole and durable under its final name, or fails and leaves nothing. It
	// fails when a tile is missing.
	Commit() error
	// Abort removes what was written.
	Abort() error
}

// A Pyramid builds the levels of an image from rectangles of level 0. Level k+1 has half the width and
// height of level k, rounded up; the last level fits one tile. It is not safe for concurrent use.
type Pyramid struct {
	tile    int
	reduce  Reduce
	out     []Container
	levels  []pyramidLevel
	counts  [256]int64
	written int64
	err     error // the first that Write met
	free    []*openTile
	open    int
	high    int
}

type pyramidLevel struct {
	size, tiles image.Point
	open        map[image.Point]*openTile
	finished    []uint64 // a bit a tile
}

// An openTile still waits for left pixels.
type openTile struct {
	pix     []byte
	left    int
	parts   bool     // comes in parts, so covered is in use
	covered []uint64 // a bit a pixel; level 0 only
}

// NewPyramid builds an image of size, in tiles of tile × tile, into the containers. It panics when size
// is empty or tile is not even.
func NewPyramid(size image.Point, tile int, reduce Reduce, out ...Container) *Pyramid {
	if min(size.X, size.Y) < 1 || tile < 2 || tile%2 != 0 {
		panic(fmt.Sprintf("sink: pyramid of %v pixels in tiles of %d", size, tile))
	}
	p := &Pyramid{tile: tile, reduce: reduce, out: out}
	for _, s := range Levels(size, tile) {
		n := tilesIn(s, tile)
		p.levels = append(p.levels, pyramidLevel{s, n, map[image.Point]*openTile{}, make([]uint64, (n.X*n.Y+63)/64)})
	}
	return p
}

// Levels returns the sizes of the levels of a pyramid over an image.
func Levels(size image.Point, tile int) []image.Point {
	levels := []image.Point{size}
	for size.X > tile || size.Y > tile {
		size = image.Pt((size.X+1)/2, (size.Y+1)/2)
		levels = append(levels, size)
	}
	return levels
}

// tilesIn returns the columns and rows of tiles in a level.
func tilesIn(size image.Point, tile int) image.Point {
	return image.Pt((size.X+tile-1)/tile, (size.Y+tile-1)/tile)
}

// Write stores the rectangle r of level 0, whose rows are stride bytes apart in pix. A pixel outside
// the image, or one that was written before, is an error. After an error the pyramid is of no more use:
// Write and Commit return it again.
func (p *Pyramid) Write(r image.Rectangle, stride int, pix []byte) error {
	if p.err != nil {
		return p.err
	}
	p.err = p.write(r, stride, pix)
	return p.err
}

func (p *Pyramid) write(r image.Rectangle, stride int, pix []byte) error {
	if r.Empty() || !r.In(image.Rectangle{Max: p.levels[0].size}) {
		return fmt.Errorf("rectangle %v is not inside the image of %v pixels", r, p.levels[0].size)
	}
	if stride < r.Dx() || len(pix) < (r.Dy()-1)*stride+r.Dx() {
		return fmt.Errorf("%d bytes in rows of %d for the rectangle %v", len(pix), stride, r)
	}
	t := p.tile
	for ty := r.Min.Y / t; ty*t < r.Max.Y; ty++ {
		for tx := r.Min.X / t; tx*t < r.Max.X; tx++ {
			part := image.Rect(tx*t, ty*t, (tx+1)*t, (ty+1)*t).Intersect(r)
			from := pix[(part.Min.Y-r.Min.Y)*stride+part.Min.X-r.Min.X:]
			if err := p.writePart(image.Pt(tx, ty), part, stride, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// writePart stores the part of one tile of level 0.
func (p *Pyramid) writePart(at image.Point, part image.Rectangle, stride int, pix []byte) error {
	ot, err := p.tileAt(0, at)
	if err != nil {
		return err
	}
	w, h := part.Dx(), part.Dy()
	x0, y0 := part.Min.X-at.X*p.tile, part.Min.Y-at.Y*p.tile
	if ot.parts || w*h < ot.left {
		if !ot.parts {
			ot.parts = true
			ot.uncover(p.tile)
		}
		if cover(ot.covered, p.tile, x0, y0, w, h) {
			return fmt.Errorf("pixels of %v were written twice", part)
		}
	}
	for y := range h {
		row := pix[y*stride:][:w]
		copy(ot.pix[(y0+y)*p.tile+x0:], row)
		count(&p.counts, row)
	}
	p.written += int64(w) * int64(h)
	ot.left -= w * h
	return p.finish(0, at, ot)
}

func (ot *openTile) uncover(tile int) {
	if ot.covered == nil {
		ot.covered = make([]uint64, coveredWords(tile))
		return
	}
	clear(ot.covered)
}

func coveredWords(tile int) int { return tile * ((tile + 63) / 64) }

// cover marks a rectangle of a tile and reports whether any of it was marked before.
func cover(bits []uint64, tile, x0, y0, w, h int) (twice bool) {
	words := (tile + 63) / 64
	for y := y0; y < y0+h; y++ {
		row := bits[y*words:][:words]
		for x := x0; x < x0+w; {
			n := min(64-x%64, x0+w-x)
			mask := (^uint64(0) >> (64 - n)) << (x % 64)
			twice = twice || row[x/64]&mask != 0
			row[x/64] |= mask
			x += n
		}
	}
	return twice
}

// tileAt returns the open tile at a place of a level, opening it when this is its first part.
func (p *Pyramid) tileAt(level int, at image.Point) (*openTile, error) {
	l := &p.levels[level]
	if ot := l.open[at]; ot != nil {
		return ot, nil
	}
	if i := at.Y*l.tiles.X + at.X; l.finished[i/64]>>(i%64)&1 == 1 {
		return nil, fmt.Errorf("tile %v of level %d was written twice", at, level)
	}
	var ot *openTile
	if n := len(p.free); n > 0 {
		ot, p.free = p.free[n-1], p.free[:n-1]
	} else {
		ot = &openTile{pix: make([]byte, p.tile*p.tile)}
	}
	w, h := l.clip(at, p.tile)
	if ot.left, ot.parts = w*h, false; ot.left < len(ot.pix) {
		clear(ot.pix) // 0 past the edge
	}
	l.open[at] = ot
	p.open++
	p.high = max(p.high, p.open)
	return ot, nil
}

// clip returns the size of a tile's part inside the image.
func (l *pyramidLevel) clip(at image.Point, tile int) (w, h int) {
	return min(tile, l.size.X-at.X*tile), min(tile, l.size.Y-at.Y*tile)
}

// finish hands a tile that waits for nothing to the containers and adds it to its parent.
func (p *Pyramid) finish(level int, at image.Point, ot *openTile) error {
	if ot.left > 0 {
		return nil
	}
	for _, c := range p.out {
		if err := c.WriteTile(level, at.X, at.Y, ot.pix); err != nil {
			return err
		}
	}
	l := &p.levels[level]
	i := at.Y*l.tiles.X + at.X
	l.finished[i/64] |= 1 << (i % 64)
	delete(l.open, at)
	if level+1 == len(p.levels) {
		p.close(ot)
		return nil
	}
	up := at.Div(2)
	parent, err := p.tileAt(level+1, up)
	if err != nil {
		return err
	}
	w, h := l.clip(at, p.tile)
	x0, y0 := at.X%2*p.tile/2, at.Y%2*p.tile/2
	p.reduce(parent.pix[y0*p.tile+x0:], ot.pix, p.tile, w, h)
	p.close(ot)
	parent.left -= (w + 1) / 2 * ((h + 1) / 2)
	return p.finish(level+1, up, parent)
}

// close keeps the memory of a tile for the next.
func (p *Pyramid) close(ot *openTile) {
	p.free = append(p.free, ot)
	p.open--
}

// Counts returns the pixels of level 0 by value. Their sum is the number of pixels written.
func (p *Pyramid) Counts() [256]int64 { return p.counts }

// Expected returns the pixels of level 0, and Written those that have come.
func (p *Pyramid) Expected() int64 { return int64(p.levels[0].size.X) * int64(p.levels[0].size.Y) }

// Written returns the pixels of level 0 that have come.
func (p *Pyramid) Written() int64 { return p.written }

// High returns the most tiles that were in memory at one time.
func (p *Pyramid) High() int { return p.high }

// Commit commits every container in order. When a pixel is missing, Write has failed, or a container
// cannot be made whole, it fails and aborts the others; those committed before keep their files.
func (p *Pyramid) Commit() error {
	err := p.err
	if err == nil && p.written != p.Expected() {
		err = fmt.Errorf("%d of %d pixels are missing from the mask", p.Expected()-p.written, p.Expected())
	}
	for _, c := range p.out {
		if err != nil {
			break
		}
		err = c.Commit()
	}
	if err != nil {
		return also(err, p.Abort())
	}
	return nil
}

// Abort aborts every container that is not committed.
func (p *Pyramid) Abort() error {
	var err error
	for _, c := range p.out {
		err = also(err, c.Abort())
	}
	return err
}
