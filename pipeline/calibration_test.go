package pipeline

import (
	"context"
	"image"
	"testing"

	"microtome/slide"
	"microtome/slide/tissue"
)

// A stainedLeft slide is purple left of x = 300 and glass to the right.
type stainedLeft struct{}

func (stainedLeft) Info() slide.Info {
	size := image.Pt(1000, 400)
	return slide.Info{Bounds: image.Rectangle{Max: size}, Levels: []slide.Level{{Size: size, Downsample: 1, Block: size}}}
}

func (stainedLeft) ReadBlock(_ context.Context, _, _, _ int, dst []byte) error {
	for i := range dst {
		dst[i] = 230
		if i/3%1000 < 300 && i%3 == 1 {
			dst[i] = 90
		}
	}
	return nil
}

func (stainedLeft) Close() error { return nil }

// Places to calibrate on lie where there is tissue, and are the same for the same seed.
func TestTissueCores(t *testing.T) {
	s := slide.New(stainedLeft{}, slide.Config{CacheBytes: 1 << 20})
	v, err := s.AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	found, err := tissue.Find(t.Context(), v, tissue.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := Calibration{Tiles: 20, Core: 100, Seed: 1}
	places := tissueCores(found, v, c)
	if len(places) != c.Tiles {
		t.Errorf("%d places, want %d", len(places), c.Tiles)
	}
	for _, p := range places {
		if p.X > 253 || !p.In(image.Rect(0, 0, 901, 301)) { // half of it within 300, or a pixel of the thumbnail more
			t.Errorf("a core at %v", p)
		}
	}
	for i, p := range tissueCores(found, v, c) {
		if p != places[i] {
			t.Errorf("place %d is %v, was %v", i, p, places[i])
		}
	}
	c.Seed = 2
	if tissueCores(found, v, c)[0] == places[0] {
		t.Error("another seed gives the same place")
	}
}
