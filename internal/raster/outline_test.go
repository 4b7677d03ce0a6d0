package raster

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Two instances that touch, one of them cut off by the image's edge.
func TestOutlineGolden(t *testing.T) {
	const w = 9
	art := "" +
		"aaaa     " +
		"aaaa     " +
		"aaaabbbb " +
		"aaaabbbb " +
		"    bbbb " +
		"    bbbb " +
		"         "
	want := "" +
		"   *     " +
		"   *     " +
		"   ***** " +
		"*****  * " +
		"    *  * " +
		"    **** " +
		"         "
	l := NewLabels(w, len(art)/w)
	for i := range art {
		l.Pix[i] = uint32(strings.IndexByte(" ab", art[i]))
	}
	for i, on := range Outline(l) {
		if on != (want[i] == '*') {
			t.Errorf("(%d, %d) is %v", i%w, i/w, on)
		}
	}
}

// What is left inside the outline is nowhere 4-adjacent to anything else.
func TestOutlineEnclosesInstances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLabels(t, 20)
		out := Outline(l)
		for i, v := range l.Pix {
			x, y := i%l.W, i/l.W
			edge := false
			for _, p := range [][2]int{{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}} {
				if p[0] >= 0 && p[0] < l.W && p[1] >= 0 && p[1] < l.H {
					edge = edge || l.At(p[0], p[1]) != v
				}
			}
			if out[i] != (edge && v != 0) {
				t.Fatalf("(%d, %d) is %v", x, y, out[i])
			}
		}
	})
}
