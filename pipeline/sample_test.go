package pipeline

import (
	"image"
	"image/color"
	"testing"

	"microtome/slide"
	"microtome/slide/slidetest"
)

// Tissue is what differs from the background, whether that is white or black. Black beside glass was not scanned.
func TestTissue(t *testing.T) {
	scanned := image.Rect(0, 0, 40, 30)
	for name, c := range map[string]struct {
		unscanned, background, tissue uint8
		scanned                       image.Rectangle
		glass                         bool
	}{
		"stained":                    {240, 240, 150, scanned, true},
		"dark stain":                 {240, 240, 30, scanned, true},
		"fluorescence":               {5, 5, 90, scanned, false},
		"fluorescence, grey":         {20, 20, 90, scanned, false},
		"black around glass":         {0, 240, 150, scanned, true},
		"nearly black around glass":  {7, 240, 150, scanned, true},
		"bounds within black":        {0, 240, 150, image.Rect(8, 3, 24, 20), true},
		"bounds within grey":         {150, 240, 150, image.Rect(8, 3, 24, 20), true},
		"tissue alone, black around": {0, 0, 150, scanned, false},
	} {
		m := image.NewRGBA(image.Rect(0, 0, 40, 30))
		for y := range 30 {
			for x := range 40 {
				v := c.unscanned
				switch p := image.Pt(x, y); {
				case p.In(image.Rect(10, 5, 20, 15)):
					v = c.tissue
				case p.In(image.Rect(8, 3, 24, 20)):
					v = c.background
				}
				m.Set(x, y, color.RGBA{v, v, v, 255})
			}
		}
		if c.unscanned < unscanned && c.background > 200 { // averaged over the edge of what was scanned
			for y := 3; y < 20; y++ {
				m.Set(23, y, color.RGBA{120, 120, 120, 255})
			}
		}
		found, glass := tissue(m, c.scanned)
		if len(found) != 100 || glass != c.glass {
			t.Errorf("%s: %d pixels, want 100; glass %v", name, len(found), glass)
		}
		for _, p := range found {
			if !p.In(image.Rect(10, 5, 20, 15)) {
				t.Fatalf("%s: %v is background", name, p)
			}
		}
	}
	even := image.NewRGBA(image.Rect(0, 0, 3, 3))
	if found, _ := tissue(even, even.Rect); len(found) != 9 {
		t.Errorf("of an even picture %d pixels are tissue", len(found))
	}
}

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
		pixels, err := sub.sample(t.Context())
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
