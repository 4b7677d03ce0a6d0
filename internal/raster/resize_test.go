package raster

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A ramp of coordinates stays one: the centre of each new pixel is where it would lie were the image stretched, so
// that nothing moves by half a pixel, either way. Means of areas that cut through pixels are off by an eighth at most.
func TestResizeMovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sw, sh := rapid.IntRange(1, 60).Draw(t, "sw"), rapid.IntRange(1, 60).Draw(t, "sh")
		w, h := rapid.IntRange(1, 60).Draw(t, "w"), rapid.IntRange(1, 60).Draw(t, "h")
		across, down := make([]float32, sw*sh), make([]float32, sw*sh)
		for i := range across {
			across[i], down[i] = float32(i%sw), float32(i/sw)
		}
		check := func(name string, got []float32, at func(i int) int, from, to int) {
			if len(got) != w*h {
				t.Fatalf("%d values of %d × %d", len(got), w, h)
			}
			for i, v := range got {
				want := (float64(at(i))+0.5)*float64(from)/float64(to) - 0.5
				want = min(max(want, 0), float64(from-1))
				if off := math.Abs(float64(v) - want); off > 0.126 || from <= to && off > 1e-3 {
					t.Fatalf("%s %d of %d comes from %g of %d, want %g", name, at(i), to, v, from, want)
				}
			}
		}
		check("column", ResizePlane(across, sw, sh, w, h), func(i int) int { return i % w }, sw, w)
		check("row", ResizePlane(down, sw, sh, w, h), func(i int) int { return i / w }, sh, h)
	})
}

// An image that is made smaller by a whole number consists of means, and one of its own size is the same.
func TestResizeIsTheMean(t *testing.T) {
	const w, h, by = 6, 4, 3
	src := NewRGB(w*by, h*by)
	for i := range src.Pix {
		src.Pix[i] = byte(i * i * 31)
	}
	got := Resize(src, w, h)
	for i, v := range got.Pix {
		sum := 0
		for k := range by * by {
			sum += int(src.At(i/3%w*by+k%by, i/3/w*by+k/by)[i%3])
		}
		if d := float64(v) - float64(sum)/(by*by); math.Abs(d) > 0.51 {
			t.Errorf("byte %d is off by %g", i, d)
		}
	}
	if same := Resize(src, src.W, src.H); !slices.Equal(same.Pix, src.Pix) {
		t.Error("an image of its own size differs")
	}
	if v := ResizePlane([]float32{0.3, 0.3}, 2, 1, 7, 5); slices.ContainsFunc(v, func(x float32) bool { return math.Abs(float64(x)-0.3) > 1e-6 }) {
		t.Errorf("a constant becomes %v", v)
	}
}
