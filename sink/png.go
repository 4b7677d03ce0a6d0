package sink

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"io"

	"github.com/klauspost/compress/zlib"
)

// encodePNG returns an opaque picture as a PNG (W3C, Portable Network Graphics, second edition): 8-bit RGB, every
// row with the filter Sub, at the least compression. It takes a third of the time of image/png, which tries five
// filters on every row; with many small slides that is what stands between two of them.
func encodePNG(m *image.RGBA) ([]byte, error) {
	size := m.Rect.Size()
	var out bytes.Buffer
	out.Grow(size.X*size.Y*3/2 + 1<<10)
	out.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(name string, write func() error) error { // length, name, what is written, checksum of the last two
		at := out.Len()
		out.WriteString("\x00\x00\x00\x00" + name)
		if err := write(); err != nil {
			return err
		}
		binary.BigEndian.PutUint32(out.Bytes()[at:], uint32(out.Len()-at-8))
		return binary.Write(&out, binary.BigEndian, crc32.ChecksumIEEE(out.Bytes()[at+4:]))
	}
	err := chunk("IHDR", func() error { // 8 bits, RGB, deflate, its filters, not interlaced
		return binary.Write(&out, binary.BigEndian, struct {
			Width, Height uint32
			Rest          [5]byte
		}{uint32(size.X), uint32(size.Y), [5]byte{8, 2, 0, 0, 0}})
	})
	if err == nil {
		err = chunk("IDAT", func() error { return encodePixels(&out, m) })
	}
	if err == nil {
		err = chunk("IEND", func() error { return nil })
	}
	return out.Bytes(), err
}

// encodePixels writes the rows of a picture, filtered and compressed.
func encodePixels(out io.Writer, m *image.RGBA) error {
	w, err := zlib.NewWriterLevel(out, zlib.BestSpeed)
	if err != nil {
		return err
	}
	row := make([]byte, 1+3*m.Rect.Dx())
	row[0] = 1 // Sub: each value less that of the pixel to the left
	for y := range m.Rect.Dy() {
		var left [3]byte
		to := row[1:]
		for line := m.Pix[y*m.Stride:][:4*m.Rect.Dx()]; len(line) >= 4; line, to = line[4:], to[3:] {
			to[0], to[1], to[2] = line[0]-left[0], line[1]-left[1], line[2]-left[2]
			left = [3]byte(line)
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	return w.Close()
}
