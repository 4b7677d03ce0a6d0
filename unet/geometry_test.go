package unet

import (
	"math/rand/v2"
	"slices"
	"testing"
)

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

// TestGeometryByProbing holds that Before and After are what the networks need: with more around it a
// core stays the same, bit for bit, whatever is there; and what lies in the outermost stride of the
// margin does matter. So the margin is the field of the pixels at the core's edge, which stand on the
// lattice, rounded up to the stride.
func TestGeometryByProbing(t *testing.T) {
	needRuntime(t)
	depths := 5
	if testing.Short() {
		depths = 3
	}
	const seed = 22 // of networks in which no path is dead
	for _, kind := range kinds {
		for depth := 1; depth <= depths; depth++ {
			a := Architecture{Depth: depth, Base: 4, Classes: 2, Same: kind.same, Up: kind.up, Seed: seed}
			n := openWithBias(t, a, 0, Config{})
			g := n.geometry
			core := 2 * g.Stride
			r := rand.New(rand.NewPCG(uint64(depth), 9))
			p := randomPicture(r, g.Input(core), g.Input(core))
			want := n.logits(t, p, g.Before, g.Before, core, core)

			// Around the margin lies something else.
			outer := g.Stride
			around := randomPicture(r, p.w+2*outer, p.h+2*outer)
			for y := range p.h {
				copy(around.pixels[3*((y+outer)*around.w+outer):], p.pixels[3*y*p.w:3*(y+1)*p.w])
			}
			wide := widened(t, a, outer)
			if got := wide.logits(t, around, g.Before+outer, g.Before+outer, core, core); !slices.Equal(got, want) {
				t.Errorf("%s, depth %d: pixels beyond the margin matter", kind.name, depth)
			}

			for _, side := range []struct {
				name   string
				lo, hi int
			}{{"before", 0, g.Stride}, {"after", p.w - g.Stride, p.w}} {
				other := picture{p.w, p.h, slices.Clone(p.pixels)}
				for y := range p.h {
					for x := side.lo; x < side.hi; x++ {
						i := 3 * (y*p.w + x)
						copy(other.pixels[i:i+3], []byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
					}
				}
				if got := n.logits(t, other, g.Before, g.Before, core, core); slices.Equal(got, want) {
					t.Errorf("%s, depth %d: nothing depends on the last %d pixels of the margin %s", kind.name, depth, g.Stride, side.name)
				}
			}
		}
	}
}
