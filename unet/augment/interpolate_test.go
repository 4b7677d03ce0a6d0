package augment

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// TestImageIsItsFormula compares pictures with interpolation in floats over the mirrored source: Catmull-Rom at
// the pixel's place, or the mean of bilinear interpolation at n × n places of its area.
func TestImageIsItsFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		w, h := rapid.IntRange(1, 12).Draw(t, "w"), rapid.IntRange(1, 12).Draw(t, "h")
		src, _ := noise(seeded(seed), w, h)
		const size = 16
		warp := NewDefaultConfig().Warp(seeded(seed), w, h, size, rapid.Float64Range(0.4, 3).Draw(t, "base"))
		n := max(int(math.Ceil(warp.step)), 1)
		linear := func(t float64) [4]float64 { return [4]float64{0, 1 - t, t, 0} }
		kernel := catmullRom
		if n > 1 {
			kernel = linear
		}
		got := warp.Image(src)
		for i, v := range got.Pix {
			var want float64
			for j := range n * n {
				sx, sy := warp.At(place(i/3%size*n+j%n, n), place(i/3/size*n+j/n, n))
				x, y := math.Floor(sx), math.Floor(sy)
				for k, wy := range kernel(sy - y) {
					for l, wx := range kernel(sx - x) {
						p := src.At(raster.Reflect(int(x)+l-1, w), raster.Reflect(int(y)+k-1, h))
						want += wx * wy * float64(p[i%3]) / float64(n*n)
					}
				}
			}
			if want = min(max(want, 0), 255); math.Abs(float64(v)-want) > 1 {
				t.Fatalf("byte %d is %d, want %.2f", i, v, want)
			}
		}
	})
}

// TestDownsamplingAveragesAreas: a pixel of the tile is the mean of the pixels it covers, so nothing finer
// than the tile's pixels shows in it.
func TestDownsamplingAveragesAreas(t *testing.T) {
	for _, base := range []int{2, 3, 4, 5} {
		const size = 12
		src, _ := noise(seeded(1), base*size, base*size)
		got := None().Warp(nil, src.W, src.H, size, float64(base)).Image(src)
		for i := range got.Pix {
			x, y, c := i/3%size, i/3/size, i%3
			var sum int
			for j := range base {
				for k := range base {
					sum += int(src.At(base*x+k, base*y+j)[c])
				}
			}
			if want := float64(sum) / float64(base*base); math.Abs(float64(got.Pix[i])-want) > 0.51 {
				t.Fatalf("base %d: byte %d is %d, the mean is %.2f", base, i, got.Pix[i], want)
			}
		}
	}
}

// TestUpsamplingKeepsPixels: every pixel of the source stands in a tile of twice its resolution, at the
// place that shows it.
func TestUpsamplingKeepsPixels(t *testing.T) {
	src, _ := noise(seeded(1), 16, 16)
	w := None().Warp(nil, 16, 16, 32, 0.5)
	// Pixels of the tile lie a quarter pixel beside those of the source; move them there.
	w.m[0][2] += 0.25
	w.m[1][2] += 0.25
	got := w.Image(src)
	for y := range 16 {
		for x := range 16 {
			if [3]byte(got.At(2*x, 2*y)) != [3]byte(src.At(x, y)) {
				t.Fatalf("the pixel (%d, %d) is lost", x, y)
			}
		}
	}
}

func TestPlainPicturesStayPlain(t *testing.T) {
	src := raster.NewRGB(5, 4)
	for i := range src.Pix {
		src.Pix[i] = []byte{255, 0, 77}[i%3]
	}
	for seed := range uint64(30) {
		got := NewDefaultConfig().Warp(seeded(seed), 5, 4, 16, 1).Image(src)
		for i, v := range got.Pix {
			if v != src.Pix[i%3] {
				t.Fatalf("seed %d: byte %d is %d", seed, i, v)
			}
		}
	}
}

func TestCubicWeightsAddUpToOne(t *testing.T) {
	for p, w := range cubic {
		if sum := w[0] + w[1] + w[2] + w[3]; sum != one {
			t.Errorf("place %d: %d", p, sum)
		}
	}
}

func TestMirrorIsReflect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50).Draw(t, "n")
		i := rapid.IntRange(-300, 300).Draw(t, "i")
		if got, want := mirror(i, n), raster.Reflect(i, n); got != want {
			t.Fatalf("%d, Reflect says %d", got, want)
		}
	})
}
