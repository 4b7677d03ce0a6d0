package score

import (
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// A table, which selects from the parts of an image, counts what Objects and Compare count.
func TestTableAgainstObjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 12).Draw(t, "w"), rapid.IntRange(1, 12).Draw(t, "h")
		p, truth, f := anyProbabilities(t, w, h), anyLabels(t, "truth", w, h), anyFilter(t)
		table := newTable(truth, newComponents(p, w, h, f.Threshold, f.Connectivity), f.Grow)
		for range 2 { // the second time its scratch is in use
			got, want := table.match(f), Compare(truth, f.Objects(p, w, h)).Objects
			if got.Truth != want.Truth || got.Found != want.Found || got.Matched != want.Matched {
				t.Fatalf("%+v: %+v, want %+v", f, got, want)
			}
			f.MinArea += 2
		}
	})
}

// manyFilters returns a grid of 1386 filters, in pixels.
func manyFilters() Grid {
	return Grid{
		Thresholds:   []float64{0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8},
		MinAreas:     []float64{0, 5, 10, 20, 30, 45, 60, 90, 120},
		MinPeaks:     []float64{0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95},
		Grow:         []float64{0, 1},
		Connectivity: 8,
	}
}

// Choose against trying all filters one by one.
func TestChooseAgainstTryingAll(t *testing.T) {
	g := Grid{
		Thresholds: []float64{0.35, 0.45, 0.55, 0.75}, MinAreas: []float64{0, 3, 6}, MinPeaks: []float64{0, 0.8, 0.95},
		Grow: []float64{0, 2, 1.5}, Connectivity: 8,
	}
	rapid.Check(t, func(t *rapid.T) {
		var cases []Case
		for range rapid.IntRange(1, 2).Draw(t, "cases") {
			w, h := rapid.IntRange(1, 9).Draw(t, "w"), rapid.IntRange(1, 9).Draw(t, "h")
			cases = append(cases, Case{anyProbabilities(t, w, h), anyLabels(t, "truth", w, h), rapid.SampledFrom([]float64{0, 0.5, 1.25}).Draw(t, "mpp")})
		}
		count := func(f Filter) Objects {
			var sum Objects
			for _, c := range cases {
				sum.Add(Compare(c.Truth, f.Pixels(c.MPP).Objects(c.P, c.Truth.W, c.Truth.H)).Objects)
			}
			return sum
		}
		greatest := 0.0
		for _, f := range g.filters() {
			greatest = max(greatest, count(f).F1At50())
		}
		f := Choose(cases, g)
		o := count(f)
		if o.F1At50() < greatest-0.005 {
			t.Fatalf("%+v has F1 %v, of %v", f, o.F1At50(), greatest)
		}
		for _, other := range g.filters() {
			c := count(other)
			switch {
			case c.F1At50() < greatest-0.005:
			case c.Matched[0] != o.Matched[0]:
				if c.Matched[0] > o.Matched[0] {
					t.Fatalf("%+v finds %d, %+v finds %d", f, o.Matched[0], other, c.Matched[0])
				}
			case c.F1At50() != o.F1At50():
				if c.F1At50() > o.F1At50() {
					t.Fatalf("%+v has F1 %v, %+v has %v", f, o.F1At50(), other, c.F1At50())
				}
			case c.F1() != o.F1():
				if c.F1() > o.F1() {
					t.Fatalf("%+v has mean F1 %v, %+v has %v", f, o.F1(), other, c.F1())
				}
			case other.Grow != f.Grow:
				if other.Grow < f.Grow {
					t.Fatalf("%+v grows more than %+v", f, other)
				}
			case other.MinArea < f.MinArea || other.MinArea == f.MinArea && other.MinPeak < f.MinPeak:
				t.Fatalf("%+v drops more than %+v", f, other)
			}
		}
	})
}

// Two nuclei joined by a bridge of 0.6 and shrunk by a pixel, a speck, and a faint one that is none. A
// threshold of 0.6 would do with a lowest peak of 0.8; one of 0.7 does without.
func TestChooseByHand(t *testing.T) {
	p, _, _ := probabilities(
		"................",
		".999.999...9....",
		".99966999.......",
		".999.999....777.",
		"............777.",
		"................")
	truth := draw(
		".aaa.bbb........",
		"aaaaabbbb.......",
		"aaaaabbbbb......",
		"aaaaabbbb.......",
		".aaa.bbb........",
		"................")
	f := Choose([]Case{{P: p, Truth: truth}}, manyFilters())
	o := Compare(truth, f.Objects(p, truth.W, truth.H)).Objects
	want := Filter{Threshold: 0.7, MinArea: 5, MinPeak: 0, Grow: 1, Connectivity: 8}
	if f != want || o.F1At50() != 1 {
		t.Errorf("chose %+v with %+v, want %+v", f, o, want)
	}
}

// A filter with three wrong objects in three hundred is as good as one with none, and the one that loses no nucleus is to be chosen: here one
// nucleus has a probability of 0.55, as have three specks that are none.
func TestChooseLosesNoNucleusWithinTheNoise(t *testing.T) {
	const n, pitch = 303, 4
	truth := raster.Labels{W: n * pitch, H: 2, Pix: make([]uint32, n*pitch*2)}
	p := make([]float32, len(truth.Pix))
	for k := range n {
		for _, i := range []int{k * pitch, k*pitch + 1, k*pitch + truth.W} {
			p[i] = 0.9
			if k >= n-4 {
				p[i] = 0.55
			}
			if k < n-3 {
				truth.Pix[i] = uint32(k + 1)
			}
		}
	}
	f := Choose([]Case{{P: p, Truth: truth}}, Grid{Thresholds: []float64{0.5, 0.6}, MinAreas: []float64{0}, MinPeaks: []float64{0}, Grow: []float64{0}, Connectivity: 8})
	if f.Threshold != 0.5 {
		t.Errorf("chose %+v, which loses a nucleus", f)
	}
}
