package pipeline

import (
	"image"
	"testing"

	"microtome/slide"
	"microtome/slide/slidetest"
)

// The sample of a slide of tissue on glass, of which a part was scanned, is of tissue: neither of the black around it nor of
// what lies outside the bounds.
func TestSampleOfTheScanned(t *testing.T) {
	const edge = 4096
	inside := image.Rect(1024, 1024, 2600, 2600)
	stained := image.Rect(1024, 1200, 2048, 2048) // touches what was not scanned
	for name, c := range map[string]struct {
		outside byte
		bounds  image.Rectangle
	}{"black around": {0, image.Rectangle{Max: image.Pt(edge, edge)}}, "bounds": {200, inside}} {
		pixel := func(_, x, y int) [3]byte {
			v := c.outside
			switch p := image.Pt(x, y); {
			case p.In(stained):
				v = 120
			case p.In(inside):
				v = 240
			}
			return [3]byte{v, v, v}
		}
		s := slide.New(slidetest.NewFake(pixel, image.Pt(edge, edge), image.Pt(256, 256), 1).WithBounds(c.bounds), slide.Config{CacheBytes: 1 << 24})
		view, err := s.AtLevel(0)
		if err != nil {
			t.Fatal(err)
		}
		sub := &subject{Slide: s, view: view, plan: Plan{Size: view.Size(), Region: image.Rectangle{Max: view.Size()}}}
		pixels, err := sub.sample(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		counts := map[byte]int{}
		for _, v := range pixels {
			counts[v]++
		}
		if share := float64(counts[120]) / float64(len(pixels)); share < 0.8 {
			t.Errorf("%s: %.0f %% of the sample are tissue: %v", name, 100*share, counts)
		}
		if c.outside == 0 && counts[0] > 0 {
			t.Errorf("%s: %d values were not scanned", name, counts[0])
		}
	}
}
