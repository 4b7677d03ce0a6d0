package slide_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"os"
	"slices"
	"testing"

	"microtome/slide/slidetest"
)

// A page of a TIFF that writeTIFF writes: 8 or 16 bits, 1 or 3 bands.
type page struct {
	size        image.Point
	tile        int // edge; 0: all rows in one strip
	grey        bool
	bits        int    // 8 when 0
	jpeg        bool   // YCbCr in JPEG
	photometric uint16 // by default what the pixels are
	mpp         float64
	description string
	level       int // what to paint
	pixel       slidetest.Pixel
	sub         []page
	encoded     func(image.Rectangle) []byte // of a tile, where encode shall not
}

// writeTIFF writes a little-endian TIFF and returns where the data of each tile or strip of the first
// page begin and end.
func writeTIFF(t testing.TB, path string, pages ...page) (tiles [][2]int) {
	t.Helper()
	w := &tiffWriter{file: []byte{'I', 'I', 42, 0, 0, 0, 0, 0}}
	link := 4
	for n, p := range pages {
		var sub []uint32
		for _, s := range p.sub {
			at, _, _ := w.page(s, nil)
			sub = append(sub, uint32(at))
		}
		at, next, data := w.page(p, sub)
		binary.LittleEndian.PutUint32(w.file[link:], uint32(at))
		if link = next; n == 0 {
			tiles = data
		}
	}
	if err := os.WriteFile(path, w.file, 0o644); err != nil {
		t.Fatal(err)
	}
	return tiles
}

type tiffWriter struct{ file []byte }

func (w *tiffWriter) put(b []byte) (at int) {
	w.file = append(w.file, make([]byte, len(w.file)%2)...)
	at = len(w.file)
	w.file = append(w.file, b...)
	return at
}

// page writes a page and returns its offset, and that of the pointer to the next.
func (w *tiffWriter) page(p page, sub []uint32) (at, next int, data [][2]int) {
	cell := image.Pt(p.tile, p.tile)
	if p.tile == 0 {
		cell = p.size
	}
	for y := 0; y < p.size.Y; y += cell.Y {
		for x := 0; x < p.size.X; x += cell.X {
			b := p.encode(image.Rect(x, y, x+cell.X, y+cell.Y))
			at := w.put(b)
			data = append(data, [2]int{at, at + len(b)})
		}
	}
	bits, bands, photometric, compression := uint32(max(p.bits, 8)), uint32(3), uint32(2), uint32(1)
	if p.grey {
		bands, photometric = 1, 1
	}
	if p.jpeg {
		photometric, compression = 6, 7
	}
	if p.photometric != 0 {
		photometric = uint32(p.photometric)
	}
	var offsets, counts []uint32
	for _, d := range data {
		offsets, counts = append(offsets, uint32(d[0])), append(counts, uint32(d[1]-d[0]))
	}
	type tag struct {
		id, kind uint16
		values   []uint32
	}
	tags := []tag{
		{256, 4, []uint32{uint32(p.size.X)}},
		{257, 4, []uint32{uint32(p.size.Y)}},
		{258, 3, slices.Repeat([]uint32{bits}, int(bands))},
		{259, 3, []uint32{compression}},
		{262, 3, []uint32{photometric}},
		{277, 3, []uint32{bands}},
		{284, 3, []uint32{1}},
	}
	if p.tile == 0 {
		tags = append(tags, tag{273, 4, offsets}, tag{278, 4, []uint32{uint32(cell.Y)}}, tag{279, 4, counts})
	} else {
		tags = append(tags, tag{322, 4, []uint32{uint32(cell.X)}}, tag{323, 4, []uint32{uint32(cell.Y)}}, tag{324, 4, offsets}, tag{325, 4, counts})
	}
	if p.mpp > 0 { // pixels a centimetre
		r := []uint32{uint32(1e4 / p.mpp * 1000), 1000}
		tags = append(tags, tag{282, 5, r}, tag{283, 5, r}, tag{296, 3, []uint32{3}})
	}
	if p.description != "" {
		var text []uint32
		for _, c := range []byte(p.description + "\x00") {
			text = append(text, uint32(c))
		}
		tags = append(tags, tag{270, 2, text})
	}
	if len(sub) > 0 {
		tags = append(tags, tag{330, 4, sub})
	}
	if photometric == 6 {
		tags = append(tags, tag{530, 3, []uint32{2, 2}})
	}
	slices.SortFunc(tags, func(a, b tag) int { return int(a.id) - int(b.id) })
	le := binary.LittleEndian
	ifd := le.AppendUint16(nil, uint16(len(tags)))
	for _, g := range tags {
		var value []byte
		for _, v := range g.values {
			switch g.kind {
			case 2:
				value = append(value, byte(v))
			case 3:
				value = le.AppendUint16(value, uint16(v))
			default:
				value = le.AppendUint32(value, v)
			}
		}
		count := len(g.values)
		if g.kind == 5 {
			count /= 2
		}
		if len(value) > 4 {
			value = le.AppendUint32(nil, uint32(w.put(value)))
		}
		ifd = le.AppendUint32(le.AppendUint16(le.AppendUint16(ifd, g.id), g.kind), uint32(count))
		ifd = append(ifd, append(value, 0, 0, 0, 0)[:4]...)
	}
	at = w.put(append(ifd, 0, 0, 0, 0))
	return at, len(w.file) - 4, data
}

// encode returns the pixels of a tile or strip as the file holds them.
func (p page) encode(r image.Rectangle) []byte {
	if p.encoded != nil {
		return p.encoded(r)
	}
	pix := slidetest.Picture(p.pixel, p.level, r)
	if p.jpeg {
		rgba := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
		for i := range len(pix) / 3 {
			copy(rgba.Pix[4*i:], append(pix[3*i:3*i+3:3*i+3], 255))
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, rgba, &jpeg.Options{Quality: 95}); err != nil {
			panic(err)
		}
		return b.Bytes()
	}
	var out []byte
	for i := range pix {
		if p.grey && i%3 > 0 {
			continue
		}
		if p.bits == 16 {
			out = append(out, 77) // the low byte
		}
		out = append(out, pix[i])
	}
	return out
}
