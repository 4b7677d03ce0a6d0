package score

import "microtome/internal/raster"

// Counts is what the metrics of an image, or of several, are computed from.
type Counts struct {
	Pixels  Pixels // of foreground
	Objects Objects
	Rand    Rand
}

// Compare counts how a prediction agrees with the truth, two images of one size. Their numbers of objects
// need not be consecutive, nor objects connected.
func Compare(truth, predicted raster.Labels) Counts {
	o := newOverlap(truth, predicted)
	return Counts{o.pixels(), o.objects(), o.rand()}
}

// Add adds the counts of another image.
func (c *Counts) Add(d Counts) {
	c.Pixels.Add(d.Pixels)
	c.Objects.Add(d.Objects)
	c.Rand.Add(d.Rand)
}
