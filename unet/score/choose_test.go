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
			got, want := table.match(f), Compare(truth, f.Objects(p, w, h))
			if got.Objects.Truth != want.Objects.Truth || got.Objects.Found != want.Objects.Found || got.Objects.Matched != want.Objects.Matched {
				t.Fatalf("%+v: %+v, want %+v", f, got.Objects, want.Objects)
			}
			want.Pixels.TN = 0 // not counted
			if got.Pixels != want.Pixels {
				t.Fatalf("%+v: %+v, want %+v", f, got.Pixels, want.Pixels)
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
		count := func(f Filter) Counts {
			var sum Counts
			for _, c := range cases {
				sum.Add(Compare(c.Truth, f.Pixels(c.MPP).Objects(c.P, c.Truth.W, c.Truth.H)))
			}
			return sum
		}
		greatest := 0.0
		for _, f := range g.filters() {
			greatest = max(greatest, count(f).Objects.F1At50())
		}
		f := Choose(cases, g)
		o := count(f)
		if o.Objects.F1At50() < greatest-0.005 {
			t.Fatalf("%+v has F1 %v, of %v", f, o.Objects.F1At50(), greatest)
		}
		for _, other := range g.filters() {
			c := count(other)
			switch {
			case c.Objects.F1At50() < greatest-0.005:
			case c.Pixels.IoU() != o.Pixels.IoU():
				if c.Pixels.IoU() > o.Pixels.IoU() {
					t.Fatalf("%+v has IoU %v, %+v has %v", f, o.Pixels.IoU(), other, c.Pixels.IoU())
				}
			case c.Objects.F1At50() != o.Objects.F1At50():
				if c.Objects.F1At50() > o.Objects.F1At50() {
					t.Fatalf("%+v has F1 %v, %+v has %v", f, o.Objects.F1At50(), other, c.Objects.F1At50())
				}
			case c.Objects.F1() != o.Objects.F1():
				if c.Objects.F1() > o.Objects.F1() {
					t.Fatalf("%+v has mean F1 %v, %+v has %v", f, o.Objects.F1(), other, c.Objects.F1())
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

// A filter with one wrong object in three hundred is as good as one with none, and pixels decide: here each nucleus has a rim of 0.55,
// and so is a speck that is none.
func TestChooseByPixelsWithinTheNoise(t *testing.T) {
	const n, pitch = 300, 6
	truth := raster.Labels{W: n * pitch, H: 6, Pix: make([]uint32, n*pitch*6)}
	p := make([]float32, len(truth.Pix))
	for k := range n {
		for y := 1; y < 5; y++ {
			for x := k * pitch; x < k*pitch+4; x++ {
				p[y*truth.W+x] = 0.9
				if x == k*pitch {
					p[y*truth.W+x] = 0.55
				}
				truth.Pix[y*truth.W+x] = uint32(k + 1)
			}
		}
	}
	for i, v := range truth.Pix {
		if v == n {
			truth.Pix[i], p[i] = 0, 0.55
		}
	}
	f := Choose([]Case{{P: p, Truth: truth}}, Grid{Thresholds: []float64{0.5, 0.6}, MinAreas: []float64{0}, MinPeaks: []float64{0}, Grow: []float64{0}, Connectivity: 8})
	if f.Threshold != 0.5 {
		t.Errorf("chose %+v, which finds 3/4 of the pixels", f)
	}
}
