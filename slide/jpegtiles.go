package slide

/*
#cgo pkg-config: libjpeg
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <jpeglib.h>

// mt_same returns whether a path still leads to an open file.
static int mt_same(const char *path, int fd) {
	struct stat a, b;
	return stat(path, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

typedef struct {
	struct jpeg_error_mgr base;
	jmp_buf out;
} mt_jpeg_errors;

static void mt_jpeg_fail(j_common_ptr c) { longjmp(((mt_jpeg_errors *) c->err)->out, 1); }

// What libjpeg only warns of is a picture with holes.
static void mt_jpeg_message(j_common_ptr c, int level) {
	if (level < 0)
		mt_jpeg_fail(c);
}

// mt_jpeg decodes a tile of w x h pixels after the tables that its page has for all tiles (n_tables may be 0), and
// copies what lies in its first w_kept columns and h_kept rows to dst, as RGB in rows of stride bytes. It returns
// whether there was nothing to complain of. All of libjpeg's state lives and dies within the call.
static int mt_jpeg(const uint8_t *tables, size_t n_tables, const uint8_t *data, size_t n, int ycc, unsigned w, unsigned h,
		unsigned w_kept, unsigned h_kept, uint8_t *dst, size_t stride) {
	struct jpeg_decompress_struct c;
	mt_jpeg_errors errors;
	c.err = jpeg_std_error(&errors.base);
	errors.base.error_exit = mt_jpeg_fail;
	errors.base.emit_message = mt_jpeg_message;
	if (setjmp(errors.out)) {
		jpeg_destroy_decompress(&c);
		return 0;
	}
	jpeg_create_decompress(&c);
	if (n_tables > 0) {
		jpeg_mem_src(&c, (unsigned char *) tables, n_tables);
		if (jpeg_read_header(&c, FALSE) != JPEG_HEADER_TABLES_ONLY)
			mt_jpeg_fail((j_common_ptr) &c);
	}
	jpeg_mem_src(&c, (unsigned char *) data, n);
	jpeg_read_header(&c, TRUE);
	if (c.image_width != w || c.image_height != h || c.num_components != 3 || c.data_precision != 8)
		mt_jpeg_fail((j_common_ptr) &c);
	c.jpeg_color_space = ycc ? JCS_YCbCr : JCS_RGB; // the page's tag decides, as in OpenSlide
	c.out_color_space = JCS_RGB;
	jpeg_start_decompress(&c);
	JSAMPROW spare = c.mem->alloc_large((j_common_ptr) &c, JPOOL_IMAGE, 3 * (size_t) w); // for what is cut off
	while (c.output_scanline < h) {
		unsigned y = c.output_scanline;
		JSAMPROW row = w == w_kept && y < h_kept ? dst + y * stride : spare;
		jpeg_read_scanlines(&c, &row, 1);
		if (row == spare && y < h_kept)
			memcpy(dst + y * stride, spare, 3 * (size_t) w_kept);
	}
	jpeg_finish_decompress(&c);
	jpeg_destroy_decompress(&c);
	return 1;
}
*/
import "C"

import (
	"encoding/binary"
	"image"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"unsafe"
)

// A jpegPage says where a page of a TIFF keeps its JPEG tiles, of three components with 8 bits.
type jpegPage struct {
	order            binary.ByteOrder
	offsets, lengths tiffArray
	tables           []byte // for all tiles; none: each has its own
	ycc              bool   // by the tag, or else RGB
}

// A tiffArray is where a tag keeps numbers that are too many to be read at once.
type tiffArray struct {
	at    uint64
	width int
	n     uint64
}

// maxTables is far more than all the tables that a JPEG file can have, bytes.
const maxTables = 1 << 16

