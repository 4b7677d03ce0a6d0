package tissue_test

import (
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microtome/internal/raster"
	"microtome/internal/shared"
	"microtome/slide/tissue"
)

func writeMask(t *testing.T, size image.Point, on ...image.Point) string {
	t.Helper()
	im := image.NewGray(image.Rectangle{Max: size})
	for _, p := range on {
		im.SetGray(p.X, p.Y, color.Gray{1})
	}
	path := filepath.Join(t.TempDir(), "mask.png")
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(png.Encode(f, im), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Each pixel of a mask is tissue where it lies on the slide, and little else is, whether masks are finer than
// cells or coarser.
func TestMasks(t *testing.T) {
	size := image.Pt(2000, 1500)
	v := blank(t, size, image.Rectangle{Max: size}, 0.5)
	for _, down := range []int{1, 2, 4, 50} { // pixels of level 0 a pixel of the mask
		of := size.Div(down)
		on := []image.Point{{0, 0}, {of.X / 2, of.Y / 3}, {of.X - 1, of.Y - 1}}
		found, err := tissue.FromMask(t.Context(), writeMask(t, of, on...), v)
		if err != nil {
			t.Fatal(err)
		}
		most := int64(0)
		for _, p := range on {
			r := image.Rectangle{Min: p.Mul(down), Max: p.Mul(down).Add(image.Pt(down, down))}
			r = image.Rect(r.Min.X/2, r.Min.Y/2, (r.Max.X+1)/2, (r.Max.Y+1)/2) // of the view
			for y := r.Min.Y; y < r.Max.Y; y++ {
				for x := r.Min.X; x < r.Max.X; x++ {
					if !found.Touches(image.Rect(x, y, x+1, y+1)) {
						t.Errorf("1/%d: %v of the mask is not tissue at %d, %d", down, p, x, y)
					}
				}
			}
			most += int64((r.Dx() + 8) * (r.Dy() + 8))
		}
		if n := found.Pixels(image.Rectangle{Max: v.Size()}); n == 0 || n > most {
			t.Errorf("1/%d: %d pixels are tissue, want %d at most", down, n, most)
		}
	}
	if _, err := tissue.FromMask(t.Context(), writeMask(t, image.Pt(100, 90)), v); err == nil || !strings.Contains(err.Error(), "other proportions") {
		t.Error(err)
	}
	if _, err := tissue.FromMask(t.Context(), "nowhere.tif", v); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A real slide with white around it has the tissue that it has by itself, and the white has none.
func TestWhiteAroundARealSlide(t *testing.T) {
	v := open(t, shared.File(t, "slides/CMU-1-Small-Region.svs"))
	size := v.Size()
	cfg := tissue.NewDefaultConfig()
	cfg.Margin, cfg.Speck = 0, 300 // what is a speck, or just not, depends on the size of cells
	alone := find(t, v, cfg)
	m, big := whole(t, v, image.Rectangle{Max: size}), raster.NewRGB(2*size.X, 2*size.Y)
	for i := range big.Pix {
		big.Pix[i] = 255
	}
	at := size.Div(2)
	for y := range size.Y {
		copy(big.Pix[3*((y+at.Y)*big.W+at.X):], m.Pix[3*y*m.W:][:3*m.W])
	}
	around := level0(t, newPicture(big, image.Pt(big.W, big.H), 0.499), 64<<20)
	found := find(t, around, tissue.NewDefaultConfig())
	look(t, around, found, "white around")
	lost, place := 0, image.Rectangle{}
	for y := 0; y < size.Y; y += 3 {
		for x := 0; x < size.X; x += 3 {
			if alone.Contains(x, y) && !found.Contains(x+at.X, y+at.Y) {
				lost++
				place = place.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d places are lost, in %v", lost, place)
	}
	if found.Found.Value > 0.25 {
		t.Errorf("%.2f of the slide count as tissue, where a quarter is not white", found.Found.Value)
	}
	if far := image.Rect(0, 0, at.X-120, big.H); found.Pixels(far) > 0 {
		t.Errorf("%d pixels of white are tissue", found.Pixels(far))
	}
}
