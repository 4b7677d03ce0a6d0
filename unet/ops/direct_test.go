//go:build cgo && !purego

package ops

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// each runs a test with each way to convolve that there is on this machine.
func each(t *testing.T, test func(*testing.T, Backend)) {
	eachWidth(t, func(t *testing.T) { test(t, Direct{}) })
	t.Run("BLAS", func(t *testing.T) { test(t, BLAS{}) })
}

// eachWidth runs a test with the kernels for each width of vector that the processor has.
func eachWidth(t *testing.T, test func(*testing.T)) {
	for _, n := range []int{16, 8, 4} {
		t.Run(fmt.Sprintf("%d lanes", n), func(t *testing.T) {
			defer widest(lanes)
			if widest(n) != n {
				t.Skipf("the processor has no vectors of %d floats", n)
			}
			test(t)
		})
	}
}

// Pixels get the same bits wherever an image is cut: tiles fit together without a seam.
func TestCutsChangeNoBit(t *testing.T) {
	eachWidth(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			whole := draw(t)
			whole.Batch, whole.Pad = 1, 0
			whole.H, whole.W = rapid.IntRange(3, 60).Draw(t, "whole h"), rapid.IntRange(3, 60).Draw(t, "whole w")
			whole = newSample(whole.Convolution, 1)
			cut := whole
			cut.H, cut.W = rapid.IntRange(whole.Side, whole.H).Draw(t, "cut h"), rapid.IntRange(whole.Side, whole.W).Draw(t, "cut w")
			top, left := rapid.IntRange(0, whole.H-cut.H).Draw(t, "top"), rapid.IntRange(0, whole.W-cut.W).Draw(t, "left")
			cut.x = nil
			for c := range whole.In {
				for r := range cut.H {
					cut.x = append(cut.x, whole.x[(c*whole.H+top+r)*whole.W+left:][:cut.W]...)
				}
			}
			oh, ow := whole.size()
			h, w := cut.size()
			want, got := rubbish(whole.Out*oh*ow), rubbish(whole.Out*h*w)
			o := &Ops{Threads: rapid.IntRange(1, 3).Draw(t, "threads")}
			Direct{}.Forward(o, whole.Convolution, whole.x, whole.w, whole.b, want)
			Direct{}.Forward(o, cut.Convolution, cut.x, cut.w, cut.b, got)
			for k := range whole.Out {
				for r := range h {
					for q := range w {
						a, b := want[(k*oh+top+r)*ow+left+q], got[(k*h+r)*w+q]
						if math.Float32bits(a) != math.Float32bits(b) {
							t.Fatalf("channel %d, row %d, column %d is %g in the cut, %g in the whole", k, r, q, b, a)
						}
					}
				}
			}
		})
	})
}
