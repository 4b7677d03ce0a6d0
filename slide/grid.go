package slide

import (
	"image"
	"iter"
)

// A Tile is a square of work. Core is what it decides, clipped to the grid's region; Halo is what the
// network must see for that: the full core square grown by Before to the left and top and by After to
// the right and bottom. It may leave the view.
type Tile struct {
	Index      int // in the order of the grid
	Core, Halo image.Rectangle
}

// A Grid lays tiles over a region of a view. All lengths are in pixels of the view.
type Grid struct {
	Region        image.Rectangle
	Core          int // edge of a core
	Before, After int
	Panel         int // width of a vertical panel, in cores
}

// Len returns the number of tiles.
func (g Grid) Len() int {
	n := g.tiles()
	return n.X * n.Y
}

func (g Grid) tiles() image.Point {
	return image.Pt((g.Region.Dx()+g.Core-1)/g.Core, (g.Region.Dy()+g.Core-1)/g.Core)
}

// All gives the tiles in their order.
func (g Grid) All() iter.Seq[Tile] {
	return func(yield func(Tile) bool) {
		for i := range g.Len() {
			if !yield(g.At(i)) {
				return
			}
		}
	}
}

// At returns the tile of an index, 0 ≤ index < Len. Tiles go panel by panel from the left; in a panel row by
// row from the top; in a row from the left.
func (g Grid) At(index int) Tile {
	n := g.tiles()
	panel, rest := index/(g.Panel*n.Y), index%(g.Panel*n.Y)
	wide := min(g.Panel, n.X-panel*g.Panel)
	return g.tile(index, panel*g.Panel+rest%wide, rest/wide)
}

func (g Grid) tile(index, x, y int) Tile {
	core := image.Rect(x*g.Core, y*g.Core, (x+1)*g.Core, (y+1)*g.Core).Add(g.Region.Min)
	halo := image.Rect(core.Min.X-g.Before, core.Min.Y-g.Before, core.Max.X+g.After, core.Max.Y+g.After)
	return Tile{index, core.Intersect(g.Region), halo}
}