// jpegPage reads the entries of a page, the first of which lies at an offset. It returns nil where they say what
// jpegTiles does not read, or what others may understand in another way.
func (t *tiffParser) jpegPage(entries []byte, at uint64, size, inline int) *jpegPage {
	p := &jpegPage{order: t.order}
	var last uint16
	needed := 6 // tags without a default
	for ; len(entries) > 0; entries, at = entries[size:], at+uint64(size) {
		e := entries[:size]
		id := t.order.Uint16(e)
		if id <= last { // in disorder, or twice
			return nil
		}
		last = id
		ok := true
		switch id {
		case 258: // bits of each component
			ok = slices.Equal(t.values(e, inline), []uint64{8, 8, 8})
			needed--
		case 259: // compression
			ok = slices.Equal(t.values(e, inline), []uint64{7})
			needed--
		case 262: // colours
			p.ycc = slices.Equal(t.values(e, inline), []uint64{6})
			ok = p.ycc || slices.Equal(t.values(e, inline), []uint64{2})
			needed--
		case 266, 284: // bits from the highest on; components side by side
			ok = slices.Equal(t.values(e, inline), []uint64{1})
		case 277: // components
			ok = slices.Equal(t.values(e, inline), []uint64{3})
			needed--
		case 324:
			p.offsets, ok = t.array(e, at, inline)
			needed--
		case 325:
			p.lengths, ok = t.array(e, at, inline)
			needed--
		case 347:
			ok = kindWidth(t.order.Uint16(e[2:])) == 1 && t.uint(e[4:][:inline]) <= maxTables
			if ok {
				p.tables = t.raw(e, inline)
			}
		}
		if !ok {
			return nil
		}
	}
	if needed > 0 {
		return nil
	}
	return p
}

// array finds the values of an entry that lies at an offset.
func (t *tiffParser) array(e []byte, at uint64, inline int) (a tiffArray, ok bool) {
	switch t.order.Uint16(e[2:]) {
	case 3, 4, 16: // unsigned numbers
	default:
		return a, false
	}
	a = tiffArray{at + uint64(4+inline), kindWidth(t.order.Uint16(e[2:])), t.uint(e[4:][:inline])}
	if a.n > uint64(inline/a.width) {
		a.at = t.uint(e[4+inline:][:inline])
	}
	return a, true
}

// jpegTiles are the tiles of a level of an Aperio slide. OpenSlide decodes them by the same library to the same pixels, but
// takes four times as long (BenchmarkWays), most of it to lay them on an empty picture. Where anything is not as it
// should be, it is asked instead, and what it says counts.
type jpegTiles struct {
	file   io.ReaderAt
	header tiffHeader
	same   func() bool // whether it is still the file of that name; nil: it cannot be another
}

// jpegLevels finds the levels of a slide that are JPEG tiles in a file; none where anything is out of the ordinary.
func jpegLevels(file io.ReaderAt, levels []Level) []*jpegTiles {
	found := make([]*jpegTiles, len(levels))
	pages, err := parseTIFF(file)
	if err != nil {
		return found
	}
	for n, l := range levels {
		if l.Downsample != float64(int(l.Downsample)) { // OpenSlide shifts its tiles by parts of a pixel
			continue
		}
		for _, h := range pages {
			if _, whole := blockSize(h.tile); h.size != l.Size || !whole {
				continue
			}
			if found[n] != nil { // which of them is it?
				found[n] = nil
				break
			}
			found[n] = &jpegTiles{file: file, header: h}
		}
		if t := found[n]; t != nil && !t.readable(l.Block) {
			found[n] = nil
		}
	}
	return found
}

// readable reports whether all blocks of a size can be read.
func (t *jpegTiles) readable(block image.Point) bool {
	h := t.header
	if own, _ := blockSize(h.tile); own != block || h.jpeg == nil || h.tile.X <= 0 || h.tile.Y <= 0 {
		return false
	}
	tiles := uint64(t.across()) * uint64((h.size.Y+h.tile.Y-1)/h.tile.Y)
	return h.jpeg.offsets.n == tiles && h.jpeg.lengths.n == tiles
}

// across returns how many tiles are in a row.
func (t *jpegTiles) across() int { return (t.header.size.X + t.header.tile.X - 1) / t.header.tile.X }

// tileData are buffers for what the file holds of a tile.
var tileData = sync.Pool{New: func() any { return new([]byte) }}

