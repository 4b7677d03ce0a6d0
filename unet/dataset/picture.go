package dataset

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg" // formats that image.Decode knows
	_ "image/png"
	"io"
	"os"

	_ "golang.org/x/image/tiff"

	"microtome/internal/raster"
)

// decode reads a PNG, JPEG or TIFF of at most maxPixels.
func decode(path string, maxPixels int64) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	damaged := func(err error) error {
		if errors.Is(err, image.ErrFormat) {
			err = errors.New("not a PNG, JPEG or TIFF")
		}
		return fmt.Errorf("%s: %w: copy it again, or save it as PNG", path, err)
	}
	size, _, err := image.DecodeConfig(bufio.NewReader(f))
	switch {
	case err != nil:
		return nil, damaged(err)
	case size.Width < 1 || size.Height < 1:
		return nil, damaged(fmt.Errorf("%d×%d pixels", size.Width, size.Height))
	case int64(size.Width)*int64(size.Height) > maxPixels:
		return nil, fmt.Errorf("%s: %d×%d pixels, more than %d: cut it into smaller images, or annotate regions of it in QuPath", path, size.Width, size.Height, maxPixels)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	m, _, err := image.Decode(bufio.NewReader(f))
	if err != nil {
		return nil, damaged(err)
	}
	return m, nil
}

// colours returns an image as 8-bit RGB: grey in all three channels, of 16 bits the high byte, and what
// is transparent over white.
func colours(m image.Image) raster.RGB {
	b := m.Bounds()
	over := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(over, over.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(over, over.Rect, m, b.Min, draw.Over)
	rgb := raster.NewRGB(b.Dx(), b.Dy())
	for i := range b.Dx() * b.Dy() {
		copy(rgb.Pix[3*i:3*i+3], over.Pix[4*i:4*i+3])
	}
	return rgb
}

// numbers returns the values of a grey image, or the indices of one with a palette, and whether they
// have 16 bits. Colour images whose channels are equal are grey.
func numbers(m image.Image) (l raster.Labels, deep bool, err error) {
	b := m.Bounds()
	l = raster.NewLabels(b.Dx(), b.Dy())
	var at func(x, y int) (uint32, bool)
	switch m := m.(type) {
	case *image.Gray:
		at = func(x, y int) (uint32, bool) { return uint32(m.GrayAt(x, y).Y), true }
	case *image.Gray16:
		deep = true
		at = func(x, y int) (uint32, bool) { return uint32(m.Gray16At(x, y).Y), true }
	case *image.Paletted:
		at = func(x, y int) (uint32, bool) { return uint32(m.ColorIndexAt(x, y)), true }
	default:
		model := m.ColorModel()
		deep = model == color.RGBA64Model || model == color.NRGBA64Model
		at = func(x, y int) (uint32, bool) {
			r, g, b, a := m.At(x, y).RGBA()
			if !deep {
				r, g, b = r>>8, g>>8, b>>8
			}
			return r, r == g && g == b && a == 0xffff
		}
	}
	for y := range l.H {
		for x := range l.W {
			n, grey := at(b.Min.X+x, b.Min.Y+y)
			if !grey {
				return l, deep, errors.New("in colour, or transparent: save the numbers of instances as 16-bit grey")
			}
			l.Pix[y*l.W+x] = n
		}
	}
	return l, deep, nil
}
