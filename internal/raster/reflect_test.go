package raster

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Golden axes: what the indices -9 … 9 show, written by hand.
func TestReflectGolden(t *testing.T) {
	for axis, want := range map[string]string{
		"a":      "aaaaaaaaaaaaaaaaaaa",
		"ab":     "bababababababababab",
		"abc":    "babcbabcbabcbabcbab",
		"abcdef": "bcdefedcbabcdefedcb",
	} {
		var got strings.Builder
		for i := -9; i <= 9; i++ {
			got.WriteByte(axis[Reflect(i, len(axis))])
		}
		if got.String() != want {
			t.Errorf("%s: indices -9 to 9 show %s, want %s", axis, got.String(), want)
		}
	}
}

func TestRunsShowWhatReflectSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		lo := rapid.IntRange(-150, 150).Draw(t, "lo")
		hi := lo + rapid.IntRange(0, 200).Draw(t, "length")
		a := rapid.IntRange(0, n).Draw(t, "a")
		b := rapid.IntRange(a, n).Draw(t, "b")
		at := 0
		for _, r := range AppendRuns(nil, lo, hi, n) {
			if r.At != at || r.N < 1 {
				t.Fatalf("run %+v does not follow index %d", r, at)
			}
			from, to := r.Span()
			k0, k1 := r.Within(a, b)
			for k := range r.N {
				p := r.Pixel + k*r.Step
				if p != Reflect(lo+at+k, n) {
					t.Fatalf("run %+v shows %d at %d, Reflect says %d", r, p, at+k, Reflect(lo+at+k, n))
				}
				if p < from || p >= to {
					t.Fatalf("pixel %d of %+v outside its span [%d, %d)", p, r, from, to)
				}
				if (p >= a && p < b) != (k >= k0 && k < k1) {
					t.Fatalf("Within(%d, %d) of %+v is [%d, %d), wrong at %d", a, b, r, k0, k1, k)
				}
			}
			at += r.N
		}
		if at != hi-lo {
			t.Fatalf("runs cover %d of %d indices", at, hi-lo)
		}
	})
}
