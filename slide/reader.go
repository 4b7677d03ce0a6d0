package slide

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"sync"
)

// A fileReader reads blocks of a file through libvips, or by shorter ways where they give the same.
type fileReader struct {
	info Info

	mu     sync.Mutex
	levels []fileLevel
	jpeg   []*jpegTiles // of the levels, of the open file; nil until a block is read, see jpegOf
	file   *os.File
	closed bool
}

// A fileLevel is opened when its first block is read.
type fileLevel struct {
	opening
	ycc  bool // pixels that libvips takes for RGB are YCbCr
	flat bool // libvips decodes all of it for the first pixel
	im   *vipsImage
}

func newFileReader(info Info) *fileReader { return &fileReader{info: info} }

// add adds a level; tile is the file's own tile size, or nothing.
func (r *fileReader) add(size image.Point, downsample float64, tile image.Point, o opening) {
	block, whole := blockSize(tile)
	if o.kind != anyLoader {
		// Of parts of a huge tile libvips keeps the tile; of a level that is 3.99 times smaller it rounds where
		// each tile lies, so a block of several is not one piece.
		o.forget, o.byVips = whole, !whole || block != tile && downsample != math.Trunc(downsample)
	}
	if !whole { // libvips keeps two and a half rows of tiles
		r.info.Resident += 10 * int64(size.X+tile.X) * int64(tile.Y)
	}
	r.info.Levels = append(r.info.Levels, Level{size, downsample, block})
	r.levels = append(r.levels, fileLevel{opening: o, flat: tile == image.Point{}})
}

// Bounds on the area of a block, px: smaller ones cost more in calls than in decoding, larger ones fill
// the cache with what nobody asked for.
const (
	minBlock = 200 * 200
	maxBlock = 2048 * 2048
)

// blockSize returns the size of the blocks for tiles of a size, and whether they are whole tiles: as
// many small tiles as make a block, a part of a huge one, 256 × 256 where there are none.
func blockSize(tile image.Point) (block image.Point, whole bool) {
	if tile.X <= 0 || tile.Y <= 0 {
		return image.Pt(256, 256), true
	}
	block = tile
	for block.X > maxBlock/block.Y {
		if block.X > block.Y {
			block.X = (block.X + 1) / 2
		} else {
			block.Y = (block.Y + 1) / 2
		}
	}
	if block != tile {
		return block, false
	}
	for block.X*block.Y < minBlock {
		if block.X <= block.Y {
			block.X += tile.X
		} else {
			block.Y += tile.Y
		}
	}
	return block, true
}

// done checks the levels and completes the Info.
func (r *fileReader) done() (*fileReader, error) {
	if len(r.info.Levels) == 0 {
		return nil, errors.New("no image in this file")
	}
	for _, l := range r.info.Levels {
		if l.Size.X <= 0 || l.Size.Y <= 0 || !(l.Downsample >= 1) {
			return nil, errors.New("damaged: a level has no size; copy it again")
		}
	}
	if r.info.MPPX > 0 && r.info.MPPY == 0 {
		r.info.MPPY = r.info.MPPX
	}
	r.info.MPP = (r.info.MPPX + r.info.MPPY) / 2
	full := image.Rectangle{Max: r.info.Levels[0].Size}
	if r.info.Bounds = r.info.Bounds.Intersect(full); r.info.Bounds.Empty() {
		r.info.Bounds = full
	}
	return r, nil
}

func (r *fileReader) Info() Info { return r.info }

func (r *fileReader) ReadBlock(_ context.Context, level, bx, by int, dst []byte) error {
	l := r.info.Levels[level]
	at := image.Pt(bx*l.Block.X, by*l.Block.Y)
	area := image.Rectangle{at, at.Add(l.Block)}.Intersect(image.Rectangle{Max: l.Size})
	if t := r.jpegOf(level); t != nil && t.read(area, dst) {
		return nil
	}
	if err := r.read(level, area, dst); err != nil {
		return err
	}
	if r.levels[level].ycc {
		toRGB(dst)
	}
	return nil
}

// read reads through the open image of a level. Once OpenSlide has failed on one tile, every later
// read of that image fails: so the image is dropped, and this rectangle is tried once more on an
// image of its own, in case the failure was another reader's.
func (r *fileReader) read(level int, area image.Rectangle, dst []byte) error {
	im, err := r.open(level)
	if err != nil {
		return err
	}
	defer im.unref()
	tries, opens := 0, true
	err = explained(func() verdict {
		if tries++; tries == 1 {
			return im.read(area, dst)
		}
		var own vipsImage
		if own, opens = im.tryRGB(); !opens {
			return failed
		}
		defer own.unref()
		return own.read(area, dst)
	})
	if tries > 1 {
		r.drop(level, im)
	}
	switch {
	case err == nil:
		return nil
	case !opens: // gone, or another file by now
		return unopenable(err)
	}
	err = fmt.Errorf("this part cannot be decoded, the file may be damaged: copy it again (%w)", err)
	if r.levels[level].flat {
		return fileError{err}
	}
	return err
}

var errClosed = errors.New("the slide is closed")

// open returns the open image of a level with a reference for the caller.
func (r *fileReader) open(level int) (*vipsImage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	l := &r.levels[level]
	if l.im == nil {
		im, err := l.openRGB()
		if err != nil {
			return nil, err
		}
		l.im = &im
	}
	l.im.ref()
	return l.im, nil
}

// A forgetter is a BlockReader that keeps levels open.
type forgetter interface{ forget(level int) }

// forget closes a level until it is read again: OpenSlide keeps 32 MB for each, and an index of its tiles.
func (r *fileReader) forget(level int) {
	r.mu.Lock()
	im := r.levels[level].im
	r.mu.Unlock()
	if im != nil {
		r.drop(level, im)
	}
}

// drop lets go of an image unless it has been replaced already.
func (r *fileReader) drop(level int, im *vipsImage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := &r.levels[level]; l.im == im {
		l.im = nil
		im.unref()
	}
}

func (r *fileReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for level := range r.levels {
		if l := &r.levels[level]; l.im != nil {
			l.im.unref()
			l.im = nil
		}
	}
	r.closeFile()
	return nil
}

// toRGB converts YCbCr of JFIF (full range, ITU-R BT.601) to RGB in place, in 16-bit fixed point.
func toRGB(pix []byte) {
	for ; len(pix) >= 3; pix = pix[3:] {
		y, cb, cr := int(pix[0])<<16+1<<15, int(pix[1])-128, int(pix[2])-128
		pix[0] = byte(min(max(y+91881*cr, 0)>>16, 255))
		pix[1] = byte(min(max(y-22554*cb-46802*cr, 0)>>16, 255))
		pix[2] = byte(min(max(y+116130*cb, 0)>>16, 255))
	}
}
