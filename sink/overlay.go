package sink

import (
	"fmt"
	"image"
	"image/color"
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

// WriteOverlay draws labels over a picture of the slide and writes it as a PNG: a light tint
// inside, a line along the edge of each region. What is [Unread] is striped. Where outline, of the
// picture's size, is opaque, the edge of tissue is drawn, below the labels; nil: nowhere.
func WriteOverlay(fsys FileSystem, path string, slide *image.RGBA, mask *Overview, outline *image.Alpha) error {
	size := slide.Bounds().Size()
	if outline != nil && outline.Rect.Size() != size {
		return fmt.Errorf("outline of %v for a picture of %v pixels", outline.Rect.Size(), size)
	}
	if size.X < 1 || size.Y < 1 {
		return fmt.Errorf("overlay of a picture of %v pixels", size)
	}
	columns := make([]int, size.X) // of the mask
	for x := range columns {
		columns[x] = x * mask.Size.X / size.X
	}
	row := func(labels []byte, y int) []byte {
		y = min(max(y, 0), size.Y-1)
		from := mask.Pix[y*mask.Size.Y/size.Y*mask.Size.X:][:mask.Size.X]
		for x, at := range columns {
			labels[x] = from[at]
		}
		return labels
	}
	above, here, below := make([]byte, size.X), row(make([]byte, size.X), 0), row(make([]byte, size.X), 0)
	for y := range size.Y {
		above, here, below = here, below, row(above, y+1)
		line := slide.Pix[y*slide.Stride:][:4*size.X]
		if outline != nil {
			for x, a := range outline.Pix[y*outline.Stride:][:size.X] {
				if a != 0 {
					lay(line[4*x:], outlineColor, int(a)*200/255)
				}
			}
		}
		for x, l := range here {
			if l == 0 {
				continue
			}
			tint := 90
			if l == Unread && (x+y)%8 < 4 {
				tint = 220
			}
			if above[x] != l || below[x] != l || here[max(x-1, 0)] != l || here[min(x+1, size.X-1)] != l {
				tint = 255
			}
			lay(line[4*x:], ColorOf(l), tint)
		}
	}
	data, err := encodePNG(slide)
	if err != nil {
		return err
	}
	return writeFile(fsys, path, data)
}

// lay lays part/255 of a colour over a pixel.
func lay(pixel []byte, c color.RGBA, part int) {
	for i, v := range [3]uint8{c.R, c.G, c.B} {
		pixel[i] = uint8((int(pixel[i])*(255-part) + int(v)*part + 127) / 255)
	}
	pixel[3] = 255
}
