package slide

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"
	"testing"
)

// tiff writes a header by hand: each directory is a list of {tag, kind, count, value}.
func tiff(order binary.AppendByteOrder, directories ...[][4]uint32) []byte {
	mark := "II*\x00"
	if order == binary.AppendByteOrder(binary.BigEndian) {
		mark = "MM\x00*"
	}
	b := order.AppendUint32([]byte(mark), 8)
	for n, d := range directories {
		b = order.AppendUint16(b, uint16(len(d)))
		for _, e := range d {
			b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, uint16(e[0])), uint16(e[1])), e[2])
			if e[1] == 3 {
				b = order.AppendUint16(order.AppendUint16(b, uint16(e[3])), 0)
			} else {
				b = order.AppendUint32(b, e[3])
			}
		}
		next := uint32(len(b) + 4)
		if n == len(directories)-1 {
			next = 0
		}
		b = order.AppendUint32(b, next)
	}
	return b
}

func TestParseTIFF(t *testing.T) {
	pages := [][][4]uint32{
		{{256, 3, 1, 600}, {257, 4, 1, 400}, {322, 3, 1, 128}, {323, 3, 1, 64}},
		{{256, 3, 1, 300}, {257, 3, 1, 200}},
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		got, err := parseTIFF(bytes.NewReader(tiff(order, pages...)))
		if err != nil || len(got) != 2 || got[0].size != image.Pt(600, 400) || got[0].tile != image.Pt(128, 64) || got[1].size != image.Pt(300, 200) {
			t.Errorf("%v: %+v, %v", order, got, err)
		}
	}
	whole := tiff(binary.LittleEndian, pages...)
	for n := range whole {
		if _, err := parseTIFF(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("the first %d bytes of %d: no error", n, len(whole))
		}
	}
}

// Directories that point at themselves or at each other end.
func TestParseTIFFInCircles(t *testing.T) {
	circle := tiff(binary.LittleEndian, [][4]uint32{{256, 3, 1, 9}, {257, 3, 1, 9}, {330, 4, 1, 8}})
	binary.LittleEndian.PutUint32(circle[len(circle)-4:], 8)
	got, err := parseTIFF(bytes.NewReader(circle))
	if err != nil || len(got) != 1 || len(got[0].sub) != 1 || len(got[0].sub[0].sub) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// countingReader says how much of it was read.
type countingReader struct {
	io.ReaderAt
	read int
}

func (c *countingReader) ReadAt(b []byte, at int64) (int, error) {
	c.read += len(b)
	return c.ReaderAt.ReadAt(b, at)
}

// 4096 tags that each name 64 SubIFDs, one inside the other, do not make the parser read on for ever.
func TestParseTIFFReadsWithinBounds(t *testing.T) {
	const directory = 8
	entries := make([][4]uint32, maxTags)
	for i := range entries {
		entries[i] = [4]uint32{330, 4, 64, 0} // 64 offsets: all of them the directory's own
		if i%2 == 1 {
			entries[i] = [4]uint32{270, 2, 0xffffffff, directory}
		}
	}
	b := tiff(binary.LittleEndian, entries)
	offsets := uint32(len(b))
	for i := 0; i < len(entries); i += 2 {
		binary.LittleEndian.PutUint32(b[directory+2+12*i+8:], offsets)
	}
	for range 64 {
		b = binary.LittleEndian.AppendUint32(b, directory)
	}
	r := &countingReader{ReaderAt: bytes.NewReader(b)}
	_, _ = parseTIFF(r)
	if r.read > maxRead {
		t.Errorf("%d bytes were read", r.read)
	}
}

func TestJPEGIsYCbCr(t *testing.T) {
	segment := func(marker byte, body string) string {
		return string([]byte{0xff, marker, byte((len(body) + 2) >> 8), byte(len(body) + 2)}) + body
	}
	frame := func(a, b, c byte) string {
		return segment(0xc0, "\x08\x00\x10\x00\x10\x03"+string([]byte{a, 0x11, 0, b, 0x11, 1, c, 0x11, 1}))
	}
	for name, c := range map[string]struct {
		stream string
		want   bool
	}{
		"JFIF":               {segment(0xe0, "JFIF\x00....") + frame(5, 6, 7), true},
		"Adobe says YCbCr":   {segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x01") + frame('R', 'G', 'B'), true},
		"Adobe says RGB":     {segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x00") + frame(1, 2, 3), false},
		"components 1 2 3":   {frame(1, 2, 3), true},
		"components R G B":   {frame('R', 'G', 'B'), false},
		"tables, no frame":   {segment(0xdb, "quantisation"), false},
		"cut in a segment":   {"\xff\xe0\xff\xff", false},
		"a length of 1":      {"\xff\xe0\x00\x01\x00\x00", false},
		"fill before a mark": {"\xff\xff\xff" + frame(1, 2, 3), true},
	} {
		if got := jpegIsYCbCr(nil, []byte("\xff\xd8"+c.stream)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzParseTIFF(f *testing.F) {
	f.Add(tiff(binary.LittleEndian, [][4]uint32{{256, 3, 1, 600}, {257, 4, 1, 400}, {270, 2, 4, 'O'}, {330, 4, 1, 8}}))
	f.Add(tiff(binary.BigEndian, [][4]uint32{{256, 3, 1, 600}, {259, 3, 1, 7}, {262, 3, 1, 2}, {324, 4, 1, 8}, {347, 7, 9, 8}}))
	f.Add([]byte("II+\x00\x08\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("MM\x00+"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &countingReader{ReaderAt: bytes.NewReader(b)}
		pages, err := parseTIFF(r)
		if r.read > maxRead {
			t.Errorf("%d bytes of %d were read", r.read, len(b))
		}
		if (err == nil) == (len(pages) == 0) {
			t.Errorf("%d pages, error %v", len(pages), err)
		}
		for _, p := range pages {
			if p.size.X < 0 || p.size.Y < 0 || p.tile.X < 0 || p.tile.Y < 0 || len(p.description) > maxValue {
				t.Errorf("page %+v", p)
			}
			if block, _ := blockSize(p.tile); block.X < 1 || block.Y < 1 || block.X > maxBlock/block.Y {
				t.Errorf("block %v of tile %v", block, p.tile)
			}
		}
	})
}
