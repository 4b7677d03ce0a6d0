package sink

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

// Colors are the class colours of pictures, by label: Okabe and Ito's palette, which people with the
// common colour deficiencies can tell apart. Label 0 is background and stays clear; labels past the
// end begin again at 1.
var Colors = []color.RGBA{
	{},
	{0, 158, 115, 255}, // green, far from both stains of H&E
	{230, 159, 0, 255}, // orange
	{0, 114, 178, 255}, // blue
	{204, 121, 167, 255},
	{86, 180, 233, 255},
	{213, 94, 0, 255},
	{240, 228, 66, 255},
}

// Unread is the label of pixels that could not be read. It is no class: a model has 255 of them
// at most, background among them, and so labels to 254.
const Unread = 255

var (
	unreadColor  = color.RGBA{128, 128, 128, 255}
	outlineColor = color.RGBA{110, 130, 160, 255}
)

// ColorOf returns the colour of a label. That of [Unread] is no class's.
func ColorOf(label byte) color.RGBA {
	switch label {
	case 0:
		return Colors[0]
	case Unread:
		return unreadColor
	}
	return Colors[1+(int(label)-1)%(len(Colors)-1)]
}

// WriteOverlay writes a PNG of a picture of the slide with the labels drawn over it: a light tint
// inside, a line along the edge of each region. What is [Unread] is striped. Where outline, of the
// picture's size, is opaque, the edge of tissue is drawn, below the labels; nil: nowhere.
func WriteOverlay(fsys FileSystem, path string, slide *image.RGBA, mask *Overview, outline *image.Alpha) error {
	size := slide.Bounds().Size()
	if outline != nil && outline.Rect.Size() != size {
		return fmt.Errorf("outline of %v for a picture of %v pixels", outline.Rect.Size(), size)
	}
	label := func(x, y int) byte {
		mx, my := x*mask.Size.X/size.X, y*mask.Size.Y/size.Y
		return mask.Pix[my*mask.Size.X+mx]
	}
	out := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			c := slide.RGBAAt(slide.Rect.Min.X+x, slide.Rect.Min.Y+y)
			if outline != nil {
				c = blend(c, outlineColor, int(outline.AlphaAt(outline.Rect.Min.X+x, outline.Rect.Min.Y+y).A)*200/255)
			}
			if l := label(x, y); l != 0 {
				tint := 90
				if l == Unread && (x+y)%8 < 4 {
					tint = 220
				}
				if x > 0 && label(x-1, y) != l || y > 0 && label(x, y-1) != l ||
					x+1 < size.X && label(x+1, y) != l || y+1 < size.Y && label(x, y+1) != l {
					tint = 255
				}
				c = blend(c, ColorOf(l), tint)
			}
			out.SetRGBA(x, y, c)
		}
	}
	var buf bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed} // a tenth larger, three times as fast
	if err := encoder.Encode(&buf, out); err != nil {
		return err
	}
	return writeFile(fsys, path, buf.Bytes())
}

// blend lays part/255 of b over a.
func blend(a, b color.RGBA, part int) color.RGBA {
	mix := func(a, b uint8) uint8 { return uint8((int(a)*(255-part) + int(b)*part + 127) / 255) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}