// read decodes a rectangle of whole tiles, cut at the level's edge, into dst. It reports whether all was as it should
// be; if not, dst holds anything.
func (t *jpegTiles) read(area image.Rectangle, dst []byte) bool {
	tile, stride := t.header.tile, 3*area.Dx()
	_ = dst[:stride*area.Dy()]
	if t.same != nil && !t.same() { // OpenSlide opens it for each tile, and so notices
		return false
	}
	buffer := tileData.Get().(*[]byte)
	defer tileData.Put(buffer)
	for y := area.Min.Y; y < area.Max.Y; y += tile.Y {
		for x := area.Min.X; x < area.Max.X; x += tile.X {
			data := t.data(uint64(y/tile.Y*t.across()+x/tile.X), buffer)
			if data == nil {
				return false
			}
			at := stride*(y-area.Min.Y) + 3*(x-area.Min.X)
			kept := image.Rectangle{image.Pt(x, y), image.Pt(x, y).Add(tile)}.Intersect(area)
			if !t.decode(data, dst[at:], kept.Size(), stride) {
				return false
			}
		}
	}
	return true
}

// data reads what the file holds of a tile, into the buffer; nil where that is nothing, or more than a tile can be.
func (t *jpegTiles) data(tile uint64, buffer *[]byte) []byte {
	h := t.header
	b := (*buffer)[:0]
	if cap(b) < 8 {
		b = make([]byte, 0, 1<<16)
	}
	offset, known := t.number(h.jpeg.offsets, tile, b[:8])
	length, also := t.number(h.jpeg.lengths, tile, b[:8])
	if !known || !also || length == 0 || length > uint64(4*h.tile.X*h.tile.Y)+maxTables || offset > math.MaxInt64 {
		return nil
	}
	if uint64(cap(b)) < length {
		b = make([]byte, length)
	}
	*buffer = b
	b = b[:length]
	if n, _ := t.file.ReadAt(b, int64(offset)); n < len(b) {
		return nil
	}
	return b
}

// number reads one of the numbers of a tag, by a buffer of 8 bytes.
func (t *jpegTiles) number(a tiffArray, i uint64, b []byte) (uint64, bool) {
	at := a.at + i*uint64(a.width)
	if i >= a.n || i > math.MaxInt32 || a.at > math.MaxInt64 || at > math.MaxInt64 {
		return 0, false
	}
	if n, _ := t.file.ReadAt(b[:a.width], int64(at)); n < a.width {
		return 0, false
	}
	switch a.width {
	case 2:
		return uint64(t.header.jpeg.order.Uint16(b)), true
	case 4:
		return uint64(t.header.jpeg.order.Uint32(b)), true
	}
	return t.header.jpeg.order.Uint64(b), true
}

// decode decodes a tile, of which a part is kept, to the beginning of dst.
func (t *jpegTiles) decode(data, dst []byte, kept image.Point, stride int) bool {
	h := t.header
	return C.mt_jpeg((*C.uint8_t)(unsafe.SliceData(h.jpeg.tables)), C.size_t(len(h.jpeg.tables)),
		(*C.uint8_t)(&data[0]), C.size_t(len(data)), cBool(h.jpeg.ycc), C.unsigned(h.tile.X), C.unsigned(h.tile.Y),
		C.unsigned(kept.X), C.unsigned(kept.Y), (*C.uint8_t)(&dst[0]), C.size_t(stride)) != 0
}

// jpegOf returns the JPEG tiles of a level, or nil. The file is opened when its first block is read, like the level
// by OpenSlide, and stays so until the reader is closed.
func (r *fileReader) jpegOf(level int) *jpegTiles {
	if r.info.Vendor != "aperio" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jpeg == nil && !r.closed {
		r.jpeg = make([]*jpegTiles, len(r.info.Levels))
		if f, err := os.Open(r.info.Path); err == nil { // or else OpenSlide says why not
			r.file, r.jpeg = f, jpegLevels(f, r.info.Levels)
			path, fd := append([]byte(r.info.Path), 0), C.int(f.Fd())
			same := func() bool { return C.mt_same((*C.char)(unsafe.Pointer(&path[0])), fd) != 0 }
			for _, t := range r.jpeg {
				if t != nil {
					t.same = same
				}
			}
		}
	}
	if r.jpeg == nil {
		return nil
	}
	return r.jpeg[level]
}

// closeFile closes the file; the caller has the lock. Who is reading it asks OpenSlide.
func (r *fileReader) closeFile() {
	if r.file != nil {
		_ = r.file.Close() // nothing was written
		r.file, r.jpeg = nil, nil
	}
}
