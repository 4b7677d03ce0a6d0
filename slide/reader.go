package slide

import (
	"context"
	"errors"
	"image"
	"sync"
)

// A fileReader reads blocks of a file through libvips.
type fileReader struct {
	info Info
	ycc  bool // pixels that libvips takes for RGB are YCbCr

	mu     sync.Mutex
	levels []fileLevel
}

// A fileLevel is opened when its first block is read.
type fileLevel struct {
	opening
	im *vipsImage
}

func newFileReader(info Info) *fileReader { return &fileReader{info: info} }

// add adds a level; tile is the file's own tile size, or nothing.
func (r *fileReader) add(size image.Point, downsample float64, tile image.Point, o opening) {
	r.info.Levels = append(r.info.Levels, Level{size, downsample, image.Pt(blockEdge(tile.X), blockEdge(tile.Y))})
	r.levels = append(r.levels, fileLevel{opening: o})
}

// blockEdge returns the edge of the blocks for tiles of an edge: a whole number of small tiles, a part
// of a huge one, 256 where there are none.
func blockEdge(tile int) int {
	switch {
	case tile <= 0:
		return 256
	case tile < 128:
		return (256 + tile - 1) / tile * tile
	}
	for tile > 1024 && tile%2 == 0 {
		tile /= 2
	}
	return min(tile, 2048)
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
	x, y := bx*l.Block.X, by*l.Block.Y
	w, h := min(l.Block.X, l.Size.X-x), min(l.Block.Y, l.Size.Y-y)
	err := r.read(level, x, y, w, h, dst)
	if err != nil {
		return err
	}
	if r.ycc {
		toRGB(dst)
	}
	return nil
}

// read reads through the open image of a level. Once OpenSlide has failed on one tile, every later
// read of that image fails: so the image is dropped, and this rectangle is tried once more on an
// image of its own, in case the failure was another reader's.
func (r *fileReader) read(level, x, y, w, h int, dst []byte) error {
	im, err := r.open(level)
	if err != nil {
		return err
	}
	err = im.read(x, y, w, h, dst)
	im.unref()
	if err == nil {
		return nil
	}
	r.drop(level, im)
	alone, reopenErr := r.levels[level].openRGB()
	if reopenErr != nil {
		return err
	}
	defer alone.unref()
	return alone.read(x, y, w, h, dst)
}

// open returns the open image of a level with a reference for the caller.
func (r *fileReader) open(level int) (*vipsImage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
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
	for level := range r.levels {
		if im := r.levels[level].im; im != nil {
			r.drop(level, im)
		}
	}
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
