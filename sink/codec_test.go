package sink

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// unpackBits reads TIFF 6.0, section 9.
func unpackBits(code []byte) (pix []byte, err error) {
	for len(code) > 0 {
		n := int(int8(code[0]))
		code = code[1:]
		switch {
		case n >= 0 && n < len(code):
			pix = append(pix, code[:n+1]...)
			code = code[n+1:]
		case n < 0 && n > -128 && len(code) > 0:
			pix = append(pix, bytes.Repeat(code[:1], 1-n)...)
			code = code[1:]
		case n == -128: // nothing
		default:
			return nil, io.ErrUnexpectedEOF
		}
	}
	return pix, nil
}

func TestPackBits(t *testing.T) {
	// The example of TIFF 6.0, section 9.
	src := []byte{0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa}
	want := []byte{0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa}
	if got := packBits(nil, src, len(src)); !bytes.Equal(got, want) {
		t.Errorf("code % x, want % x", got, want)
	}
	// A row is never joined with the next: 130 equal bytes in rows of 65.
	if got, want := packBits(nil, make([]byte, 130), 65), []byte{0xc0, 0, 0xc0, 0}; !bytes.Equal(got, want) {
		t.Errorf("code of two rows % x, want % x", got, want)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for _, width := range []int{1, 2, 127, 128, 129, 256, 512} {
		for _, labels := range []uint32{1, 2, 3, 256} {
			src := make([]byte, 4*width)
			for i := range src {
				src[i] = byte(rng.Uint32N(labels))
			}
			if got, err := unpackBits(packBits(nil, src, width)); err != nil || !bytes.Equal(got, src) {
				t.Errorf("width %d, %d labels: what was read is not what was written: %v", width, labels, err)
			}
		}
	}
}

func FuzzPackBits(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 2, 2}, 3)
	f.Add(make([]byte, 300), 150)
	f.Add([]byte("aXXbYYc"), 7)
	f.Fuzz(func(t *testing.T, src []byte, width int) {
		if width < 1 || len(src)%width != 0 {
			t.Skip("not whole rows")
		}
		code := packBits(nil, src, width)
		if got, err := unpackBits(code); err != nil || !bytes.Equal(got, src) {
			t.Errorf("what was read is not what was written: %v", err)
		}
		if most := len(src) + len(src)/width*((width+127)/128); len(code) > most {
			t.Errorf("%d bytes became %d, want %d at most", len(src), len(code), most)
		}
	})
}

// TestCodecs reads each codec with another implementation, and checks that it appends, and keeps
// nothing from one tile for the next.
func TestCodecs(t *testing.T) {
	decode := map[string]func([]byte) ([]byte, error){
		"lzw":      func(code []byte) ([]byte, error) { return decodeLZW(t, code), nil },
		"packbits": unpackBits,
		"none":     func(code []byte) ([]byte, error) { return code, nil },
		"deflate": func(code []byte) ([]byte, error) {
			r, err := zlib.NewReader(bytes.NewReader(code)) // the standard library's
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		},
		"zstd": func(code []byte) ([]byte, error) { // the same project's; libvips reads it elsewhere
			r, err := zstd.NewReader(nil)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return r.DecodeAll(code, nil)
		},
	}
	const tile = 64
	rng := rand.New(rand.NewPCG(9, 9))
	for _, name := range Compressions() {
		c, err := newCodec(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			src := make([]byte, tile*tile)
			for j := range src {
				src[j] = byte(rng.IntN(1 + 7*i))
			}
			code, err := c.encode([]byte("before"), src, tile)
			if err != nil {
				t.Fatal(err)
			}
			code, found := bytes.CutPrefix(code, []byte("before"))
			if got, err := decode[name](code); !found || err != nil || !bytes.Equal(got, src) {
				t.Errorf("%s: what was read is not what was written: %v", name, err)
			}
		}
	}
	if _, err := newCodec("lzma"); err == nil || !strings.Contains(err.Error(), fmt.Sprint(Compressions())) {
		t.Errorf("unknown compression: error %v", err)
	}
}

// TestEncodeAllocatesNothing once its buffers have grown.
func TestEncodeAllocatesNothing(t *testing.T) {
	pix := nuclei(256)
	for _, name := range Compressions() {
		c, err := newCodec(name)
		if err != nil {
			t.Fatal(err)
		}
		var dst []byte
		encode := func() {
			if dst, err = c.encode(dst[:0], pix, 256); err != nil {
				t.Fatal(err)
			}
		}
		encode()
		if n := testing.AllocsPerRun(20, encode); n > 0 {
			t.Errorf("%s: %v allocations a tile", name, n)
		}
	}
}
