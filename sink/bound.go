package sink

import "image"

// OpenBytes bounds the memory of the tiles that a Pyramid keeps open when cores of an edge arrive in
// vertical panels, row by row: what [Pyramid.High] counts. A tile is open while the area written so far
// covers it in part. Seen from one level, whose tiles are span pixels of level 0 wide, that area ends
//
//   - at the right of the finished panels: a column of open tiles as high as the image, unless the
//     panel is a multiple of span;
//   - below the finished cores of this panel, and left of the next: a row of tiles as wide as the panel
//     and two columns as high as a core, unless the core is a multiple of span;
//   - inside the core at hand, which is cut into rows of tiles: a row as wide as the core.
func OpenBytes(size image.Point, tile, core, panel int) int64 {
	open := 1 // the tile at hand
	span, wide := tile, core*panel
	for _, s := range Levels(size, tile) {
		n := tilesIn(s, tile)
		touched := func(reach, of int) int { return min(reach/span+2, of) }
		if wide%span != 0 && wide < size.X {
			open += n.Y
		}
		if core%span != 0 {
			open += touched(wide, n.X) + 2*touched(core, n.Y)
		}
		if span > tile {
			open += touched(core, n.X)
		}
		span *= 2
	}
	return int64(open) * int64(tile*tile+8*coveredWords(tile))
}
