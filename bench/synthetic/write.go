package synthetic

import (
	"context"
	"errors"
	"fmt"
	"image"
	"runtime"
	"strings"

	"microtome/sink"
)

// tile is the edge of the tiles of synthetic slides, px. Glass repeats in it.
const tile = grainEdge

// TableOf returns the name of the table of nuclei that goes with a mask of them.
func TableOf(truthPath string) string { return strings.TrimSuffix(truthPath, ".tif") + ".csv" }

// WriteSlide is WriteSlideProgress that nobody watches.
func WriteSlide(ctx context.Context, slidePath, truthPath string, c Config) error {
	return WriteSlideProgress(ctx, slidePath, truthPath, c, func(float64) {})
}

// WriteSlideProgress writes a synthetic slide, the mask of its nuclei, label 1, and beside the mask their
// table, [TableOf]. It tells done now and then which part of the work is done, 0 to 1. All processors
// paint; the bytes do not depend on how many there are. When ctx ends it leaves no file and returns the
// cause. c is valid.
func WriteSlideProgress(ctx context.Context, slidePath, truthPath string, c Config, done func(part float64)) (err error) {
	size := image.Pt(c.Size, c.Size)
	description := fmt.Sprintf("Aperio microtome synthetic\r\n%dx%d (%dx%d) JPEG/YCC|AppMag = 20|MPP = %.4f|Seed = %d", size.X, size.Y, tile, tile, mpp, c.Seed)
	picture, err := sink.CreateTIFF(sink.Disk, slidePath, sink.TIFFConfig{
		Size: size, Tile: tile, RGB: true, Compression: "jpeg", MPP: mpp, Software: "microtome bench", Description: description,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, picture.Abort()) }() // does nothing to what is committed
	mask, err := sink.CreateTIFF(sink.Disk, truthPath, sink.TIFFConfig{
		Size: size, Tile: tile, Compression: "lzw", MPP: mpp, Software: "microtome bench", Description: "microtome bench truth",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mask.Abort()) }()
	table, err := sink.CreateWhole(sink.Disk, TableOf(truthPath))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Abort()) }()

	s := newScene(c)
	w := &writer{pyramid: newPyramid(s, sink.Levels(size, tile)), picture: picture, truth: sink.NewPyramid(size, tile, sink.Majority, mask)}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	listed := make(chan error, 1)
	go func() {
		err := s.list(ctx, table)
		if err != nil {
			stop(err)
		}
		listed <- err
	}()
	if err = w.write(ctx, done); err != nil {
		stop(err)
	}
	if failed := <-listed; err == nil {
		err = failed
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	// The slide comes last: where it is, its truth is.
	if err := table.Commit(); err != nil {
		return err
	}
	if err := w.truth.Commit(); err != nil {
		return err
	}
	return picture.Commit()
}

// A pyramid makes tiles from the four below them, with one tile a level in memory.
type pyramid struct {
	*scene
	levels []image.Point
	glass  [][]byte // what a tile of a level is without tissue
	pix    [][]byte // the tile of a level that was made last
}

func newPyramid(s *scene, levels []image.Point) pyramid {
	p := pyramid{scene: s, levels: levels, glass: [][]byte{s.glass}}
	for level := range levels {
		if level > 0 {
			shrunk := make([]byte, 3*tile*tile)
			for i := range 4 {
				halve(quarter(shrunk, i), p.glass[level-1])
			}
			p.glass = append(p.glass, shrunk)
		}
		p.pix = append(p.pix, make([]byte, 3*tile*tile))
	}
	return p
}

// tile makes tile (x, y) of a level, with all below it down to the level bottom, whose tiles leaf makes and
// puts where they go. put does that for the others. A tile that is all glass says so.
func (p *pyramid) tile(level, x, y, bottom int, leaf func(x, y int, pix []byte) (glass bool, err error), put func(level, x, y int, glass bool, pix []byte) error) (glass bool, err error) {
	pix := p.pix[level]
	if level == bottom {
		return leaf(x, y, pix)
	}
	copy(pix, p.glass[level])
	glass = true
	for i := range 4 {
		cx, cy := 2*x+i%2, 2*y+i/2
		if cx*tile >= p.levels[level-1].X || cy*tile >= p.levels[level-1].Y {
			continue
		}
		bare, err := p.tile(level-1, cx, cy, bottom, leaf, put)
		if err != nil {
			return false, err
		}
		if !bare {
			halve(quarter(pix, i), p.pix[level-1])
			glass = false
		}
	}
	return glass, put(level, x, y, glass, pix)
}

