package sink

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/tiff/lzw"
)

// decodeLZW is another project's reader of TIFF's LZW.
func decodeLZW(t *testing.T, code []byte) []byte {
	t.Helper()
	r := lzw.NewReader(bytes.NewReader(code), lzw.MSB, 8)
	defer r.Close()
	pix, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return pix
}

func TestLZW(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	data := map[string]func(i int) byte{
		"random":      func(int) byte { return byte(rng.Uint32()) },
		"uniform":     func(int) byte { return 0 },
		"uniform 255": func(int) byte { return 255 },
		"alternating": func(i int) byte { return byte(i % 2) },
		"runs":        func(i int) byte { return byte(i / 37 % 3) },
		"counting":    func(i int) byte { return byte(i) },
	}
	e := new(lzwEncoder) // one for all: no state may stay from one tile to the next
	for name, at := range data {
		for _, n := range []int{0, 1, 2, 3, 255, 256, 65536, 512 * 512} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				src := make([]byte, n)
				for i := range src {
					src[i] = at(i)
				}
				if got := decodeLZW(t, e.encode(nil, src)); !bytes.Equal(got, src) {
					t.Error("what was read is not what was written")
				}
			})
		}
	}
}

// TestLZWWidths ends the data at each number of codes around those where codes grow or the table is
// full. In random data nearly every byte is a code: all lengths up to past the second clear are tried.
func TestLZWWidths(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	src := make([]byte, 8200)
	for i := range src {
		src[i] = byte(rng.Uint32())
	}
	e := new(lzwEncoder)
	for _, around := range []int{511 - 258, 1023 - 258, 2047 - 258, 4094 - 258, 4094 - 258 + 511 - 258, 2 * (4094 - 258)} {
		for n := around - 40; n < around+150; n++ { // a few bytes in a hundred share a code
			if got := decodeLZW(t, e.encode(nil, src[:n])); !bytes.Equal(got, src[:n]) {
				t.Fatalf("%d bytes: what was read is not what was written", n)
			}
		}
	}
}

// TestLZWCode is a code worked out by hand from TIFF 6.0, section 13. The data are read as the strings
// 7, 7 7, 8, 8, 7, while the table gets 258: 7 7, 259: 7 7 8, 260: 8 8, 261: 8 7.
func TestLZWCode(t *testing.T) {
	got := new(lzwEncoder).encode(nil, []byte{7, 7, 7, 8, 8, 7})
	var want []byte
	var acc, held uint
	for _, code := range []uint{256, 7, 258, 8, 8, 7, 257} {
		acc, held = acc<<9|code, held+9
		for ; held >= 8; held -= 8 {
			want = append(want, byte(acc>>(held-8)))
		}
	}
	want = append(want, byte(acc<<(8-held)))
	if !bytes.Equal(got, want) {
		t.Errorf("code % x, want % x", got, want)
	}
}

func FuzzLZW(f *testing.F) {
	f.Add([]byte{}, byte(1))
	f.Add([]byte{0, 1, 1, 0, 2}, byte(200))
	f.Add(bytes.Repeat([]byte{1, 0, 3}, 100), byte(17))
	e := new(lzwEncoder)
	f.Fuzz(func(t *testing.T, seed []byte, stretch byte) {
		// Each byte a run, so that a small input reaches the long codes.
		var src []byte
		for i, b := range seed {
			src = append(src, bytes.Repeat([]byte{b}, 1+(i*int(stretch))%300)...)
		}
		if got := decodeLZW(t, e.encode(nil, src)); !bytes.Equal(got, src) {
			t.Error("what was read is not what was written")
		}
	})
}
