package unet

import "testing"

// The golden table: edges worked out by hand, and checked by probing in TestGeometryByProbing.
func TestGeometryTable(t *testing.T) {
	for _, c := range []struct {
		name                 string
		same                 bool
		up                   Upsampling
		before, afterMinusBy [5]int // depth 1 to 5; after - before
	}{
		{"valid", false, Transposed, [5]int{8, 20, 44, 92, 188}, [5]int{0, 0, 4, 4, 4}},
		{"valid nearest", false, Nearest, [5]int{8, 20, 44, 92, 188}, [5]int{0, 0, 4, 4, 4}},
		{"valid linear", false, Linear, [5]int{10, 24, 52, 108, 220}, [5]int{0, 0, 4, 4, 4}},
		{"same", true, Transposed, [5]int{8, 24, 48, 96, 192}, [5]int{}},
		{"same nearest", true, Nearest, [5]int{8, 24, 48, 96, 192}, [5]int{}},
		{"same linear", true, Linear, [5]int{10, 28, 56, 112, 224}, [5]int{}},
	} {
		for i := range 5 {
			a := Architecture{Depth: i + 1, Base: 4, Classes: 2, Same: c.same, Up: c.up}
			want := Geometry{2 << i, c.before[i], c.before[i] + c.afterMinusBy[i]}
			if got := a.Geometry(); got != want {
				t.Errorf("%s, depth %d: %+v, want %+v", c.name, i+1, got, want)
			}
		}
	}
}

// The sizes of the paper: 572 in, 388 out, of which a lattice of 16 keeps 384.
func TestPaperSizes(t *testing.T) {
	g := Architecture{Depth: 4, Base: 64, Classes: 2}.Geometry()
	if in := g.Input(384); in != 572 {
		t.Errorf("a core of 384 sees %d pixels, the paper's network 572", in)
	}
	if err := g.Check(388); err == nil {
		t.Error("a core of 388 was accepted: it leaves the pooling lattice")
	}
}
