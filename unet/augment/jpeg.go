package augment

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"

	"microtome/internal/raster"
)

// compress gives a picture the traces of JPEG compression, which most slides have: blocks of 8 × 8 pixels, colours at half the
// resolution. Quality is from 1 to 100.
func (s *Sampler) compress(img raster.RGB, quality int) {
	from := image.NewRGBA(image.Rect(0, 0, img.W, img.H))
	for i := range img.W * img.H {
		copy(from.Pix[4*i:], img.Pix[3*i:][:3])
		from.Pix[4*i+3] = 255
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
			c, i := to.YOffset(x, y), to.COffset(x, y)
			p := img.At(x, y)
			p[0], p[1], p[2] = color.YCbCrToRGB(to.Y[c], to.Cb[i], to.Cr[i])
		}
	}
}
