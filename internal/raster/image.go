package raster

// An RGB is an image of 8-bit red, green and blue, row by row, three bytes a pixel.
type RGB struct {
	W, H int
	Pix  []byte
}

// NewRGB returns a black image.
func NewRGB(w, h int) RGB { return RGB{w, h, make([]byte, 3*w*h)} }

// At returns the colour of a pixel.
func (m RGB) At(x, y int) []byte { return m.Pix[3*(y*m.W+x):][:3:3] }

// Labels is an image of the numbers of instances, row by row; 0 is background.
type Labels struct {
	W, H int
	Pix  []uint32
}

// NewLabels returns an image of background.
func NewLabels(w, h int) Labels { return Labels{w, h, make([]uint32, w*h)} }

// At returns the number of the instance that a pixel belongs to.
func (l Labels) At(x, y int) uint32 { return l.Pix[y*l.W+x] }
