package slide_test

import (
	"fmt"
	"image"
	"slices"
	"strings"
	"testing"

	"microtome/slide"

	"pgregory.net/rapid"
)

// order draws the indices of a grid's tiles where their cores lie.
func order(g slide.Grid) string {
	across := (g.Region.Dx() + g.Core - 1) / g.Core
	rows := make([]string, (g.Region.Dy()+g.Core-1)/g.Core)
	cells := map[image.Point]int{}
	for tile := range g.All() {
		cells[tile.Core.Min.Sub(g.Region.Min).Div(g.Core)] = tile.Index
	}
	for y := range rows {
		for x := range across {
			rows[y] += fmt.Sprintf("%3d", cells[image.Pt(x, y)])
		}
	}
	return strings.Join(rows, "\n")
}

func TestGridOrder(t *testing.T) {
	g := slide.Grid{Region: image.Rect(0, 0, 65, 30), Core: 10, Panel: 3}
	const want = "" +
		"  0  1  2  9 10 11 18\n" +
		"  3  4  5 12 13 14 19\n" +
		"  6  7  8 15 16 17 20"
	if got := order(g); got != want {
		t.Errorf("tiles come in the order\n%s\nwant\n%s", got, want)
	}
}

func TestGridProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		between := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
		at := image.Pt(between(-50, 50, "x"), between(-50, 50, "y"))
		g := slide.Grid{
			Region: image.Rectangle{Min: at, Max: at.Add(image.Pt(between(1, 90, "width"), between(1, 90, "height")))},
			Core:   between(1, 40, "core"), Before: between(0, 30, "before"), After: between(0, 30, "after"), Panel: between(1, 5, "panel"),
		}
		covered := map[image.Point]int{}
		tiles := slices.Collect(g.All())
		var cores []image.Rectangle // panel by panel, in each row by row
		for left := 0; left < g.Region.Dx(); left += g.Panel * g.Core {
			for y := 0; y < g.Region.Dy(); y += g.Core {
				for x := left; x < min(left+g.Panel*g.Core, g.Region.Dx()); x += g.Core {
					cores = append(cores, image.Rect(x, y, x+g.Core, y+g.Core).Add(at).Intersect(g.Region))
				}
			}
		}
		for i, core := range cores {
			if got := g.At(i); got != tiles[i] || got.Core != core {
				t.Fatalf("tile %d is %v, of all %v, want %v", i, got, tiles[i], core)
			}
		}
		if len(tiles) != g.Len() {
			t.Fatalf("%d tiles, Len says %d", len(tiles), g.Len())
		}
		for i, tile := range tiles {
			if tile.Index != i {
				t.Fatalf("tile %d has index %d", i, tile.Index)
			}
			for y := tile.Core.Min.Y; y < tile.Core.Max.Y; y++ {
				for x := tile.Core.Min.X; x < tile.Core.Max.X; x++ {
					covered[image.Pt(x, y)]++
				}
			}
			if edge := g.Before + g.Core + g.After; tile.Halo.Dx() != edge || tile.Halo.Dy() != edge {
				t.Fatalf("halo %v is not %d square", tile.Halo, edge)
			}
			if from := tile.Halo.Min.Add(image.Pt(g.Before, g.Before)); from != tile.Core.Min {
				t.Fatalf("halo %v has its core at %v, not at %v", tile.Halo, from, tile.Core.Min)
			}
			if off := tile.Core.Min.Sub(g.Region.Min); off.X%g.Core != 0 || off.Y%g.Core != 0 {
				t.Fatalf("core %v is off the lattice", tile.Core)
			}
		}
		for p, n := range covered {
			if n != 1 || !p.In(g.Region) {
				t.Fatalf("pixel %v of %v lies in %d cores", p, g.Region, n)
			}
		}
		if len(covered) != g.Region.Dx()*g.Region.Dy() {
			t.Fatalf("%d pixels of %v are in cores", len(covered), g.Region)
		}
	})
}

func ExampleGrid() {
	g := slide.Grid{Region: image.Rect(0, 0, 700, 500), Core: 384, Before: 92, After: 96, Panel: 8}
	for tile := range g.All() {
		fmt.Println(tile.Index, tile.Core, tile.Halo)
	}
	// Output:
	// 0 (0,0)-(384,384) (-92,-92)-(480,480)
	// 1 (384,0)-(700,384) (292,-92)-(864,480)
	// 2 (0,384)-(384,500) (-92,292)-(480,864)
	// 3 (384,384)-(700,500) (292,292)-(864,864)
}
