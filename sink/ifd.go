package sink

import (
	"encoding/binary"
	"math"
	"strings"
)

// A tag is one entry of a TIFF page: BigTIFF, little endian. Its n values are in data, or at an offset
// of the file when that is not 0.
type tag struct {
	id, kind uint16
	n        uint64
	data     []byte
	at       uint64
}

// The kinds of values: TIFF 6.0, section 2; kindLong8 is BigTIFF's.
const (
	kindASCII    uint16 = 2
	kindShort    uint16 = 3
	kindLong     uint16 = 4
	kindRational uint16 = 5
	kindLong8    uint16 = 16
)

var le = binary.LittleEndian

func shorts(id uint16, v ...uint16) tag {
	var b []byte
	for _, x := range v {
		b = le.AppendUint16(b, x)
	}
	return tag{id: id, kind: kindShort, n: uint64(len(v)), data: b}
}

func long(id uint16, v uint32) tag {
	return tag{id: id, kind: kindLong, n: 1, data: le.AppendUint32(nil, v)}
}

// ascii stores text that ends at its first NUL for any reader, so a NUL inside, like any control
// character but tab and line ends, becomes a space. What is not UTF-8, as file names may be, becomes a
// question mark; letters beyond ASCII stay UTF-8, as every reader we know takes them.
func ascii(id uint16, s string) tag {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return tag{id: id, kind: kindASCII, n: uint64(len(s) + 1), data: append([]byte(s), 0)}
}

// rational stores v as a fraction over a power of ten that leaves it seven digits or more.
func rational(id uint16, v float64) tag {
	denominator := 1.0
	for v*denominator < 1e7 && denominator < 1e9 {
		denominator *= 10
	}
	b := le.AppendUint32(nil, uint32(math.Round(v*denominator)))
	return tag{id: id, kind: kindRational, n: 1, data: le.AppendUint32(b, uint32(denominator))}
}

// writePage writes a page that is followed by the one at next, and returns its offset.
func (t *TIFF) writePage(tags []tag, next uint64) (offset uint64) {
	page := le.AppendUint64(nil, uint64(len(tags)))
	for _, tag := range tags {
		if len(tag.data) > 8 {
			t.align()
			tag.at = t.append(tag.data)
		}
		page = le.AppendUint16(page, tag.id)
		page = le.AppendUint16(page, tag.kind)
		page = le.AppendUint64(page, tag.n)
		if tag.at != 0 {
			page = le.AppendUint64(page, tag.at)
			continue
		}
		page = append(page, tag.data...)
		page = append(page, make([]byte, 8-len(tag.data))...)
	}
	t.align()
	return t.append(le.AppendUint64(page, next))
}

// writeLong8s writes the values of a tag straight from the index of tiles: a copy would be the largest
// allocation of a run. One value fits the tag itself, and stays there as BigTIFF wants.
func writeLong8s[V uint32 | uint64](t *TIFF, id uint16, v []V) tag {
	tag := tag{id: id, kind: kindLong8, n: uint64(len(v))}
	if len(v) == 1 {
		tag.data = le.AppendUint64(nil, uint64(v[0]))
		return tag
	}
	t.align()
	tag.at = t.pos
	for _, x := range v {
		t.buf = le.AppendUint64(t.buf[:0], uint64(x))
		t.append(t.buf)
	}
	return tag
}

// align makes the next offset even, as TIFF wants the offsets of pages and values.
func (t *TIFF) align() {
	if t.pos%2 == 1 {
		t.append([]byte{0})
	}
}
