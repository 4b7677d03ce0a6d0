package sink

// lzwEncoder writes the LZW of TIFF 6.0, section 13: codes of 9 to 12 bits, most significant bit first,
// and a code grows one entry before it must. compress/lzw of the standard library lacks that quirk.
type lzwEncoder struct {
	// table maps a string and its next byte to a code: key<<12 | code, open addressing. The key is
	// prefix code << 8 | byte, 20 bits; 0 is an empty slot, as no code is 0.
	table [lzwSlots]uint32
	// again is the code of a string with its last byte once more, or 0: nearly every step through a
	// mask, which needs no search.
	again [lzwFull]uint16
}

const (
	lzwSlots = 1 << 14 // four times the codes: short probes
	lzwClear = 256
	lzwEnd   = 257
	lzwFirst = 258
	lzwFull  = 4094 // next code at which the table starts anew, as in libtiff; the format allows one more
)

// encode appends the code of src to dst.
func (e *lzwEncoder) encode(dst, src []byte) []byte {
	var acc uint64 // bits not yet written, right-aligned
	var held uint  // how many
	width := uint(9)
	next := uint32(lzwFirst)
	put := func(code uint32) {
		acc = acc<<width | uint64(code)
		held += width
		for held >= 8 {
			held -= 8
			dst = append(dst, byte(acc>>held))
		}
	}
	e.reset()
	put(lzwClear)
	if len(src) > 0 {
		last := src[0]
		prefix := uint32(last)
		for _, b := range src[1:] {
			same := b == last
			last = b
			if same {
				if code := e.again[prefix]; code != 0 {
					prefix = uint32(code)
					continue
				}
				put(prefix)
				e.again[prefix] = uint16(next)
			} else {
				slot, code := e.find(prefix<<8 | uint32(b))
				if code != 0 {
					prefix = code
					continue
				}
				put(prefix)
				e.table[slot] = (prefix<<8|uint32(b))<<12 | next
			}
			prefix = uint32(b)
			next++
			switch next {
			case lzwFull:
				put(lzwClear)
				e.reset()
				next, width = lzwFirst, 9
			case 1 << width:
				width++
			}
		}
		put(prefix)
		if next++; next == 1<<width { // the reader does not know yet that this was the last
			width++
		}
	}
	put(lzwEnd)
	if held > 0 {
		dst = append(dst, byte(acc<<(8-held)))
	}
	return dst
}

// find returns the code of a key and its slot, or 0 and the slot it may take.
func (e *lzwEncoder) find(key uint32) (slot, code uint32) {
	slot = key * 2654435761 >> (32 - 14)
	for e.table[slot] != 0 && e.table[slot]>>12 != key {
		slot = (slot + 1) % lzwSlots
	}
	return slot, e.table[slot] & 0xfff
}

func (e *lzwEncoder) reset() {
	clear(e.table[:])
	clear(e.again[:])
}
