package target

import (
	"cmp"
	"slices"

	"microtome/internal/raster"
)

// Cut parts the instances of l: a pixel that has one of another instance within reach pixels, along either
// axis or both, becomes background. Both sides give way alike, so that instances that touched are 2·reach
// pixels apart where their border is straight; those with a gap wider than reach stay as they are. A reach
// below 1 counts as 1, which is what training needs.
//
// What it returns is the target. Its instances are numbered 1, 2, … in raster order of their first pixels,
// and they are exactly the 8-connected components of the pixels that are not background. Of each, of holds
// the number in l; of[0] is 0. The cut, or the edge of the image, may have left an instance of l in several
// parts: each is an instance of its own, because that is how a prediction would be read.
//
// An instance that would vanish, being thin or small among others, gets back its pixels once the others
// have given way: all of them, unless another that would have vanished touches it. Then the one of fewer
// pixels comes first, the one that comes first in raster order among equals, and the other gets what is not
// next to it, which may be nothing.
func Cut(l raster.Labels, reach int) (target raster.Labels, of []uint32) {
	reach = max(reach, 1)
	in, out := raster.NewLabels(l.W, l.H), raster.NewLabels(l.W, l.H)
	was := l.Number(in.Pix)
	area, left := make([]int, len(was)), make([]int, len(was))
	for i, n := range in.Pix {
		if n == 0 {
			continue
		}
		area[n]++
		if !meets(in, i, n, reach) {
			left[n]++
			out.Pix[i] = n
		}
	}
	restore(out, in, area, left)

	target, n := raster.Components(out.Pix, l.W, l.H, raster.Eight)
	of = make([]uint32, n+1)
	for i, n := range target.Pix {
		if n != 0 {
			of[n] = was[out.Pix[i]]
		}
	}
	return target, of
}

// meets says whether a pixel of an instance other than n lies within reach of pixel i.
func meets(l raster.Labels, i int, n uint32, reach int) bool {
	x, y := i%l.W, i/l.W
	x0, x1 := max(x-reach, 0), min(x+reach, l.W-1)
	for j := max(y-reach, 0); j <= min(y+reach, l.H-1); j++ {
		for _, m := range l.Pix[j*l.W+x0 : j*l.W+x1+1] {
			if m != n && m != 0 {
				return true
			}
		}
	}
	return false
}

// restore gives instances that have nothing left in out their pixels back where they touch no other.
func restore(out, in raster.Labels, area, left []int) {
	var gone []uint32
	for n := 1; n < len(area); n++ {
		if left[n] == 0 {
			gone = append(gone, uint32(n))
		}
	}
	if len(gone) == 0 {
		return
	}
	pixels := make([][]int, len(area))
	for i, n := range in.Pix {
		if n != 0 && left[n] == 0 {
			pixels[n] = append(pixels[n], i)
		}
	}
	slices.SortStableFunc(gone, func(a, b uint32) int { return cmp.Compare(area[a], area[b]) })
	for _, n := range gone {
		for _, i := range pixels[n] {
			if !meets(out, i, n, 1) {
				out.Pix[i] = n
			}
		}
	}
}
