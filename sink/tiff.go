package sink

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
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

// A TIFF is a Container: a BigTIFF with one page a level, as OpenSlide, QuPath, ASAP, libvips and
// tifffile read it. Pixels are 8-bit grey, 0 is black. Tiles of one value are stored once for each
// value and shared. The header's pointer to the first page is written last, so a file that was cut
// short is never taken for whole.
type TIFF struct {
	cfg    TIFFConfig
	codec  codec
	part   *partial
	w      *bufio.Writer
	pos    uint64
	levels []tiffLevel
	shared map[byte]stored // where a tile of one value is
	buf    []byte
}

type tiffLevel struct {
	size  image.Point
	wide  int // tiles in a row
	tiles []stored
}

// stored is where a tile's bytes are in the file; none are at offset 0.
type stored struct{ offset, count uint64 }

// CreateTIFF starts a TIFF that will have the name path once it is committed.
func CreateTIFF(path string, cfg TIFFConfig) (*TIFF, error) { return createTIFF(disk{}, path, cfg) }

func createTIFF(fsys fileSystem, path string, cfg TIFFConfig) (*TIFF, error) {
	if cfg.Tile <= 0 || cfg.Tile%16 != 0 {
		return nil, fmt.Errorf("tile of %d pixels: TIFF wants a multiple of 16", cfg.Tile)
	}
	if cfg.RGB != (cfg.Compression == "jpeg") {
		return nil, fmt.Errorf("compression %q: colour is stored as jpeg, and labels never are", cfg.Compression)
	}
	codec, err := newCodec(cfg.Compression, cfg.Tile)
	if err != nil {
		return nil, err
	}
	part, err := createPartial(fsys, path)
	if err != nil {
		return nil, err
	}
	t := &TIFF{cfg: cfg, codec: codec, part: part, w: bufio.NewWriterSize(part, 1<<18), shared: map[byte]stored{}}
	for _, s := range Levels(cfg.Size, cfg.Tile) {
		wide, high := (s.X+cfg.Tile-1)/cfg.Tile, (s.Y+cfg.Tile-1)/cfg.Tile
		t.levels = append(t.levels, tiffLevel{s, wide, make([]stored, wide*high)})
	}
	header := [16]byte{'I', 'I', 43, 0, 8} // the offset of the first page stays 0 until Commit
	if err := t.append(header[:]); err != nil {
		return nil, fileError(errors.Join(err, part.abort()))
	}
	return t, nil
}

// append writes at the end of the file.
func (t *TIFF) append(b []byte) error {
	n, err := t.w.Write(b)
	t.pos += uint64(n)
	return err
}

// WriteTile stores a tile; see [Container].
func (t *TIFF) WriteTile(level, x, y int, pix []byte) error {
	l := &t.levels[level]
	at := &l.tiles[y*l.wide+x]
	if at.count != 0 {
		return fmt.Errorf("tile (%d, %d) of level %d was written twice", x, y, level)
	}
	uniform := !t.cfg.RGB && bytes.Equal(pix[1:], pix[:len(pix)-1])
	if s, ok := t.shared[pix[0]]; uniform && ok {
		*at = s
		return nil
	}
	var err error
	if t.buf, err = t.codec.encode(t.buf[:0], pix); err != nil {
		return err
	}
	*at = stored{t.pos, uint64(len(t.buf))}
	if uniform {
		t.shared[pix[0]] = *at
	}
	return fileError(t.append(t.buf))
}

// Commit writes the pages and makes the file whole.
func (t *TIFF) Commit() error {
	for i, l := range t.levels {
		for _, s := range l.tiles {
			if s.count == 0 {
				return errors.Join(fmt.Errorf("a tile of level %d is missing", i), t.Abort())
			}
		}
	}
	first, err := t.writePages()
	if err == nil {
		err = t.w.Flush()
	}
	if err == nil {
		err = t.part.Sync() // all but the header is durable before the header makes it a TIFF
	}
	if err == nil {
		_, err = t.part.WriteAt(binary.LittleEndian.AppendUint64(nil, first), 8)
	}
	if err != nil {
		return fileError(errors.Join(err, t.Abort()))
	}
	return t.part.commit()
}

// Abort removes the file.
func (t *TIFF) Abort() error { return t.part.abort() }

// writePages writes the pages, last level first so that each can point to the next, and returns the
// offset of the first.
func (t *TIFF) writePages() (next uint64, err error) {
	for level := len(t.levels) - 1; level >= 0; level-- {
		if next, err = t.writePage(t.page(level), next); err != nil {
			return 0, err
		}
	}
	return next, nil
}

// page returns the tags of a level, in ascending order as TIFF wants them.
func (t *TIFF) page(level int) []tag {
	l := t.levels[level]
	var offsets, counts []uint64
	for _, s := range l.tiles {
		offsets, counts = append(offsets, s.offset), append(counts, s.count)
	}
	reduced := uint32(min(level, 1))
	bands, photometric := []uint16{8}, uint16(1) // min is black
	if t.cfg.RGB {
		bands, photometric = []uint16{8, 8, 8}, 6 // YCbCr, as the JPEG streams are
	}
	tags := []tag{
		longs(254, reduced),
		longs(256, uint32(l.size.X)),
		longs(257, uint32(l.size.Y)),
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
	tags = append(tags, longs(322, uint32(t.cfg.Tile)), longs(323, uint32(t.cfg.Tile)), long8s(324, offsets), long8s(325, counts))
	if t.cfg.RGB {
		tags = append(tags, shorts(530, 2, 2)) // chroma is halved both ways
	}
	return tags
}