// quarter returns a quarter of a tile, in rows of the tile.
func quarter(pix []byte, i int) []byte { return pix[3*(i/2*tile/2*tile+i%2*tile/2):] }

// halve puts the means of a tile's 2 × 2 pixels into a quarter of another.
func halve(dst, src []byte) {
	for y := range tile / 2 {
		a, b, d := src[3*2*y*tile:][:3*tile], src[3*(2*y+1)*tile:][:3*tile], dst[3*y*tile:][:3*tile/2]
		for i, j := 0, 0; i+5 < len(a); i, j = i+6, j+3 {
			d[j] = byte((int(a[i]) + int(a[i+3]) + int(b[i]) + int(b[i+3]) + 2) >> 2)
			d[j+1] = byte((int(a[i+1]) + int(a[i+4]) + int(b[i+1]) + int(b[i+4]) + 2) >> 2)
			d[j+2] = byte((int(a[i+2]) + int(a[i+5]) + int(b[i+2]) + int(b[i+5]) + 2) >> 2)
		}
	}
}

// partLevel is the level of which a tile, with all that is below it, is painted in one go.
const partLevel = 2

// A part is a tile of partLevel, or of the last level, with all that is below it.
type part struct {
	x, y  int
	tiles []painted // lower ones first
	codes []byte    // of the tiles
	truth []byte    // of the tiles of level 0 with tissue
	pix   []byte    // of the tile itself
	glass bool
	err   error
	made  chan struct{} // gets a value when the part has been painted
}

// A painted tile has a code, is glass, or is what a part has in pix.
type painted struct {
	level, x, y int
	glass       bool
	code        int // bytes
}

// A writer writes what is painted, in one order.
type writer struct {
	pyramid
	picture *sink.TIFF
	truth   *sink.Pyramid
	bare    map[int]image.Point // a tile of glass in a level
}

