package raster

// Outline returns a mask of l's size, row by row, of the pixels of instances that have a pixel of something
// else, background or another instance, to the left, to the right, above or below: a closed line one pixel
// wide (8-connected) inside each instance. Outside the image nothing is known, so that its edge is no
// boundary: outlines of neighbouring tiles join without a frame.
func Outline(l Labels) []bool {
	out := make([]bool, len(l.Pix))
	for y := range l.H {
		for x := range l.W {
			i := y*l.W + x
			v := l.Pix[i]
			out[i] = v != 0 && (x > 0 && l.Pix[i-1] != v || x+1 < l.W && l.Pix[i+1] != v ||
				y > 0 && l.Pix[i-l.W] != v || y+1 < l.H && l.Pix[i+l.W] != v)
		}
	}
	return out
}
