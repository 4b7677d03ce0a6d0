package slide

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"math"
	"os"
)

// A tiffHeader is what microtome needs to know of a page beyond what libvips tells.
type tiffHeader struct {
	size, tile  image.Point // tile is zero for a page in strips
	description string
	sub         []tiffHeader
	mislabelled bool      // its JPEG tiles are YCbCr, but its tag says RGB
	jpeg        *jpegPage // where its JPEG tiles are; nil where they are something else
}

var errTIFF = errors.New("damaged or truncated TIFF: copy it again")

// Bounds on what a header may ask for.
const (
	maxPages = 256
	maxTags  = 4096
	maxValue = 1 << 20  // bytes of a tag's value that are read
	maxRead  = 64 << 20 // bytes that are read in all
)

// readTIFF reads the headers of a TIFF's pages.
func readTIFF(path string) ([]tiffHeader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseTIFF(f)
}

func parseTIFF(r io.ReaderAt) ([]tiffHeader, error) {
	t := &tiffParser{r: r, left: maxRead}
	head := t.bytes(0, 16)
	if len(head) < 8 {
		return nil, errTIFF
	}
	switch string(head[:2]) {
	case "II":
		t.order = binary.LittleEndian
	case "MM":
		t.order = binary.BigEndian
	default:
		return nil, errTIFF
	}
	next := uint64(t.order.Uint32(head[4:]))
	if t.big = t.order.Uint16(head[2:]) == 43; t.big {
		if len(head) < 16 {
			return nil, errTIFF
		}
		next = t.order.Uint64(head[8:])
	}
	var pages []tiffHeader
	seen := map[uint64]bool{}
	for next != 0 && !seen[next] && len(pages) < maxPages {
		seen[next] = true
		page, after, ok := t.page(next, true)
		if !ok {
			return nil, errTIFF
		}
		pages, next = append(pages, page), after
	}
	if len(pages) == 0 {
		return nil, errTIFF
	}
	return pages, nil
}

type tiffParser struct {
	r     io.ReaderAt
	order binary.ByteOrder
	big   bool
	left  int // bytes that may still be read
}

// bytes reads up to n bytes at an offset; none once the parser has read enough.
func (t *tiffParser) bytes(at uint64, n int) []byte {
	if t.left -= n; t.left < 0 || at > math.MaxInt64 {
		return nil
	}
	b := make([]byte, n)
	got, _ := t.r.ReadAt(b, int64(at))
	return b[:got]
}

// page reads the page at an offset, and the offset of the one after it.
func (t *tiffParser) page(at uint64, top bool) (h tiffHeader, next uint64, ok bool) {
	counter, entry, inline := 2, 12, 4
	if t.big {
		counter, entry, inline = 8, 20, 8
	}
	b := t.bytes(at, counter)
	if len(b) < counter {
		return h, 0, false
	}
	n := t.uint(b)
	if n == 0 || n > maxTags {
		return h, 0, false
	}
	b = t.bytes(at+uint64(counter), int(n)*entry+inline)
	if len(b) < int(n)*entry+inline {
		return h, 0, false
	}
	var compression, photometric, firstTile uint64
	var tables []byte
	for e := b[:int(n)*entry]; len(e) > 0; e = e[entry:] {
		values := t.values(e[:entry], inline)
		first := uint64(0)
		if len(values) > 0 {
			first = values[0]
		}
		pixels := int(min(first, math.MaxInt32))
		switch t.order.Uint16(e) {
		case 256:
			h.size.X = pixels
		case 257:
			h.size.Y = pixels
		case 259:
			compression = first
		case 262:
			photometric = first
		case 270:
			h.description = string(bytes.TrimRight(t.raw(e[:entry], inline), "\x00"))
		case 322:
			h.tile.X = pixels
		case 323:
			h.tile.Y = pixels
		case 324:
			firstTile = first
		case 347:
			tables = t.raw(e[:entry], inline)
		case 330:
			for _, sub := range values {
				if !top { // of a SubIFD libvips opens none
					break
				}
				if s, _, ok := t.page(sub, false); ok {
					h.sub = append(h.sub, s)
				}
			}
		}
	}
	const jpeg, rgb = 7, 2
	if compression == jpeg && photometric == rgb && firstTile > 0 {
		h.mislabelled = jpegIsYCbCr(tables, t.bytes(firstTile, 1<<16))
	}
	if compression == jpeg {
		h.jpeg = t.jpegPage(b[:int(n)*entry], at+uint64(counter), entry, inline)
	}
	return h, t.uint(b[int(n)*entry:][:inline]), true
}

// uint reads an unsigned number as wide as b.
func (t *tiffParser) uint(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(t.order.Uint16(b))
	case 4:
		return uint64(t.order.Uint32(b))
	}
	return t.order.Uint64(b)
}

// raw returns the bytes of a tag's value.
func (t *tiffParser) raw(entry []byte, inline int) []byte {
	n := t.uint(entry[4:][:inline])
	width := uint64(kindWidth(t.order.Uint16(entry[2:])))
	n = min(n, maxValue) // of a longer one, its beginning
	if n*width <= uint64(inline) {
		return entry[4+inline:][:n*width]
	}
	return t.bytes(t.uint(entry[4+inline:][:inline]), int(n*width))
}

// values returns the whole numbers of a tag's value; of long ones, such as tile offsets, the first.
func (t *tiffParser) values(entry []byte, inline int) []uint64 {
	width := kindWidth(t.order.Uint16(entry[2:]))
	if width == 0 {
		return nil
	}
	n := t.uint(entry[4:][:inline])
	b := entry[4+inline:]
	if n > uint64(inline/width) {
		b = t.bytes(t.uint(b[:inline]), int(min(n, 64))*width)
	}
	var values []uint64
	for range min(n, 64) {
		if len(b) < width {
			break
		}
		values, b = append(values, t.uint(b[:width])), b[width:]
	}
	return values
}

// kindWidth returns the bytes of a value of a TIFF type, 0 for those not needed here.
func kindWidth(kind uint16) int {
	switch kind {
	case 1, 2, 6, 7:
		return 1
	case 3, 8:
		return 2
	case 4, 9, 13:
		return 4
	case 16, 17, 18:
		return 8
	}
	return 0
}

// jpegIsYCbCr reports whether a JPEG stream holds YCbCr, as its decoder would judge without the TIFF
// tag: by the Adobe marker, else by JFIF, else by the names of its components. A stream of which
// nothing is known counts as what the tag says.
func jpegIsYCbCr(streams ...[]byte) bool {
	jfif := false
	for _, s := range streams {
		if len(s) < 2 || s[0] != 0xff || s[1] != 0xd8 {
			continue
		}
		for s = s[2:]; len(s) >= 4 && s[0] == 0xff; {
			marker := s[1]
			if marker == 0xff { // fill
				s = s[1:]
				continue
			}
			length := int(binary.BigEndian.Uint16(s[2:]))
			if marker == 0xd9 || length < 2 || len(s) < 2+length {
				break
			}
			body := s[4 : 2+length]
			switch {
			case marker == 0xee && len(body) >= 12 && string(body[:5]) == "Adobe":
				return body[11] == 1
			case marker == 0xe0 && len(body) >= 5 && string(body[:4]) == "JFIF":
				jfif = true
			case marker >= 0xc0 && marker <= 0xc2 && len(body) >= 15 && body[5] == 3:
				ids := [3]byte{body[6], body[9], body[12]}
				return jfif || ids == [3]byte{1, 2, 3} || ids == [3]byte{0, 1, 2}
			}
			s = s[2+length:]
		}
	}
	return false
}
