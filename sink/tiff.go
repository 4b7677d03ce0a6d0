package sink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
)

// TIFFConfig describes a tiled pyramidal BigTIFF.
type TIFFConfig struct {
	Size        image.Point // of level 0, px
	Tile        int         // edge of a tile: a multiple of 16, 256 or 512 as a rule
	Compression string      // one of Compressions; jpeg for three bands only
	RGB         bool        // three bands, compressed as JPEG; otherwise one grey band
	MPP         float64     // µm a pixel of level 0; 0: not stated
	Software    string
	Description string
}

// Bounds of what the format's 32-bit fields and our index can say.
const (
	maxEdge = math.MaxUint32 // px
	minMPP  = 1e-4           // 10⁸ pixels per centimetre
	maxMPP  = 1e5
	maxTile = 1 << 14 // px: a tile's compressed bytes are counted in 32 bits
)

// Validate reports all that is wrong with c.
func (c TIFFConfig) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(min(c.Size.X, c.Size.Y) >= 1 && max(c.Size.X, c.Size.Y) <= maxEdge, "image of %v pixels: TIFF wants 1 to %d each way", c.Size, maxEdge)
	check(c.Tile >= 16 && c.Tile%16 == 0 && c.Tile <= maxTile, "tile of %d pixels: TIFF wants a multiple of 16 up to %d", c.Tile, maxTile)
	check(c.RGB == (c.Compression == "jpeg"), "compression %q: colour is stored as jpeg, and labels never are", c.Compression)
	check(c.MPP == 0 || c.MPP >= minMPP && c.MPP <= maxMPP, "resolution of %g µm/px: give %g to %g, or 0 when it is unknown", c.MPP, minMPP, maxMPP)
	return errors.Join(errs...)
}

// A TIFF is a Container: a BigTIFF with one page a level, as OpenSlide, QuPath, ASAP, libvips and
// tifffile read it. Pixels are 8-bit grey, 0 is black. Tiles of one value are stored once for each
// value and shared. The header's pointer to the first page is written last, so a file that was cut
// short is never taken for whole.
type TIFF struct {
	cfg    TIFFConfig
	codec  codec
	part   *partial
	w      *bufio.Writer
	err    error // the first that append met
	pos    uint64
	levels []tiffLevel
	shared map[shared]stored // where a tile of one value is
	cut    []byte            // a tile of the file that is smaller than what WriteTile gets
	buf    []byte
}

// A tiffLevel is the index of a level: what IndexBytes counts. A tile that is not written has count 0.
type tiffLevel struct {
	size    image.Point
	tile    image.Point // of the file: see fileTiles
	tiles   image.Point // columns and rows
	offsets []uint64
	counts  []uint32
}

// fileTiles returns the size of the tiles in the file, and their columns and rows, in a level. In a level
// that is smaller than a tile they are smaller than the level: OpenSlide 3.4.1 reads a level by tiles, and
// libtiff 4.5 shifts the rows of one that is wider or higher than its image. A multiple of 32 keeps them
// whole kibibytes: the same pair refuses other sizes without compression.
func fileTiles(size image.Point, edge int) (tile, n image.Point) {
	fit := func(n int) int { return max(16, min(edge, n/32*32)) }
	tile = image.Pt(fit(size.X), fit(size.Y))
	return tile, image.Pt((size.X+tile.X-1)/tile.X, (size.Y+tile.Y-1)/tile.Y)
}

// A shared tile is one of one value.
type shared struct {
	size  image.Point
	value byte
}

// stored is where a tile's bytes are in the file.
type stored struct {
	offset uint64
	count  uint32
}

