package sink

import "encoding/binary"

// A Reduce halves the w × h pixels of src into dst. Rows of both are stride bytes apart; the result has
// (w+1)/2 × (h+1)/2 pixels. At an odd edge only the pixels inside count.
type Reduce func(dst, src []byte, stride, w, h int)

// Majority keeps the label that most of the 2 × 2 pixels have; a tie goes to the higher label.
func Majority(dst, src []byte, stride, w, h int) {
	for y := 0; y < h; y += 2 {
		a := src[y*stride:][:w]
		b := a
		if y+1 < h {
			b = src[(y+1)*stride:][:w]
		}
		d := dst[y/2*stride:][:(w+1)/2]
		x := 0
		for ; x+8 <= w; x += 8 { // eight equal pixels above eight of the same: most of a mask
			va, vb := binary.LittleEndian.Uint64(a[x:]), binary.LittleEndian.Uint64(b[x:])
			if alike := va & 0xff * 0x0101010101010101; va == alike && vb == alike {
				binary.LittleEndian.PutUint32(d[x/2:], uint32(va))
				continue
			}
			for i := x; i < x+8; i += 2 {
				d[i/2] = majority(a[i], a[i+1], b[i], b[i+1])
			}
		}
		for ; x+1 < w; x += 2 {
			d[x/2] = majority(a[x], a[x+1], b[x], b[x+1])
		}
		if x < w {
			d[x/2] = max(a[x], b[x])
		}
	}
}

// majority returns the label that most of four pixels have. With a row repeated, at the lower edge, it
// is the higher of two.
func majority(a, b, c, d byte) byte {
	switch {
	case a == b && c == d, a == c && b == d, a == d && b == c:
		return max(a, b, c, d)
	case a == b, a == c, a == d:
		return a
	case b == c, b == d:
		return b
	case c == d:
		return c
	}
	return max(a, b, c, d)
}

// Mean keeps the rounded mean of the 2 × 2 pixels.
func Mean(dst, src []byte, stride, w, h int) {
	for y := 0; y < h; y += 2 {
		a := src[y*stride:][:w]
		b := a
		if y+1 < h {
			b = src[(y+1)*stride:][:w]
		}
		d := dst[y/2*stride:][:(w+1)/2]
		for x := range d {
			i := 2 * x
			j := min(i+1, w-1)
			d[x] = byte((int(a[i]) + int(a[j]) + int(b[i]) + int(b[j]) + 2) / 4)
		}
	}
}

// count adds the values of a row to counts.
func count(counts *[256]int64, row []byte) {
	for len(row) >= 8 {
		v := binary.LittleEndian.Uint64(row)
		if alike := v & 0xff * 0x0101010101010101; v == alike {
			counts[row[0]] += 8
		} else {
			for _, b := range row[:8] {
				counts[b]++
			}
		}
		row = row[8:]
	}
	for _, b := range row {
		counts[b]++
	}
}
