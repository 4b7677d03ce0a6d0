package score

import (
	"cmp"
	"slices"

	"microtome/internal/raster"
)

// A claim says that a background pixel lies within reach of an object.
type claim struct {
	pixel    int32 // its index
	distance int32 // px², to a pixel of the object
	object   uint32
}

// claims lists the background pixels whose centres lie within r px of an object's, sorted by pixel, then
// distance, then number of the object. An object may claim a pixel several times.
func claims(l raster.Labels, r int) []claim {
	if r == 0 {
		return nil
	}
	var out []claim
	for i, object := range l.Pix {
		if object == 0 {
			continue
		}
		// The pixel of an object that is nearest to a background pixel has background beside it.
		x, y := i%l.W, i/l.W
		if (x == 0 || l.Pix[i-1] != 0) && (x == l.W-1 || l.Pix[i+1] != 0) &&
			(y == 0 || l.Pix[i-l.W] != 0) && (y == l.H-1 || l.Pix[i+l.W] != 0) {
			continue
		}
		for dy := max(-r, -y); dy <= min(r, l.H-1-y); dy++ {
			for dx := max(-r, -x); dx <= min(r, l.W-1-x); dx++ {
				j, d := i+dy*l.W+dx, dx*dx+dy*dy
				if d <= r*r && l.Pix[j] == 0 {
					out = append(out, claim{int32(j), int32(d), object})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.pixel, b.pixel), cmp.Compare(a.distance, b.distance), cmp.Compare(a.object, b.object))
	})
	return out
}

// grow gives each background pixel within r px of an object to the nearest; of several, to that of the
// lowest number. Objects may come to touch; they stay apart by their numbers.
func grow(l raster.Labels, r int) {
	at := int32(-1)
	for _, c := range claims(l, r) {
		if c.pixel != at {
			at = c.pixel
			l.Pix[at] = c.object
		}
	}
}
