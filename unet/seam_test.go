package unet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"microtome/internal/raster"
)

// kinds are the architectures of the seam and geometry tests, without their depth.
var kinds = []struct {
	name string
	same bool
	up   Upsampling
}{
	{"valid transposed", false, Transposed},
	{"valid nearest", false, Nearest},
	{"valid linear", false, Linear},
	{"same transposed", true, Transposed},
	{"same nearest", true, Nearest},
	{"same linear", true, Linear},
}

// A picture is an RGB image that goes on beyond its edges by mirroring.
type picture struct {
	w, h   int
	pixels []byte
}

// randomPicture is noise: every pixel matters.
func randomPicture(r *rand.Rand, w, h int) picture {
	p := picture{w, h, make([]byte, 3*w*h)}
	for i := range p.pixels {
		p.pixels[i] = byte(r.Uint32())
	}
	return p
}

// read returns the pixels of the rectangle that begins at x, y.
func (p picture) read(x, y, w, h int) []byte {
	out := make([]byte, 0, 3*w*h)
	for v := range h {
		row := raster.Reflect(y+v, p.h) * p.w
		for u := range w {
			i := 3 * (row + raster.Reflect(x+u, p.w))
			out = append(out, p.pixels[i:i+3]...)
		}
	}
	return out
}

// An opened network gives its logits.
type opened struct {
	Engine
	geometry Geometry
	blind    int // how much of the margin of a tile of 64 is not read but mirrored, px
	model    string
}

// forgetting returns a network whose small tiles know less of their surroundings.
func (n opened) forgetting(px int) opened {
	n.blind = px
	return n
}

// openNetwork opens a random network in which both classes are common: the bias of the first logit is
// moved by the median of what it lacks to the second, measured on noise. Seeds that leave nothing alive
// behind the ReLUs are passed over.
func openNetwork(t testing.TB, a Architecture) opened { return openNetworkOn(t, a, Config{}) }

func openNetworkOn(t testing.TB, a Architecture, cfg Config) opened {
	t.Helper()
	a.Classes = 2
	for range 50 {
		const core = 128
		noise := randomPicture(rand.New(rand.NewPCG(1, 1)), core, core)
		d := differences(openWithBias(t, a, 0, cfg).logits(t, noise, 0, 0, core, core))
		sorted := slices.Sorted(slices.Values(d))
		if sorted[len(d)/5] < sorted[len(d)/2] && sorted[len(d)/2] < sorted[len(d)*4/5] {
			return openWithBias(t, a, sorted[len(d)/2], cfg)
		}
		a.Seed += 1000
	}
	t.Fatalf("no seed of %+v gives a network that is alive", a)
	return opened{}
}

