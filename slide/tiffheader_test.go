package slide

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"
	"math"
	"slices"
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

// jpegTIFF is the header of a page of two JPEG tiles, of which the first has the file's first bytes, and tables. Each
// change replaces the tag of its number, or takes it away where its kind is 0.
func jpegTIFF(order binary.AppendByteOrder, changes ...[4]uint32) []byte {
	tags := [][4]uint32{
		{256, 3, 1, 512},
		{257, 3, 1, 256},
		{258, 3, 3, 200},
		{259, 3, 1, 7},
		{262, 3, 1, 2},
		{277, 3, 1, 3},
		{284, 3, 1, 1},
		{322, 3, 1, 256},
		{323, 3, 1, 256},
		{324, 4, 2, 206},
		{325, 3, 2, 0},
		{347, 7, 4, 0x01020304},
	}
	for _, c := range changes {
		at := slices.IndexFunc(tags, func(tag [4]uint32) bool { return tag[0] >= c[0] })
		switch {
		case at < 0:
			tags = append(tags, c)
		case c[1] == 0:
			tags = slices.Delete(tags, at, at+1)
		case tags[at][0] == c[0]:
			tags[at] = c
		default:
			tags = slices.Insert(tags, at, c)
		}
	}
	b := tiff(order, tags)
	if at := bytes.Index(b, order.AppendUint32(order.AppendUint16(order.AppendUint16(nil, 325), 3), 2)); at >= 0 {
		order.AppendUint16(order.AppendUint16(b[:at+8], 200), 8) // lengths, within the entry
	}
	if at := bytes.Index(b, order.AppendUint32(order.AppendUint16(order.AppendUint16(nil, 258), 3), 3)); at >= 0 {
		order.AppendUint32(b[:at+8], 200) // where the bits are
	}
	b = append(b, make([]byte, 200-len(b))...)
	for range 3 {
		b = order.AppendUint16(b, 8) // bits
	}
	return order.AppendUint32(order.AppendUint32(b, 0), 200) // offsets
}

// Where tiles are is found in either order of bytes; and of all that is out of the ordinary nothing is.
func TestJPEGPage(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := jpegTIFF(order)
		found := jpegLevels(bytes.NewReader(b), []Level{{image.Pt(512, 256), 1, image.Pt(256, 256)}})
		if found[0] == nil || !bytes.Equal(found[0].data(0, new([]byte)), b[:200]) || !bytes.Equal(found[0].data(1, new([]byte)), b[200:208]) {
			t.Fatalf("%v: tiles are not found", order)
		}
		if tables := found[0].header.jpeg.tables; found[0].header.jpeg.ycc || len(tables) != 4 {
			t.Errorf("%v: %+v", order, found[0].header.jpeg)
		}
	}
	for name, c := range map[string]struct {
		changes [][4]uint32
		level   Level
		twice   bool
	}{
		"another size":       {level: Level{image.Pt(512, 255), 1, image.Pt(256, 256)}},
		"another block":      {level: Level{image.Pt(512, 256), 1, image.Pt(256, 128)}},
		"between pixels":     {level: Level{image.Pt(512, 256), 1.001, image.Pt(256, 256)}},
		"two such pages":     {twice: true},
		"LZW":                {changes: [][4]uint32{{259, 3, 1, 5}}},
		"old JPEG":           {changes: [][4]uint32{{259, 3, 1, 6}}},
		"grey":               {changes: [][4]uint32{{277, 3, 1, 1}}},
		"CIELab":             {changes: [][4]uint32{{262, 3, 1, 8}}},
		"two colour tags":    {changes: [][4]uint32{{263, 3, 1, 1}, {262, 3, 2, 2}}},
		"planes":             {changes: [][4]uint32{{284, 3, 1, 2}}},
		"bits in reverse":    {changes: [][4]uint32{{266, 3, 1, 2}}},
		"no bits":            {changes: [][4]uint32{{258, 0, 0, 0}}},
		"two bits":           {changes: [][4]uint32{{258, 3, 2, 8<<16 | 8}}},
		"no lengths":         {changes: [][4]uint32{{325, 0, 0, 0}}},
		"one length":         {changes: [][4]uint32{{325, 3, 1, 8}}},
		"three offsets":      {changes: [][4]uint32{{324, 4, 3, 200}}},
		"signed offsets":     {changes: [][4]uint32{{324, 9, 2, 206}}},
		"tables of words":    {changes: [][4]uint32{{347, 3, 2, 0}}},
		"tables of a volume": {changes: [][4]uint32{{347, 7, 1 << 20, 8}}},
	} {
		b := jpegTIFF(binary.LittleEndian, c.changes...)
		if c.level.Size == (image.Point{}) {
			c.level = Level{image.Pt(512, 256), 1, image.Pt(256, 256)}
		}
		if c.twice { // the page that follows is a copy, and refers to what the first does
			n := 2 + 12*int(binary.LittleEndian.Uint16(b[8:]))
			binary.LittleEndian.PutUint32(b[8+n:], uint32(len(b)))
			b = append(append(b, b[8:8+n]...), 0, 0, 0, 0)
		}
		if found := jpegLevels(bytes.NewReader(b), []Level{c.level}); found[0] != nil {
			t.Errorf("%s: found", name)
		}
	}
	// Tags in disorder, and twice.
	for _, at := range []int{0, 1} {
		b := jpegTIFF(binary.LittleEndian)
		first := b[10+12*3 : 10+12*4]
		if at == 0 {
			copy(b[10+12*6:], first) // a second compression where 284 was
		} else {
			binary.LittleEndian.PutUint16(b[10+12*6:], 262) // a second colour tag
		}
		if found := jpegLevels(bytes.NewReader(b), []Level{{image.Pt(512, 256), 1, image.Pt(256, 256)}}); found[0] != nil {
			t.Errorf("tags in disorder: found")
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
	f.Add(jpegTIFF(binary.LittleEndian))
	f.Add(jpegTIFF(binary.BigEndian))
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
			} else if tiles := (&jpegTiles{file: bytes.NewReader(b), header: p}); tiles.readable(block) {
				for _, tile := range []uint64{0, p.jpeg.offsets.n - 1, p.jpeg.offsets.n, math.MaxUint64} {
					if data := tiles.data(tile, new([]byte)); len(data) > len(b) || data != nil && tile >= p.jpeg.offsets.n {
						t.Errorf("tile %d of %+v is %d bytes of %d", tile, p.jpeg, len(data), len(b))
					}
				}
			}
		}
	})
}
