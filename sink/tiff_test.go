package sink

import (
	"image"
	"path/filepath"
	"testing"
)

// TestCodesAndRepeats: tiles that were encoded elsewhere, and tiles that repeat another, are the tiles that
// WriteTile would have stored; what is not there cannot be repeated.
func TestCodesAndRepeats(t *testing.T) {
	size := image.Pt(64, 32)
	path := filepath.Join(t.TempDir(), "mask.tif")
	file, err := CreateTIFF(Disk, path, TIFFConfig{Size: size, Tile: 32, Compression: "packbits"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Abort() }()
	encode, err := file.NewEncoder()
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 32*32)
	for i := range pix {
		pix[i] = byte(i % 7)
	}
	if err := file.Repeat(0, 1, 0, image.Pt(0, 0)); err == nil {
		t.Error("a tile that is not there was repeated")
	}
	code, err := encode(nil, pix)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.WriteCode(0, 0, 0, code); err != nil {
		t.Fatal(err)
	}
	if err := file.WriteCode(0, 0, 0, code); err == nil {
		t.Error("a tile was written twice")
	}
	if err := file.Repeat(0, 1, 0, image.Pt(0, 0)); err != nil {
		t.Fatal(err)
	}
	if file.Whole(1) {
		t.Fatal("level 1, of 32 × 16 pixels, has whole tiles: the test would be blind")
	}
	if err := file.WriteCode(1, 0, 0, code); err == nil {
		t.Error("a level that is smaller than a tile got a code")
	}
	if err := file.WriteTile(1, 0, 0, pix); err != nil {
		t.Fatal(err)
	}
	if l := file.levels[0]; l.offsets[0] != l.offsets[1] || l.counts[0] != l.counts[1] {
		t.Error("a repeated tile is stored twice")
	}
	if err := file.Commit(); err != nil {
		t.Fatal(err)
	}
}
