package sink

import (
	"encoding/binary"
	"math"
)

// A tag is one entry of a TIFF page: BigTIFF, little endian.
type tag struct {
	id, kind uint16
	n        uint64
	data     []byte
}

var le = binary.LittleEndian

func shorts(id uint16, v ...uint16) tag {
	var b []byte
	for _, x := range v {
		b = le.AppendUint16(b, x)
	}
	return tag{id, 3, uint64(len(v)), b}
}

func longs(id uint16, v ...uint32) tag {
	var b []byte
	for _, x := range v {
		b = le.AppendUint32(b, x)
	}
	return tag{id, 4, uint64(len(v)), b}
}

func long8s(id uint16, v []uint64) tag {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = le.AppendUint64(b, x)
	}
	return tag{id, 16, uint64(len(v)), b}
}

func ascii(id uint16, s string) tag { return tag{id, 2, uint64(len(s) + 1), append([]byte(s), 0)} }

// rational stores v as a fraction over a power of ten that leaves it seven digits or more.
func rational(id uint16, v float64) tag {
	denominator := 1.0
	for v*denominator < 1e7 && denominator < 1e6 {
		denominator *= 10
	}
	b := le.AppendUint32(nil, uint32(min(math.Round(v*denominator), math.MaxUint32)))
	return tag{id, 5, 1, le.AppendUint32(b, uint32(denominator))}
}

// writePage writes a page that is followed by the one at next, and returns its offset.
func (t *TIFF) writePage(tags []tag, next uint64) (offset uint64, err error) {
	page := le.AppendUint64(nil, uint64(len(tags)))
	for _, tag := range tags {
		value := tag.data
		if len(value) > 8 {
			at, err := t.appendAligned(value)
			if err != nil {
				return 0, err
			}
			value = le.AppendUint64(nil, at)
		}
		page = le.AppendUint16(page, tag.id)
		page = le.AppendUint16(page, tag.kind)
		page = le.AppendUint64(page, tag.n)
		page = append(page, value...)
		page = append(page, make([]byte, 8-len(value))...)
	}
	return t.appendAligned(le.AppendUint64(page, next))
}

// appendAligned writes b at an even offset, as TIFF wants it, and returns the offset.
func (t *TIFF) appendAligned(b []byte) (at uint64, err error) {
	if t.pos%2 == 1 {
		if err := t.append([]byte{0}); err != nil {
			return 0, err
		}
	}
	at = t.pos
	return at, t.append(b)
}
