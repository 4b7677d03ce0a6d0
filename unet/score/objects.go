package score

import (
	"fmt"

	"microtome/internal/raster"
)

// A Filter says which parts of an image of foreground probabilities are objects. Probabilities are compared
// as float32, so 0.7 of the network is not greater, nor lower, than 0.7 here.
type Filter struct {
	// Threshold is the probability that foreground is greater than, in [0, 1).
	Threshold float64 `json:"threshold"`
	// MinArea drops what is smaller, before it grows, in pixels of the image it is applied to. One that
	// was chosen at a resolution of m µm/px is worth MinArea · (m/n)² at n µm/px; an area in µm² is worth
	// its quotient by n².
	MinArea float64 `json:"min_area"`
	// MinPeak drops what reaches a lower probability nowhere, in [0, 1]. Up to Threshold it drops nothing.
	MinPeak float64 `json:"min_peak"`
	// Grow is how many pixels objects grow back into the background, such as into the gap that the
	// network was taught to leave between them: a pixel whose centre lies that near to an object's goes to
	// the nearest object, or that of the lowest number. Objects may come to touch; their numbers stay.
	Grow float64 `json:"grow"`
	// Connectivity is 8, or 4 when pixels that share but a corner do not connect.
	Connectivity int `json:"connectivity"`
}

// Pixels returns the filter for an image of mpp µm a pixel of one whose lengths are in µm and areas in µm². 0 leaves it as it is.
func (f Filter) Pixels(mpp float64) Filter {
	if mpp > 0 {
		f.MinArea, f.Grow = f.MinArea/(mpp*mpp), f.Grow/mpp
	}
	return f
}

// NewDefaultFilter returns the filter that drops nothing: 8-connected parts of more than one half.
func NewDefaultFilter() Filter { return Filter{Threshold: 0.5, Connectivity: 8} }

const maxGrow = 64

// Validate says what is wrong with the filter.
func (f Filter) Validate() error {
	switch {
	case !(f.Threshold >= 0 && f.Threshold < 1):
		return fmt.Errorf("a threshold of %g: give a probability from 0 to less than 1", f.Threshold)
	case !(f.MinArea >= 0):
		return fmt.Errorf("a smallest area of %g px: give 0 or more", f.MinArea)
	case !(f.MinPeak >= 0 && f.MinPeak <= 1):
		return fmt.Errorf("a lowest peak of %g: give a probability from 0 to 1", f.MinPeak)
	case !(f.Grow >= 0 && f.Grow <= maxGrow):
		return fmt.Errorf("objects that grow by %g px: give 0 to %d", f.Grow, maxGrow)
	case f.Connectivity != 4 && f.Connectivity != 8:
		return fmt.Errorf("a connectivity of %d: give 4 or 8", f.Connectivity)
	}
	return nil
}

// Objects finds the objects in p, the probability of foreground of w × h pixels, row by row. They are
// numbered 1, 2, … by their first pixel before they grow, row by row. Holes stay holes.
func (f Filter) Objects(p []float32, w, h int) raster.Labels {
	c := newComponents(p, w, h, f.Threshold, f.Connectivity)
	number := make([]uint32, len(c.area))
	n := uint32(0)
	for k := 1; k < len(number); k++ {
		if f.keeps(c.area[k], c.peak[k]) {
			n++
			number[k] = n
		}
	}
	for i, k := range c.labels.Pix {
		c.labels.Pix[i] = number[k]
	}
	grow(c.labels, f.Grow)
	return c.labels
}

// keeps says whether a part of an area and a peak is an object.
func (f Filter) keeps(area int, peak float32) bool {
	return float64(area) >= f.MinArea && peak >= float32(f.MinPeak)
}