func openWithBias(t testing.TB, a Architecture, by float32, cfg Config) opened {
	t.Helper()
	random := a.random()
	a.weights = func(name string, dims []int) (w, bias []float32) {
		w, bias = random(name, dims)
		if name == "head" {
			bias[0] += by
		}
		return w, bias
	}
	model := writeModel(t, a)
	e, err := OpenLogits(model, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return opened{Engine: e, geometry: e.Spec().Geometry, model: model}
}

func differences(logits []float32) []float32 {
	half := len(logits) / 2
	d := make([]float32, half)
	for i := range d {
		d[i] = logits[half+i] - logits[i]
	}
	return d
}

// logits runs the network on a core at x, y.
func (n opened) logits(t testing.TB, p picture, x, y, w, h int) []float32 {
	t.Helper()
	g := n.geometry
	out := make([]float32, n.Spec().Logits*w*h)
	in := p.read(x-g.Before, y-g.Before, g.Input(w), g.Input(h))
	if b := n.blind; b > 0 && w == 64 {
		known := picture{g.Input(w) - 2*b, g.Input(h) - 2*b, nil}
		known.pixels = p.read(x-g.Before+b, y-g.Before+b, known.w, known.h)
		in = known.read(-b, -b, g.Input(w), g.Input(h))
	}
	if err := n.Logits(context.Background(), w, h, in, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// widened opens the network with a margin that is larger than needed.
func widened(t testing.TB, a Architecture, by int) opened {
	t.Helper()
	a.Classes = 2
	g := a.Geometry()
	data, err := a.onnx(Geometry{g.Stride, g.Before + by, g.After + by})
	if err != nil {
		t.Fatal(err)
	}
	e, err := open(writeFile(t, data), Config{}, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return opened{Engine: e, geometry: e.Spec().Geometry}
}

// tilesDiffer compares the logits of a picture in tiles of a core, the first of which begins at
// -shift, with those of the whole at once. It returns how many pixels differ, and the share of label 1.
func (n opened) tilesDiffer(t testing.TB, p picture, core, shift int) (differ int, share float64) {
	t.Helper()
	stride := n.geometry.Stride
	// The whole reaches from 0 to the first multiple of the stride beyond the edge.
	w, h := (p.w+stride-1)/stride*stride, (p.h+stride-1)/stride*stride
	whole := n.logits(t, p, 0, 0, w, h)
	ones := 0
	for y := range p.h {
		for x := range p.w {
			if whole[w*h+y*w+x] > whole[y*w+x] {
				ones++
			}
		}
	}
	for top := -shift; top < p.h; top += core {
		for left := -shift; left < p.w; left += core {
			tile := n.logits(t, p, left, top, core, core)
			for y := max(top, 0); y < min(top+core, p.h); y++ {
				for x := max(left, 0); x < min(left+core, p.w); x++ {
					i, k := y*w+x, (y-top)*core+x-left
					if whole[i] != tile[k] || whole[w*h+i] != tile[core*core+k] {
						differ++
					}
				}
			}
		}
	}
	return differ, float64(ones) / float64(p.w*p.h)
}

// TestSeams holds that stitched tiles equal one pass over the whole image, bit for bit in the floats.
func TestSeams(t *testing.T) {
	needRuntime(t)
	depths, pictures := 5, 2
	if testing.Short() {
		depths, pictures = 3, 1
	}
	for _, kind := range kinds {
		for depth := 1; depth <= depths; depth++ {
			t.Run(fmt.Sprintf("%s/%d", kind.name, depth), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(depth), 7))
				for i := range pictures {
					if depth == 5 && i > 0 {
						break
					}
					a := Architecture{Depth: depth, Base: 2 + i, Same: kind.same, Up: kind.up, Seed: uint64(10*depth + i)}
					n := openNetwork(t, a)
					size := [2]int{1 + r.IntN(600), 1 + r.IntN(500)}
					core := 64 << r.IntN(3)
					if i == 0 { // always large enough for seams and for counting classes
						size, core = [2]int{150 + r.IntN(60), 140 + r.IntN(60)}, 64
					}
					p := randomPicture(r, size[0], size[1])
					differ, share := n.tilesDiffer(t, p, core, 0)
					if differ > 0 {
						t.Errorf("%d × %d, core %d, base %d: %d pixels differ", p.w, p.h, core, a.Base, differ)
					}
					if p.w*p.h > 1000 && (share < 0.05 || share > 0.95) {
						t.Errorf("label 1 on %.1f %% of the pixels: the comparison is blind", 100*share)
					}
				}
			})
		}
	}
	t.Run("tiny", func(t *testing.T) {
		for _, kind := range kinds {
			n := openNetwork(t, Architecture{Depth: 2, Base: 2, Same: kind.same, Up: kind.up, Seed: 5})
			for _, size := range [][2]int{{1, 1}, {1, 9}, {5, 2}, {17, 3}} {
				if differ, _ := n.tilesDiffer(t, randomPicture(rand.New(rand.NewPCG(3, 3)), size[0], size[1]), 8, 0); differ > 0 {
					t.Errorf("%s, %d × %d: %d pixels differ", kind.name, size[0], size[1], differ)
				}
			}
		}
	})
	t.Run("blocked layout", func(t *testing.T) { // wide enough for the layout in blocks of channels
		if testing.Short() {
			t.Skip("slow")
		}
		for _, same := range []bool{false, true} {
			n := openNetwork(t, Architecture{Depth: 3, Base: 16, Same: same, Seed: 8})
			if differ, _ := n.tilesDiffer(t, randomPicture(rand.New(rand.NewPCG(4, 4)), 210, 130), 64, 0); differ > 0 {
				t.Errorf("same %v: %d pixels differ", same, differ)
			}
		}
	})
}

// TestSeamsOfLargeImages is TestSeams at the sizes of real tiles.
func TestSeamsOfLargeImages(t *testing.T) {
	needRuntime(t)
	if testing.Short() {
		t.Skip("slow: runs large images")
	}
	r := rand.New(rand.NewPCG(6, 6))
	for _, c := range []struct {
		Architecture
		w, h, core int
	}{
		{Architecture{Depth: 5, Base: 2, Same: true}, 3000, 2500, 2048},
		{Architecture{Depth: 4, Base: 2}, 1301, 1003, 512},
		{Architecture{Depth: 3, Base: 2, Same: true, Up: Linear}, 900, 1100, 512},
	} {
		n := openNetwork(t, c.Architecture)
		differ, share := n.tilesDiffer(t, randomPicture(r, c.w, c.h), c.core, 0)
		if differ > 0 || share < 0.05 || share > 0.95 {
			t.Errorf("%+v: %d pixels differ, label 1 on %.1f %%", c.Architecture, differ, 100*share)
		}
	}
}

// TestSeamsEverywhere is TestSeams for every architecture at every core from 64 to 2048 and images from
// 1 × 1 to 3000 × 2500 pixels, with its control. It takes ten minutes of two processors.
func TestSeamsEverywhere(t *testing.T) {
	needRuntime(t)
	if os.Getenv("MICROTOME_LONG") == "" {
		t.Skip("ten minutes of two processors: set MICROTOME_LONG=1 to run it")
	}
	for _, kind := range kinds {
		for depth := 1; depth <= 5; depth++ {
			t.Run(fmt.Sprintf("%s/%d", kind.name, depth), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(uint64(depth), 99))
				n := openNetwork(t, Architecture{Depth: depth, Base: 2 + depth%2, Same: kind.same, Up: kind.up, Seed: uint64(100 + depth)})
				for _, c := range []struct{ w, h, core int }{
					{1, 1, 64}, {333, 211, 64}, {701, 503, 128}, {901, 1103, 256}, {1501, 1203, 512}, {2203, 1801, 1024}, {3000, 2500, 2048},
				} {
					differ, share := n.tilesDiffer(t, randomPicture(r, c.w, c.h), c.core, 0)
					t.Logf("%d × %d, core %d: %d pixels differ, label 1 on %.0f %%", c.w, c.h, c.core, differ, 100*share)
					if differ > 0 || c.w > 1 && (share < 0.05 || share > 0.95) {
						t.Errorf("%d × %d, core %d: %d pixels differ, label 1 on %.1f %%", c.w, c.h, c.core, differ, 100*share)
					}
				}
				p := randomPicture(r, 200, 180)
				if differ, _ := n.forgetting(n.geometry.Stride).tilesDiffer(t, p, 64, 0); differ == 0 {
					t.Errorf("tiles that see one stride less make no difference")
				}
			})
		}
	}
}

// TestSeamsAreSeen is the control of TestSeams: a margin that is one stride too small, and cores off
// the lattice, must make a difference.
func TestSeamsAreSeen(t *testing.T) {
	needRuntime(t)
	for _, kind := range kinds {
		depths := 4
		if testing.Short() {
			depths = 2
		}
		for depth := 2; depth <= depths; depth++ {
			t.Run(fmt.Sprintf("%s/%d", kind.name, depth), func(t *testing.T) {
				a := Architecture{Depth: depth, Base: 3, Same: kind.same, Up: kind.up, Seed: 4}
				n := openNetwork(t, a)
				p := randomPicture(rand.New(rand.NewPCG(8, uint64(depth))), 200, 180)
				stride := n.geometry.Stride
				if differ, _ := n.tilesDiffer(t, p, 64, stride/2); differ < p.w*p.h/100 {
					t.Errorf("cores off the lattice by %d: only %d pixels differ", stride/2, differ)
				}
				if differ, _ := n.forgetting(stride).tilesDiffer(t, p, 64, 0); differ == 0 {
					t.Errorf("tiles that see one stride less make no difference")
				}
			})
		}
	}
}
