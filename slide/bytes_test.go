package slide_test

import (
	"encoding/binary"
	"testing"
)

func le16(b []byte) uint16       { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32       { return binary.LittleEndian.Uint32(b) }
func putLE32(b []byte, v uint32) { binary.LittleEndian.PutUint32(b, v) }

// jpegAt finds the data of a tile of the page of a width in a little-endian BigTIFF.
func jpegAt(t *testing.T, b []byte, width uint64, tile int) [2]int {
	t.Helper()
	le := binary.LittleEndian
	for ifd := le.Uint64(b[8:]); ifd != 0; {
		n := le.Uint64(b[ifd:])
		tags := map[uint16]uint64{}
		for i := range n {
			e := b[ifd+8+20*i:]
			tags[le16(e)] = le.Uint64(e[12:])
			if le16(e[2:]) == 4 {
				tags[le16(e)] = uint64(le32(e[12:]))
			}
		}
		if tags[256] == width {
			at, length := le.Uint64(b[tags[324]+8*uint64(tile):]), le.Uint64(b[tags[325]+8*uint64(tile):])
			return [2]int{int(at), int(at + length)}
		}
		ifd = le.Uint64(b[ifd+8+20*n:])
	}
	t.Fatalf("no page of width %d", width)
	return [2]int{}
}

// classicTile finds the data of a tile of the first page of a little-endian TIFF.
func classicTile(t *testing.T, b []byte, tile int) [2]int {
	t.Helper()
	ifd := b[le32(b[4:]):]
	value := func(id uint16) int {
		for i := range int(le16(ifd)) {
			if e := ifd[2+12*i:]; le16(e) == id && le16(e[2:]) == 4 {
				return int(le32(b[int(le32(e[8:]))+4*tile:]))
			}
		}
		t.Fatalf("no tag %d", id)
		return 0
	}
	return [2]int{value(324), value(324) + value(325)}
}
