package network

import (
	"fmt"
	"slices"
	"testing"

	"microtome/unet/ops"
)

// What operations compute in shared memory is what they compute each in its own, bit for bit, run after run.
func TestArenaChangesNothing(t *testing.T) {
	for _, s := range []Shape{
		{Depth: 1, Base: 3, Channels: 3, Classes: 2},
		{Depth: 2, Base: 4, Channels: 1, Classes: 3, Same: true},
		{Depth: 4, Base: 2, Channels: 3, Classes: 1, Same: true},
		{Depth: 3, Base: 5, Channels: 3, Classes: 2},
	} {
		for _, backend := range []ops.Backend{nil, ops.BLAS{}} {
			t.Run(fmt.Sprintf("%+v %T", s, backend), func(t *testing.T) {
				params := s.Init(3)
				bias(params, 1)
				h, w := s.Input(40), s.Input(24)
				if s.Same {
					h, w = 48, 32
				}
				arena := &ops.Arena{}
				defer arena.Free()
				own, err := NewForward(s, params, h, w, &ops.Ops{Backend: backend})
				if err != nil {
					t.Fatal(err)
				}
				shared, err := NewForward(s, params, h, w, &ops.Ops{Backend: backend, Arena: arena})
				if err != nil {
					t.Fatal(err)
				}
				for round := range 3 {
					image := make([]float32, s.Channels*h*w)
					for i := range image {
						image[i] = float32((i*7919+round*31)%101)/50 - 1
					}
					want, err := own.Run(image)
					if err != nil {
						t.Fatal(err)
					}
					got, err := shared.Run(image)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("round %d: logits differ", round)
					}
				}
			})
		}
	}
}

// The arena of a padded network is no larger than its widest moment asks for: the last level's joined features, their
// padded copy and the next features.
func TestArenaIsSmall(t *testing.T) {
	s := Shape{Depth: 4, Base: 16, Channels: 3, Classes: 2, Same: true}
	const edge = 512
	arena := &ops.Arena{}
	if _, err := NewForward(s, s.Params(), edge, edge, &ops.Ops{Arena: arena}); err != nil {
		t.Fatal(err)
	}
	perPixel := float64(arena.Bytes()) / (edge * edge)
	if perPixel < 4*64 || perPixel > 4*84 {
		t.Errorf("%.0f bytes a pixel, want a little over those of 64 to 80 channels", perPixel)
	}
}
