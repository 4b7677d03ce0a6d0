package dataset

import (
	"fmt"

	"microtome/internal/raster"
)

// instances reads the instances of an image. Of a plain mask, with 0 and one other value, each
// 8-connected component is an instance; in any other, each value is one.
func instances(path string, mask bool, maxPixels int64) (raster.Labels, error) {
	m, err := decode(path, maxPixels)
	if err != nil {
		return raster.Labels{}, err
	}
	l, deep, err := numbers(m)
	if err != nil {
		return l, fmt.Errorf("%s: %w", path, err)
	}
	var values [1 << 16]bool
	count := 0 // of values but 0
	for _, n := range l.Pix {
		if n > 0 && !values[n] {
			values[n] = true
			count++
		}
	}
	switch {
	case mask && count <= 1:
		parts, _ := raster.Components(l.Pix, l.W, l.H, raster.Eight) // a mask does not number them
		return parts, nil
	case !deep && values[255] && count == 1:
		return l, fmt.Errorf("%s: holds only 0 and 255, which is a mask and not numbers of instances: put images into images/ and masks into masks/ to have its components numbered", path)
	case !deep && values[255]:
		return l, fmt.Errorf("%s: 8-bit overflow: number 255 is in use, so there may have been more instances than 8 bits can number: save it as 16-bit grey", path)
	}
	return l, nil
}

// compact drops the instances of fewer than smallest pixels and numbers the others from 1 without gaps,
// in the order of their old numbers, which it returns by the new ones.
func compact(l raster.Labels, smallest int) (old []uint32) {
	area := make([]int, 1)
	for _, n := range l.Pix {
		if int(n) >= len(area) {
			area = append(area, make([]int, int(n)+1-len(area))...)
		}
		area[n]++
	}
	renamed := make([]uint32, len(area))
	old = []uint32{0}
	for n, a := range area {
		if n > 0 && a > 0 && a >= smallest {
			renamed[n] = uint32(len(old))
			old = append(old, uint32(n))
		}
	}
	for i, n := range l.Pix {
		l.Pix[i] = renamed[n]
	}
	return old
}