// write paints the slide with all processors, and writes it.
func (w *writer) write(ctx context.Context, done func(part float64)) (err error) {
	top, bottom := len(w.levels)-1, min(partLevel, len(w.levels)-1)
	w.bare = map[int]image.Point{}
	ctx, stop := context.WithCancelCause(ctx)
	painters := min(runtime.GOMAXPROCS(0), 16)
	parts := 2*painters + 1
	free, jobs, order := make(chan *part, parts), make(chan *part, parts), make(chan *part, parts)
	for range parts {
		free <- &part{pix: make([]byte, 3*tile*tile), made: make(chan struct{}, 1)}
	}
	ended := make(chan struct{}, painters)
	for range painters {
		go func() {
			defer func() { ended <- struct{}{} }()
			w.paintParts(ctx, bottom, jobs)
		}()
	}
	defer func() { // nobody paints any more when files are removed
		stop(err)
		for range painters {
			<-ended
		}
	}()
	go func() { // hands the parts out in the order in which they are written
		defer close(jobs)
		walk := pyramid{levels: w.levels, pix: make([][]byte, len(w.levels)), glass: make([][]byte, len(w.levels))}
		leaf := func(x, y int, _ []byte) (bool, error) {
			select {
			case p := <-free:
				p.x, p.y = x, y
				order <- p // both have room for all parts
				jobs <- p
				return true, nil
			case <-ctx.Done():
				return true, context.Cause(ctx)
			}
		}
		_, _ = walk.tile(top, 0, 0, bottom, leaf, func(int, int, int, bool, []byte) error { return nil }) // ends with ctx, which the writer sees as well
	}()
	area, written := float64(w.levels[0].X)*float64(w.levels[0].Y), 0.0
	_, err = w.tile(top, 0, 0, bottom, func(_, _ int, pix []byte) (bool, error) {
		var p *part
		select {
		case p = <-order:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		select {
		case <-p.made:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		if p.err != nil {
			return false, p.err
		}
		copy(pix, p.pix)
		if err := w.put(p); err != nil {
			return false, err
		}
		glass := p.glass
		edge := tile << bottom
		r := image.Rect(p.x*edge, p.y*edge, (p.x+1)*edge, (p.y+1)*edge).Intersect(image.Rectangle{Max: w.levels[0]})
		written += float64(r.Dx()) * float64(r.Dy())
		done(written / area)
		free <- p
		return glass, nil
	}, func(level, x, y int, glass bool, pix []byte) error {
		return w.putTile(painted{level: level, x: x, y: y, glass: glass}, nil, pix)
	})
	return err
}

// put writes a part.
func (w *writer) put(p *part) error {
	codes, truth := p.codes, p.truth
	for _, t := range p.tiles {
		if err := w.putTile(t, codes[:t.code], p.pix); err != nil {
			return err
		}
		codes = codes[t.code:]
		if t.level > 0 {
			continue
		}
		labels := blank[:]
		if !t.glass {
			labels, truth = truth[:tile*tile], truth[tile*tile:]
		}
		r := image.Rect(t.x*tile, t.y*tile, (t.x+1)*tile, (t.y+1)*tile).Intersect(image.Rectangle{Max: w.levels[0]})
		if err := w.truth.Write(r, tile, labels); err != nil {
			return err
		}
	}
	return nil
}

// blank is the truth of a tile without tissue.
var blank [tile * tile]byte

// putTile writes a tile by its code, or by its pixels when it has none. Glass is stored once a level.
func (w *writer) putTile(t painted, code, pix []byte) error {
	if t.glass && w.picture.Whole(t.level) {
		if like, ok := w.bare[t.level]; ok {
			return w.picture.Repeat(t.level, t.x, t.y, like)
		}
		w.bare[t.level] = image.Pt(t.x, t.y)
		return w.picture.WriteTile(t.level, t.x, t.y, w.glass[t.level])
	}
	if len(code) > 0 {
		return w.picture.WriteCode(t.level, t.x, t.y, code)
	}
	return w.picture.WriteTile(t.level, t.x, t.y, pix)
}

// paintParts paints parts until there are no more, or ctx ends.
func (w *writer) paintParts(ctx context.Context, bottom int, jobs <-chan *part) {
	own := newPyramid(w.scene, w.levels[:bottom+1])
	brush := painter{scene: w.scene}
	encode, failed := w.picture.NewEncoder()
	for p := range jobs {
		if ctx.Err() != nil {
			return
		}
		p.tiles, p.codes, p.truth, p.err = p.tiles[:0], p.codes[:0], p.truth[:0], failed
		if p.err == nil {
			p.glass, p.err = own.tile(bottom, p.x, p.y, 0, func(x, y int, pix []byte) (bool, error) {
				used := len(p.truth)
				p.truth = append(p.truth, blank[:]...)
				tissue := brush.paint(pix, p.truth[used:], image.Rect(x*tile, y*tile, (x+1)*tile, (y+1)*tile))
				if !tissue {
					p.truth = p.truth[:used]
				}
				return !tissue, p.encode(encode, w.picture, 0, x, y, !tissue, pix)
			}, func(level, x, y int, glass bool, pix []byte) error {
				return p.encode(encode, w.picture, level, x, y, glass, pix)
			})
			copy(p.pix, own.pix[bottom])
		}
		p.made <- struct{}{}
	}
}

// encode adds a tile to a part.
func (p *part) encode(encode func(dst, pix []byte) ([]byte, error), picture *sink.TIFF, level, x, y int, glass bool, pix []byte) (err error) {
	before := len(p.codes)
	if !glass && picture.Whole(level) {
		p.codes, err = encode(p.codes, pix)
	}
	p.tiles = append(p.tiles, painted{level, x, y, glass, len(p.codes) - before})
	return err
}
