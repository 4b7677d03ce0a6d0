package sink

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"slices"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// A codec compresses the tiles of a TIFF.
type codec struct {
	name        string
	compression uint16 // TIFF tag 259
	// encode appends the code of a tile to dst. Rows of pix are width bytes long.
	encode func(dst, pix []byte, width int) ([]byte, error)
}

// Compressions lists what TIFFConfig.Compression may be for masks, the default first.
func Compressions() []string { return []string{"lzw", "deflate", "zstd", "packbits", "none"} }

// newCodec returns the codec of a name.
func newCodec(name string) (codec, error) {
	switch name {
	case "lzw":
		e := new(lzwEncoder)
		return codec{name, 5, func(dst, pix []byte, _ int) ([]byte, error) { return e.encode(dst, pix), nil }}, nil
	case "deflate":
		var buf bytes.Buffer
		z := zlib.NewWriter(&buf)
		return codec{name, 8, func(dst, pix []byte, _ int) ([]byte, error) {
			buf.Reset()
			z.Reset(&buf)
			if _, err := z.Write(pix); err != nil {
				return nil, err
			}
			err := z.Close()
			return append(dst, buf.Bytes()...), err
		}}, nil
	case "zstd":
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<18))
		return codec{name, 50000, func(dst, pix []byte, _ int) ([]byte, error) { return z.EncodeAll(pix, dst), nil }}, err
	case "packbits":
		return codec{name, 32773, func(dst, pix []byte, width int) ([]byte, error) { return packBits(dst, pix, width), nil }}, nil
	case "none":
		return codec{name, 1, func(dst, pix []byte, _ int) ([]byte, error) { return append(dst, pix...), nil }}, nil
	case "jpeg":
		var buf bytes.Buffer
		var rgba []byte
		return codec{name, 7, func(dst, pix []byte, width int) ([]byte, error) {
			rgba = slices.Grow(rgba[:0], len(pix)/3*4)[:len(pix)/3*4]
			for p, q := pix, rgba; len(p) >= 3; p, q = p[3:], q[4:] {
				q[0], q[1], q[2], q[3] = p[0], p[1], p[2], 255
			}
			img := &image.RGBA{Pix: rgba, Stride: width / 3 * 4, Rect: image.Rect(0, 0, width/3, len(pix)/width)}
			buf.Reset()
			err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 80})
			return append(dst, buf.Bytes()...), err
		}}, nil
	}
	return codec{}, fmt.Errorf("unknown compression %q: give one of %v", name, Compressions())
}

// packBits appends the run-length code of TIFF 6.0, section 9, each row by itself.
func packBits(dst, pix []byte, width int) []byte {
	for ; len(pix) > 0; pix = pix[width:] {
		row := pix[:width]
		for len(row) > 0 {
			run := 1
			for run < min(len(row), 128) && row[run] == row[0] {
				run++
			}
			if run > 1 {
				dst = append(dst, byte(1-run), row[0])
				row = row[run:]
				continue
			}
			n := 1 // literal, until three equal bytes begin a run: two would cost what they save
			for n < min(len(row), 128) && (n+2 >= len(row) || row[n] != row[n+1] || row[n] != row[n+2]) {
				n++
			}
			dst = append(append(dst, byte(n-1)), row[:n]...)
			row = row[n:]
		}
	}
	return dst
}
