package score

import (
	"cmp"
	"slices"

	"microtome/internal/raster"
)

// A claim says that a pixel lies within reach of an object that it is not part of.
type claim struct {
	pixel    int32 // its index
	distance int32 // px², to a pixel of the object
	object   uint32
}

// claims lists the pixels, of background and of other objects, whose centres lie within r px of an
// object's, sorted by pixel, then distance, then number of the object. An object may claim a pixel several
// times.
func claims(l raster.Labels, reach float64) []claim {
	const rounding = 1e-6 // 0.3 µm at 0.1 µm a pixel are 3 px
	r, most := int(reach+rounding), int32(reach*reach+rounding)
	if r == 0 {
		return nil
	}
	var out []claim
	for i, object := range l.Pix {
		if object == 0 {
			continue
		}
		// The pixel of an object that is nearest to one outside has one outside beside it.
		x, y := i%l.W, i/l.W
		if (x == 0 || l.Pix[i-1] == object) && (x == l.W-1 || l.Pix[i+1] == object) &&
			(y == 0 || l.Pix[i-l.W] == object) && (y == l.H-1 || l.Pix[i+l.W] == object) {
			continue
		}
		for dy := max(-r, -y); dy <= min(r, l.H-1-y); dy++ {
			for dx := max(-r, -x); dx <= min(r, l.W-1-x); dx++ {
				j, d := i+dy*l.W+dx, int32(dx*dx+dy*dy)
				if d <= most && l.Pix[j] != object {
					out = append(out, claim{int32(j), d, object})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b claim) int {
		if a.pixel != b.pixel {
			return cmp.Compare(a.pixel, b.pixel)
		}
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.object, b.object))
	})
	return out
}

// grow gives each background pixel within r px of an object to the nearest; of several, to that of the
// lowest number. Objects may come to touch; they stay apart by their numbers.
func grow(l raster.Labels, r float64) {
	for _, c := range claims(l, r) {
		if l.Pix[c.pixel] == 0 {
			l.Pix[c.pixel] = c.object
		}
	}
}
