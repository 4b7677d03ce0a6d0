package augment_test

import (
	"fmt"
	"math/rand/v2"

	"microtome/internal/raster"
	"microtome/unet/augment"
)

// Two tiles of a network that works at 0.5 µm/px, from a picture of 0.25 µm/px with one nucleus.
func Example() {
	picture, instances := raster.NewRGB(300, 200), raster.NewLabels(300, 200)
	for y := range picture.H {
		for x := range picture.W {
			copy(picture.At(x, y), []byte{240, 225, 235})
			if dx, dy := x-150, y-100; dx*dx+dy*dy < 60*60 {
				copy(picture.At(x, y), []byte{110, 70, 150})
				instances.Pix[y*instances.W+x] = 1
			}
		}
	}
	c := augment.NewDefaultConfig()
	c.Shift = false
	s, r := augment.Sampler{Config: c}, rand.New(rand.NewPCG(1, 2))
	for range 2 {
		tile, labels := s.Sample(r, picture, instances, 128, 0.5/0.25)
		var nucleus int
		for _, n := range labels.Pix {
			nucleus += int(n)
		}
		fmt.Println(tile.W, tile.H, nucleus > 1000)
	}
	// Output:
	// 128 128 true
	// 128 128 true
}
