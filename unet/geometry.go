package unet

import "fmt"

// A Geometry says how tiles of a network fit together. A tile decides a core, a square whose edge is a
// multiple of Stride; for that it must see Before more pixels to the left and top and After more to the
// right and bottom. Cores that start at multiples of Stride see the network's pooling lattice in the
// same phase, so stitched tiles equal one pass over the whole image, bit for bit.
type Geometry struct{ Stride, Before, After int }

// Input returns the edge of what the network sees for a core of an edge, px.
func (g Geometry) Input(core int) int { return g.Before + core + g.After }

// Check reports why a core does not fit the geometry.
func (g Geometry) Check(core int) error {
	if core <= 0 || core%g.Stride != 0 {
		return fmt.Errorf("a tile of %d pixels does not fit the model: its edge must be a multiple of %d", core, g.Stride)
	}
	return nil
}

// Geometry returns the geometry of a, as the size of its receptive field dictates.
func (a Architecture) Geometry() Geometry {
	stride := 1 << a.Depth
	if a.Same {
		margin := a.reach()
		margin = (margin + stride - 1) / stride * stride
		return Geometry{stride, margin, margin}
	}
	// Unpadded: the output begins where all of the first pixels' field is inside. The input's edge must
	// be -4 modulo the stride, or a pooling would meet an odd edge: 4 more to the right from depth 3 on.
	g := Geometry{stride, a.shrink(), a.shrink() + 4%stride}
	if a.Up == Linear {
		// Interpolation repeats the edge of each upsampled map: the outermost stride-1 pixels of the
		// output depend on where the tile ends and are cut off.
		g.Before += stride
		g.After += stride
	}
	return g
}

// shrink returns how many pixels an unpadded network loses on each side: two convolutions a level on
// the way down, at the bottom and on the way up.
func (a Architecture) shrink() int {
	if a.Same {
		return 0
	}
	return 6<<a.Depth - 4
}

// reach returns how far to the left of a core that starts on the lattice the padded network looks: the
// field of its first pixel, followed from the output back to the input.
func (a Architecture) reach() int {
	left := 0 // leftmost pixel that is looked at, at the current level
	var skips []int
	for range a.Depth {
		left -= 2 // two 3×3 convolutions
		skips = append(skips, left)
		if a.Up == Linear && left%2 == 0 {
			left-- // an even pixel takes from the pixel left of its parent too
		}
		left = floorHalf(left)
	}
	left -= 2
	for level := a.Depth - 1; level >= 0; level-- {
		left = min(2*left, skips[level]) - 2
	}
	return -left
}

func floorHalf(n int) int {
	if n < 0 {
		return (n - 1) / 2
	}
	return n / 2
}
