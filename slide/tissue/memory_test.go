package tissue_test

import (
	"context"
	"image"
	"runtime"
	"testing"

	"microtome/internal/raster"
	"microtome/slide"
	"microtome/slide/tissue"
)

// A picture is a slide.BlockReader of one level that lies in memory, repeated across and down.
type picture struct {
	raster.RGB
	info slide.Info
}

func newPicture(m raster.RGB, size image.Point, mpp float64) picture {
	return picture{m, slide.Info{
		Path: "picture", MPP: mpp, MPPX: mpp, MPPY: mpp, Bounds: image.Rectangle{Max: size},
		Levels: []slide.Level{{Size: size, Downsample: 1, Block: image.Pt(256, 256)}},
	}}
}

func (p picture) Info() slide.Info { return p.info }
func (p picture) Close() error     { return nil }

func (p picture) ReadBlock(_ context.Context, _, bx, by int, dst []byte) error {
	size := p.info.Levels[0].Size
	r := image.Rect(256*bx, 256*by, 256*bx+256, 256*by+256).Intersect(image.Rectangle{Max: size})
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			copy(dst[3*((y-r.Min.Y)*r.Dx()+x-r.Min.X):][:3], p.At(x%p.W, y%p.H))
		}
	}
	return nil
}

func level0(t testing.TB, r slide.BlockReader, cache int64) *slide.View {
	t.Helper()
	v, err := slide.New(r, slide.Config{CacheBytes: cache}).AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A slide of one huge level is streamed: what is allocated is a small part of it.
func TestOneHugeLevelInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 150 million pixels")
	}
	tile := raster.NewRGB(256, 256)
	for i := range tile.Pix {
		tile.Pix[i] = byte(200 + i*i%40)
	}
	v := level0(t, newPicture(tile, image.Pt(15000, 10000), 0.25), 8<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	find(t, v, tissue.NewDefaultConfig())
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 64<<20 {
		t.Errorf("%d MiB were allocated for a level of 429 MiB", total>>20)
	}
}
