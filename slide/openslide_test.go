package slide_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"microtome/internal/shared"
	"microtome/slide"
)

// Without libvips each block of each level has the bytes that it has through libvips: of levels that are no whole
// number of times smaller, and of tiles that were not scanned, which are transparent.
func TestDirectlyAsThroughLibvips(t *testing.T) {
	written := func(size image.Point, missing ...int) func(t *testing.T) string {
		return func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "a.svs")
			writeSVS(t, path, size)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, tile := range missing {
				forgetTile(t, b, uint64(size.X), tile)
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	ofShared := func(name string) func(t *testing.T) string {
		return func(t *testing.T) string { return shared.File(t, "slides/"+name) }
	}
	for name, c := range map[string]struct {
		file   func(t *testing.T) string
		levels int
		white  int // a block that is all background; 0: none
	}{
		"whole":         {written(image.Pt(1024, 768)), 3, 0},
		"odd":           {written(image.Pt(1001, 703)), 3, 0},
		"not all of it": {written(image.Pt(1001, 703), 5, 6), 3, 5},
		"of Aperio":     {ofShared("CMU-1-Small-Region.svs"), 1, 0},
		"of Hamamatsu":  {ofShared("test3-DAPI-2-387.ndpi"), 7, 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.file(t)
			for level := range c.levels {
				got, direct, _, err := slide.ReadBlocks(path, level, slide.ByOpenSlide)
				if err != nil {
					t.Fatal(err)
				}
				want, byVips, _, err := slide.ReadBlocks(path, level, slide.ThroughVips)
				if err != nil {
					t.Fatal(err)
				}
				if level == 0 && !direct || byVips {
					t.Fatalf("level %d: read without libvips: %v, and again: %v", level, direct, byVips)
				}
				for i := range want {
					if !bytes.Equal(got[i], want[i]) {
						t.Errorf("level %d: block %d differs from what libvips gives", level, i)
					}
				}
				if i := c.white; i > 0 && level == 0 && slices.ContainsFunc(got[i], func(v byte) bool { return v != 255 }) {
					t.Errorf("block %d was not scanned and is not white", i)
				}
			}
		})
	}
}

// forgetTile takes a tile out of the page of a width in a little-endian BigTIFF: its length becomes 0.
func forgetTile(t *testing.T, b []byte, width uint64, tile int) {
	t.Helper()
	data := jpegAt(t, b, width, tile)
	length := binary.LittleEndian.AppendUint64(nil, uint64(data[1]-data[0]))
	le := binary.LittleEndian
	for ifd := le.Uint64(b[8:]); ifd != 0; {
		n := le.Uint64(b[ifd:])
		for i := range n {
			e := b[ifd+8+20*i:]
			if le16(e) != 325 {
				continue
			}
			if at := le.Uint64(e[12:]) + 8*uint64(tile); at+8 <= uint64(len(b)) && bytes.Equal(b[at:at+8], length) {
				clear(b[at : at+8])
				return
			}
		}
		ifd = le.Uint64(b[ifd+8+20*n:])
	}
	t.Fatal("the tile's length is not found")
}
