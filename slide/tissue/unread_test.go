package tissue_test

import (
	"errors"
	"image"
	"testing"

	"microtome/slide"
	"microtome/slide/slidetest"
	"microtome/slide/tissue"
)

// TestUnreadIsNotGlass: a part of the slide that cannot be read, and is therefore shown white, counts as tissue.
func TestUnreadIsNotGlass(t *testing.T) {
	s := scene{ground: [3]float64{243, 241, 244}, stain: [3]float64{205, 140, 190}, rough: 40, noise: 2, tissue: inside(0, 0, 3000, 4096)}
	downsamples := []float64{1, 2, 32}
	fake := slidetest.NewFake(s.pixel(func(level int) float64 { return downsamples[level] }), sceneSize, image.Pt(64, 64), downsamples...)
	fake.Before = func(level, x, y int) error {
		if level == 2 && (x == 2 || x == 9) && y == 3 {
			return errors.New("damaged")
		}
		return nil
	}
	v, err := slide.New(fake, slide.Config{CacheBytes: 8 << 20, Unread: true}).AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	found := find(t, v, tissue.NewDefaultConfig())
	check(t, s, found, 90, 0.05) // a block of glass is 4 % of it
	for _, block := range []int{2, 9} {
		at := image.Pt(block*2048+1024, 3*2048+1024)
		if !found.Contains(at.X, at.Y) {
			t.Errorf("the middle of block %d is glass", block)
		}
	}
}
