package pipeline

import (
	"image"
	"image/color"
	"testing"
)

// Tissue is what differs from the background, whether that is white or black.
func TestTissue(t *testing.T) {
	for name, c := range map[string]struct{ background, tissue uint8 }{"stained": {240, 150}, "fluorescence": {5, 90}} {
		m := image.NewRGBA(image.Rect(0, 0, 40, 30))
		for y := range 30 {
			for x := range 40 {
				v := c.background
				if x >= 10 && x < 20 && y >= 5 && y < 15 {
					v = c.tissue
				}
				m.Set(x, y, color.RGBA{v, v, v, 255})
			}
		}
		found := tissue(m)
		if len(found) != 100 {
			t.Errorf("%s: %d pixels, want 100", name, len(found))
		}
		for _, p := range found {
			if !p.In(image.Rect(10, 5, 20, 15)) {
				t.Fatalf("%s: %v is background", name, p)
			}
		}
	}
	even := image.NewRGBA(image.Rect(0, 0, 3, 3))
	if n := len(tissue(even)); n != 9 {
		t.Errorf("of an even picture %d pixels are tissue", n)
	}
}
