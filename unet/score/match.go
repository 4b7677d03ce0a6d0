package score

// Objects counts how true and found objects agree.
type Objects struct {
	Truth, Found int     // objects
	Matched      [10]int // pairs of IoU greater than 0.50, 0.55 … 0.95
	IoU          float64 // summed over Matched[0]

	Intersection, Union int64 // px, of AJI

	Merges, Splits int
}

// passed says how many of the thresholds 0.50, 0.55 … 0.95 an IoU is greater than.
func passed(intersection, union int64) int {
	n := 0
	for n < 10 && 20*intersection > int64(10+n)*union {
		n++
	}
	return n
}

// objects compares the objects of the table.
func (o *overlap) objects() Objects {
	c := Objects{Truth: o.truth.objects(), Found: o.found.objects()}
	type best struct {
		intersection, union int64
		found               uint32
	}
	taken := make([]best, len(o.truth.area)) // by true object
	inTruth := make([]int, len(o.truth.area))
	inFound := make([]int, len(o.found.area))
	for i, area := range o.truth.area {
		taken[i].union = area
	}
	for _, p := range o.pairs {
		if p.truth == 0 || p.found == 0 {
			continue
		}
		union := o.truth.area[p.truth] + o.found.area[p.found] - p.n
		if n := passed(p.n, union); n > 0 {
			c.IoU += float64(p.n) / float64(union)
			for k := range n {
				c.Matched[k]++
			}
		}
		b := &taken[p.truth]
		left, right := p.n*b.union, b.intersection*union
		if left > right || left == right && (p.n > b.intersection || p.n == b.intersection && p.found < b.found) {
			*b = best{p.n, union, p.found}
		}
		if 2*p.n > o.truth.area[p.truth] {
			inFound[p.found]++
		}
		if 2*p.n > o.found.area[p.found] {
			inTruth[p.truth]++
		}
	}
	used := make([]bool, len(o.found.area))
	used[0] = true
	for _, b := range taken[1:] {
		c.Intersection += b.intersection
		c.Union += b.union
		used[b.found] = true
	}
	for i, area := range o.found.area {
		if !used[i] {
			c.Union += area
		}
		if inFound[i] > 1 {
			c.Merges++
		}
	}
	for _, n := range inTruth {
		if n > 1 {
			c.Splits++
		}
	}
	return c
}

// Add adds the objects of another image.
func (c *Objects) Add(d Objects) {
	c.Truth += d.Truth
	c.Found += d.Found
	for k, n := range d.Matched {
		c.Matched[k] += n
	}
	c.IoU += d.IoU
	c.Intersection += d.Intersection
	c.Union += d.Union
	c.Merges += d.Merges
	c.Splits += d.Splits
}

func (c Objects) empty() bool { return c.Truth == 0 && c.Found == 0 }

// Precision is the share of found objects that match at IoU 0.5.
func (c Objects) Precision() float64 {
	return quotient(int64(c.Matched[0]), int64(c.Found), c.empty())
}

// Recall is the share of true objects that match at IoU 0.5.
func (c Objects) Recall() float64 {
	return quotient(int64(c.Matched[0]), int64(c.Truth), c.empty())
}

// F1At50 is the harmonic mean of precision and recall; it is DQ, the detection quality of PQ, too.
func (c Objects) F1At50() float64 {
	return quotient(2*int64(c.Matched[0]), int64(c.Truth+c.Found), c.empty())
}

// F1 is the mean of F1 at IoU 0.50, 0.55 … 0.95.
func (c Objects) F1() float64 {
	n := 0
	for _, m := range c.Matched {
		n += m
	}
	return quotient(2*int64(n), 10*int64(c.Truth+c.Found), c.empty())
}

// SQ is the mean IoU of the objects that match at IoU 0.5, 0 when none does.
func (c Objects) SQ() float64 {
	if c.empty() {
		return 1
	}
	if c.Matched[0] == 0 {
		return 0
	}
	return c.IoU / float64(c.Matched[0])
}

// PQ is the panoptic quality, DQ · SQ.
func (c Objects) PQ() float64 { return c.F1At50() * c.SQ() }

// AJI is the aggregated Jaccard index.
func (c Objects) AJI() float64 { return quotient(c.Intersection, c.Union, c.empty()) }
