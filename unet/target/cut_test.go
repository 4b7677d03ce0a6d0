package target

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// neighbours returns the pixels within reach of pixel i, along either axis or both.
func neighbours(l raster.Labels, i, reach int) []int {
	var near []int
	for y := max(i/l.W-reach, 0); y <= min(i/l.W+reach, l.H-1); y++ {
		for x := max(i%l.W-reach, 0); x <= min(i%l.W+reach, l.W-1); x++ {
			near = append(near, y*l.W+x)
		}
	}
	return near
}

// touches says whether a pixel of an instance of l other than n is within reach of pixel i.
func touches(l raster.Labels, i int, n uint32, reach int) bool {
	return slices.ContainsFunc(neighbours(l, i, reach), func(j int) bool { return l.Pix[j] != 0 && l.Pix[j] != n })
}

func TestComponentsOfTheCutAreItsInstances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLabels(t, 30)
		cut, of := Cut(l, rapid.IntRange(0, 3).Draw(t, "reach"))
		foreground := make([]bool, len(l.Pix))
		for i, n := range cut.Pix {
			foreground[i] = n != 0
			if touches(cut, i, n, 1) && n != 0 {
				t.Fatalf("instance %d touches another at %d", n, i)
			}
			if n != 0 && of[n] != l.Pix[i] {
				t.Fatalf("instance %d is said to be of %d, but has a pixel of %d", n, of[n], l.Pix[i])
			}
		}
		components, n := raster.Components(foreground, l.W, l.H, raster.Eight)
		if n != len(of)-1 || !slices.Equal(components.Pix, cut.Pix) {
			t.Fatalf("the %d components of the foreground are not the %d instances", n, len(of)-1)
		}
	})
}

// Pixels go where another instance is near, and nowhere else, except that an instance that would vanish
// keeps what touches nothing else that is left.
func TestCutTakesWhatItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLabels(t, 30)
		reach := rapid.IntRange(1, 3).Draw(t, "reach")
		cut, of := Cut(l, reach)
		vanishes := map[uint32]bool{0: true}
		for i, n := range l.Pix {
			if _, ok := vanishes[n]; !ok {
				vanishes[n] = true
			}
			if n != 0 && !touches(l, i, n, reach) {
				vanishes[n] = false
			}
		}
		old := raster.NewLabels(l.W, l.H) // what is left, by the numbers of l
		for i, n := range cut.Pix {
			old.Pix[i] = of[n]
		}
		for i, n := range l.Pix {
			if n == 0 {
				if cut.Pix[i] != 0 {
					t.Fatalf("background became instance %d at %d", of[cut.Pix[i]], i)
				}
				continue
			}
			want := !touches(l, i, n, reach)
			if vanishes[n] {
				want = !touches(old, i, n, 1)
			}
			if (cut.Pix[i] != 0) != want {
				t.Fatalf("pixel %d of %d: kept is %v", i, n, !want)
			}
		}
	})
}

// A mirrored image is cut as the mirrored cut, as long as nothing vanishes: no side is favoured.
func TestCutIsSymmetric(t *testing.T) {
	l := tissue(200, 60)
	mirrored := raster.NewLabels(l.W, l.H)
	for i, n := range l.Pix {
		mirrored.Pix[len(l.Pix)-1-i] = n
	}
	a, ofA := Cut(l, 1)
	b, ofB := Cut(mirrored, 1)
	for i := range a.Pix {
		if ofA[a.Pix[i]] != ofB[b.Pix[len(b.Pix)-1-i]] {
			t.Fatalf("pixel %d differs", i)
		}
	}
}

func TestCutGolden(t *testing.T) {
	for name, g := range map[string]struct {
		w        int
		in, want string
	}{
		"a straight border gets a gap of two": {
			8,
			"aaaabbbb" + "aaaabbbb" + "aaaabbbb",
			"111  222" + "111  222" + "111  222",
		},
		"a gap of one stays": {
			7,
			"aaa bbb" + "aaa bbb",
			"111 222" + "111 222",
		},
		"corners part": {
			4,
			"aa  " + "aa  " + "  bb" + "  bb",
			"11  " + "1   " + "   2" + "  22",
		},
		"a thin one keeps its pixels and the others give way": {
			5,
			"aabcc" + "aabcc" + "aabcc",
			"1 2 3" + "1 2 3" + "1 2 3",
		},
		"the smaller of two that would vanish comes first": {
			3,
			"bbb" + " a ",
			"   " + " 1 ",
		},
		"and the other gets what does not touch it": {
			5,
			"abbbb" + "ccccc" + "ccccc",
			"1 222" + "     " + "33333",
		},
		"one is left of four pixels that touch": {
			2,
			"ab" + "cd",
			"1 " + "  ",
		},
		"a neck is cut through": {
			7,
			"aaa aaa" + "aaaaaaa" + "aaabaaa" + "   b   ",
			"111 222" + "11   22" + "11 3 22" + "   3   ",
		},
		"one that was in parts is several": {
			5,
			"a b a",
			"1 2 3",
		},
	} {
		l := raster.NewLabels(g.w, len(g.in)/g.w)
		for i := range g.in {
			l.Pix[i] = uint32(strings.IndexByte(" abcd", g.in[i]))
		}
		cut, _ := Cut(l, 1)
		got := make([]byte, len(cut.Pix))
		for i, n := range cut.Pix {
			got[i] = " 123456789"[n]
		}
		if string(got) != g.want {
			t.Errorf("%s: %q, want %q", name, got, g.want)
		}
	}
}

func BenchmarkCut(b *testing.B) {
	l := tissue(1000, 1000)
	b.ReportAllocs()
	for b.Loop() {
		Cut(l, 1)
	}
	report(b, l)
}
