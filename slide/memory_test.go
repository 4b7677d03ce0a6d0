package slide_test

import (
	"image"
	"path/filepath"
	"testing"

	"github.com/davidbyttow/govips/v2/vips"

	"microtome/slide"
	"microtome/slide/slidetest"
)

// libvips would keep two and a half rows of tiles of each image, so ever more the wider the slide is.
func TestDecoderKeepsNoTiles(t *testing.T) {
	dir := t.TempDir()
	svs, tif := filepath.Join(dir, "a.svs"), filepath.Join(dir, "a.tif")
	writeSVS(t, svs, image.Pt(8*256, 512))
	writeTIFF(t, tif, page{size: image.Pt(8*256, 512), tile: 256, pixel: slidetest.Smooth})
	for _, path := range []string{svs, tif} {
		s, err := slide.Open(path, slide.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var before, after vips.MemoryStats
		vips.ReadVipsMemStats(&before)
		if _, failures := failingBlocks(t, s, 0); failures != nil {
			t.Fatal(failures)
		}
		vips.ReadVipsMemStats(&after)
		if kept := after.Mem - before.Mem; kept > 3*3*256*256 { // it would be 16 tiles
			t.Errorf("%s: libvips keeps %d bytes", filepath.Base(path), kept)
		}
		s.Close()
	}
}
