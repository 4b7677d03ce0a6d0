package augment

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"

	"microtome/internal/raster"
)

// compress gives a picture the traces of JPEG compression, which most slides have: blocks of 8 × 8 pixels, colours at half the
// resolution. Quality is from 1 to 100. Blocks begin at the pixel (left, top), which is above and left of the picture or its
// corner.
func (s *Sampler) compress(img raster.RGB, quality, left, top int) {
	from := image.NewRGBA(image.Rect(0, 0, img.W-left, img.H-top))
	for y := range img.H - top {
		for x := range img.W - left {
			p := from.Pix[from.PixOffset(x, y):][:4:4]
			copy(p, img.At(raster.Reflect(x+left, img.W), raster.Reflect(y+top, img.H)))
			p[3] = 255
		}
	}
	s.jpeg.Reset()
	if err := jpeg.Encode(&s.jpeg, from, &jpeg.Options{Quality: quality}); err != nil {
		panic(err) // the buffer takes anything, and the size is one that JPEG has
	}
	got, err := jpeg.Decode(bytes.NewReader(s.jpeg.Bytes()))
	if err != nil {
		panic(err) // it was just written
	}
	to := got.(*image.YCbCr) // what the decoder makes of three channels
	for y := range img.H {
		for x := range img.W {
			c, i := to.YOffset(x-left, y-top), to.COffset(x-left, y-top)
			p := img.At(x, y)
			p[0], p[1], p[2] = color.YCbCrToRGB(to.Y[c], to.Cb[i], to.Cr[i])
		}
	}
}
