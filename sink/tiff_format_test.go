package sink_test

import (
	"fmt"
	"image"
	"path/filepath"
	"sync"
	"testing"

	"microtome/sink"
	"microtome/sink/sinktest"

	"github.com/davidbyttow/govips/v2/vips"
)

func TestTIFFKeepsContract(t *testing.T) {
	tiles := []int{256, 512}
	if testing.Short() {
		tiles = tiles[:1]
	}
	for _, tile := range tiles {
		for _, compression := range sink.Compressions() {
			t.Run(fmt.Sprintf("%s-%d", compression, tile), func(t *testing.T) {
				sinktest.Run(t, sinktest.Format{
					Tile: tile,
					Create: func(dir string, size image.Point) (sink.Container, error) {
						return sink.CreateTIFF(sink.Disk, filepath.Join(dir, "mask.tif"), sink.TIFFConfig{Size: size, Tile: tile, Compression: compression})
					},
					Read: func(t *testing.T, dir string, size image.Point) [][]byte {
						return readLibvips(t, filepath.Join(dir, "mask.tif"), sink.Levels(size, tile))
					},
				})
			})
		}
	}
}

var startLibvips = sync.OnceFunc(func() {
	vips.LoggingSettings(nil, vips.LogLevelError)
	vips.Startup(&vips.Config{ConcurrencyLevel: 1})
})

// readLibvips reads the pages of a grey TIFF with libvips, after checking their sizes.
func readLibvips(t *testing.T, path string, sizes []image.Point) [][]byte {
	t.Helper()
	startLibvips()
	var levels [][]byte
	for page, size := range sizes {
		// Of govips' ways to open a file only this one takes a BigTIFF; at the page's own size nothing
		// is resized.
		img, err := vips.LoadThumbnailFromFile(fmt.Sprintf("%s[page=%d]", path, page), size.X, size.Y, vips.InterestingNone, vips.SizeForce, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := img.Pages(); n != len(sizes) {
			t.Fatalf("%s has %d pages, want %d", path, n, len(sizes))
		}
		if img.Width() != size.X || img.PageHeight() != size.Y || img.Bands() != 1 || img.Interpretation() != vips.InterpretationBW {
			t.Fatalf("page %d: %d × %d, %d bands, %v", page, img.Width(), img.Height(), img.Bands(), img.Interpretation())
		}
		pix, err := img.ToBytes()
		img.Close()
		if err != nil {
			t.Fatal(err)
		}
		levels = append(levels, pix)
	}
	return levels
}