// CreateTIFF starts a TIFF that will have the name path once it is committed.
func CreateTIFF(fsys FileSystem, path string, cfg TIFFConfig) (*TIFF, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	codec, err := newCodec(cfg.Compression)
	if err != nil {
		return nil, err
	}
	part, err := createPartial(fsys, path)
	if err != nil {
		return nil, err
	}
	t := &TIFF{cfg: cfg, codec: codec, part: part, w: bufio.NewWriterSize(part, 1<<18), shared: map[shared]stored{}}
	for _, s := range Levels(cfg.Size, cfg.Tile) {
		tile, n := fileTiles(s, cfg.Tile)
		t.levels = append(t.levels, tiffLevel{s, tile, n, make([]uint64, n.X*n.Y), make([]uint32, n.X*n.Y)})
	}
	t.append([]byte{'I', 'I', 43, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // the first page's offset stays 0 until Commit
	return t, nil
}

// append writes at the end of the file and returns where that was. An error stays in t.err.
func (t *TIFF) append(b []byte) (at uint64) {
	at = t.pos
	t.pos += uint64(len(b))
	if _, err := t.w.Write(b); err != nil && t.err == nil {
		t.err = err
	}
	return at
}

// WriteTile stores a tile; see [Container].
func (t *TIFF) WriteTile(level, x, y int, pix []byte) error {
	l, err := t.vacant(level, x, y)
	if err != nil {
		return err
	}
	if t.Whole(level) {
		return t.store(l, y*l.tiles.X+x, pix)
	}
	return t.storeCut(l, x, y, pix)
}

// vacant returns a level in which there is no tile (x, y) yet.
func (t *TIFF) vacant(level, x, y int) (*tiffLevel, error) {
	if t.part.ended {
		return nil, errEnded
	}
	if level < 0 || level >= len(t.levels) || !image.Pt(x, y).In(image.Rectangle{Max: tilesIn(t.levels[level].size, t.cfg.Tile)}) {
		return nil, fmt.Errorf("the image has no tile (%d, %d) in level %d", x, y, level)
	}
	l := &t.levels[level]
	if l.counts[y*l.tiles.X+x] != 0 {
		return nil, fmt.Errorf("tile (%d, %d) of level %d was written twice", x, y, level)
	}
	return l, nil
}

// Whole reports whether tiles of a level are stored as WriteTile gets them. Those of a level that is
// smaller than a tile are not, and have no code of their own.
func (t *TIFF) Whole(level int) bool { return t.levels[level].tile == image.Pt(t.cfg.Tile, t.cfg.Tile) }

// NewEncoder returns what appends the code of a tile to dst, for WriteCode: several goroutines can encode,
// each with an encoder of its own.
func (t *TIFF) NewEncoder() (encode func(dst, pix []byte) ([]byte, error), err error) {
	c, err := newCodec(t.cfg.Compression)
	return func(dst, pix []byte) ([]byte, error) { return c.encode(dst, pix, t.cfg.Tile*t.bands()) }, err
}

// WriteCode is WriteTile of a tile of a Whole level that has been encoded.
func (t *TIFF) WriteCode(level, x, y int, code []byte) error {
	l, err := t.vacant(level, x, y)
	if err != nil {
		return err
	}
	if !t.Whole(level) || len(code) == 0 {
		return fmt.Errorf("a code of %d bytes for tile (%d, %d) of level %d, whose tiles have %v pixels", len(code), x, y, level, l.tile)
	}
	i := y*l.tiles.X + x
	l.offsets[i], l.counts[i] = t.append(code), uint32(len(code))
	return t.err
}

// Repeat is WriteTile of the pixels of another tile of a Whole level, which are stored once.
func (t *TIFF) Repeat(level, x, y int, of image.Point) error {
	l, err := t.vacant(level, x, y)
	if err != nil {
		return err
	}
	from := of.Y*l.tiles.X + of.X
	if !t.Whole(level) || !of.In(image.Rectangle{Max: l.tiles}) || l.counts[from] == 0 {
		return fmt.Errorf("tile (%d, %d) of level %d repeats tile %v, which is not there", x, y, level, of)
	}
	i := y*l.tiles.X + x
	l.offsets[i], l.counts[i] = l.offsets[from], l.counts[from]
	return nil
}

// storeCut stores a tile of a level whose tiles are smaller in the file. Along an axis either they are
// not, or there is one tile that is cut, in two at most.
func (t *TIFF) storeCut(l *tiffLevel, x, y int, pix []byte) error {
	bands, full := t.bands(), t.cfg.Tile
	for from := (image.Point{}); from.Y < full && y*full+from.Y < l.size.Y; from.Y += l.tile.Y {
		for from.X = 0; from.X < full && x*full+from.X < l.size.X; from.X += l.tile.X {
			t.cut = slices.Grow(t.cut[:0], l.tile.X*l.tile.Y*bands)
			for row := from.Y; row < from.Y+l.tile.Y; row++ {
				line := t.cut[len(t.cut) : len(t.cut)+l.tile.X*bands]
				clear(line)
				if row < full {
					copy(line, pix[(row*full+from.X)*bands:(row+1)*full*bands])
				}
				t.cut = t.cut[:len(t.cut)+len(line)]
			}
			i := (y+from.Y/l.tile.Y)*l.tiles.X + x + from.X/l.tile.X
			if err := t.store(l, i, t.cut); err != nil {
				return err
			}
		}
	}
	return nil
}

// store stores tile i of a level of the file.
func (t *TIFF) store(l *tiffLevel, i int, pix []byte) error {
	uniform := !t.cfg.RGB && bytes.Equal(pix[1:], pix[:len(pix)-1])
	like := shared{l.tile, pix[0]}
	if s, ok := t.shared[like]; uniform && ok {
		l.offsets[i], l.counts[i] = s.offset, s.count
		return nil
	}
	var err error
	if t.buf, err = t.codec.encode(t.buf[:0], pix, l.tile.X*t.bands()); err != nil {
		return err
	}
	l.offsets[i], l.counts[i] = t.append(t.buf), uint32(len(t.buf))
	if uniform {
		t.shared[like] = stored{l.offsets[i], l.counts[i]}
	}
	return t.err
}

func (t *TIFF) bands() int {
	if t.cfg.RGB {
		return 3
	}
	return 1
}

// Commit writes the pages and makes the file whole.
func (t *TIFF) Commit() error {
	if t.part.ended {
		return errEnded
	}
	for i, l := range t.levels {
		if slices.Contains(l.counts, 0) {
			return also(fmt.Errorf("a tile of level %d is missing", i), t.Abort())
		}
	}
	first := t.writePages()
	err := t.w.Flush() // keeps the first error of append
	if err == nil {
		err = t.part.sync() // all but the header is durable before the header makes it a TIFF
	}
	if err == nil {
		_, err = t.part.WriteAt(le.AppendUint64(nil, first), 8)
	}
	if err != nil {
		return also(err, t.Abort())
	}
	return t.part.commit()
}

// Abort removes the file.
func (t *TIFF) Abort() error { return t.part.abort() }

// writePages writes the pages, last level first so that each can point to the next, and returns the
// offset of the first.
func (t *TIFF) writePages() (next uint64) {
	for level := len(t.levels) - 1; level >= 0; level-- {
		next = t.writePage(t.page(level), next)
	}
	return next
}

// page returns the tags of a level, in ascending order as TIFF wants them, and writes its index.
func (t *TIFF) page(level int) []tag {
	l := t.levels[level]
	reduced := uint32(min(level, 1))
	bands, photometric := []uint16{8}, uint16(1) // min is black
	if t.cfg.RGB {
		bands, photometric = []uint16{8, 8, 8}, 6 // YCbCr, as the JPEG streams are
	}
	tags := []tag{
		long(254, reduced),
		long(256, uint32(l.size.X)),
		long(257, uint32(l.size.Y)),
		shorts(258, bands...),
		shorts(259, t.codec.compression),
		shorts(262, photometric),
	}
	if level == 0 && t.cfg.Description != "" {
		tags = append(tags, ascii(270, t.cfg.Description))
	}
	tags = append(tags, shorts(277, uint16(len(bands))))
	if t.cfg.MPP > 0 {
		for i, r := range []float64{float64(l.size.X) / float64(t.cfg.Size.X), float64(l.size.Y) / float64(t.cfg.Size.Y)} {
			tags = append(tags, rational(282+uint16(i), 1e4/t.cfg.MPP*r))
		}
	}
	tags = append(tags, shorts(284, 1)) // bands interleaved
	if t.cfg.MPP > 0 {
		tags = append(tags, shorts(296, 3)) // resolution in pixels per centimetre
	}
	if t.cfg.Software != "" {
		tags = append(tags, ascii(305, t.cfg.Software))
	}
	tags = append(tags, long(322, uint32(l.tile.X)), long(323, uint32(l.tile.Y)), writeLong8s(t, 324, l.offsets), writeLong8s(t, 325, l.counts))
	if t.cfg.RGB {
		tags = append(tags, shorts(530, 2, 2)) // chroma is halved both ways
	}
	return tags
}

// IndexBytes is the memory that a TIFF keeps of where its tiles are.
func IndexBytes(size image.Point, tile int) int64 {
	var tiles int64
	for _, s := range Levels(size, tile) {
		_, n := fileTiles(s, tile)
		tiles += int64(n.X) * int64(n.Y)
	}
	return tiles * (8 + 4)
}
