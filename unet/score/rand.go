package score

// Rand counts the ordered pairs of pixels of true objects, each with itself too, that lie together in an
// object: of truth, of prediction, in both. Counts are exact up to objects of 3·10⁹ pixels.
type Rand struct{ Truth, Found, Both int64 }

// rand counts pairs of pixels. A pixel found to be background is together with itself only.
func (o *overlap) rand() Rand {
	var c Rand
	found := make([]int64, len(o.found.area)) // px in true objects
	for _, p := range o.pairs {
		if p.truth == 0 {
			continue
		}
		if p.found == 0 {
			c.Both += p.n
			c.Found += p.n
			continue
		}
		c.Both += p.n * p.n
		found[p.found] += p.n
	}
	for _, n := range found {
		c.Found += n * n
	}
	for _, n := range o.truth.area[1:] {
		c.Truth += n * n
	}
	return c
}

// Add adds the pairs of another image.
func (c *Rand) Add(d Rand) {
	c.Truth += d.Truth
	c.Found += d.Found
	c.Both += d.Both
}

// Merge is the share of pairs together in the prediction that are so in truth: 1 when nothing is merged.
func (c Rand) Merge() float64 { return quotient(c.Both, c.Found, true) }

// Split is the share of pairs together in truth that are so in the prediction: 1 when nothing is split.
func (c Rand) Split() float64 { return quotient(c.Both, c.Truth, true) }

// Score is the foreground-restricted Rand score, the harmonic mean of Merge and Split, in [0, 1].
func (c Rand) Score() float64 { return quotient(2*c.Both, c.Truth+c.Found, true) }

// Error is the adapted Rand error, 1 - Score.
func (c Rand) Error() float64 { return quotient(c.Truth+c.Found-2*c.Both, c.Truth+c.Found, false) }
