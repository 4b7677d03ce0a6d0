package tissue

import (
	"image"
	"math"

	"microtome/internal/raster"
	"microtome/slide"
)

// Tissue says where on a slide there is tissue. Its methods take and give pixels of the view that it was
// made for. It does not change, and may be used by any number of goroutines.
type Tissue struct {
	Field Field   // how the slide is lit; Auto where nobody has looked
	Focus Measure // sharpness of the tissue at 0.5 µm a pixel: the finest detail among its contrast; noise alone has 1
	Stain Measure // median optical density of the tissue; in dark field its light above the ground, in grey levels
	Pen   Measure // share of the slide that pen marks cover
	Found Measure // share of the slide that is tissue, with its margin

	size image.Point // of the view
	down float64     // pixels of level 0 a pixel of the view
	cell float64     // pixels of level 0 a cell
	plane
}

// A Measure is a number that is always there, 0 when it could not be taken, and a line for people when
// they should know.
type Measure struct {
	Value   float64 `json:"value"`
	Warning string  `json:"warning,omitempty"`
}

// Cells are squares of level 0 from its top left corner. maxCells bounds them, and with them all memory
// that depends on the slide: a square of 23 mm at 8 µm.
const (
	cellMicrons  = 8
	maxCells     = 8 << 20
	minLong      = 256 // cells along the long edge, where the slide has so many pixels
	assumedPixel = 0.25
)

// Bytes is what Find needs at most for a view beside what reading takes. own is the size of a pixel of level 0, µm,
// over what the slide says; 0: what the slide says.
func Bytes(v *slide.View, own float64) int64 {
	_, count := layCells(v, pixelSize(v.Slide().Info(), own))
	return int64(count.X) * int64(count.Y) * cellBytes
}

// cellBytes are what Find needs for a cell: picture, lightness, roughness, stains, planes, their distances.
const cellBytes = 3 + 1 + 1 + 1 + 6*1 + 4 + 4

// pixelSize returns the size of a pixel of level 0, or what it is taken for.
func pixelSize(info slide.Info, own float64) float64 {
	switch {
	case own > 0:
		return own
	case info.MPP > 0:
		return info.MPP
	}
	return assumedPixel
}

// newTissue lays cells over a slide whose pixels of level 0 are mpp µm.
func newTissue(v *slide.View, mpp float64) *Tissue {
	cell, count := layCells(v, mpp)
	return &Tissue{size: v.Size(), down: v.Downsample(), cell: cell, plane: newPlane(count.X, count.Y)}
}

// layCells returns the edge of a cell in pixels of level 0, which are mpp µm, and how many cells cover the slide.
func layCells(v *slide.View, mpp float64) (cell float64, cells image.Point) {
	levels := v.Slide().Info().Levels
	full := levels[0].Size
	cell = min(cellMicrons/mpp, float64(max(full.X, full.Y))/minLong)
	for _, l := range levels { // as it is, a level is cheaper and no worse
		if l.Downsample <= cell && l.Downsample > cell/math.Sqrt2 {
			cell = l.Downsample
			break
		}
	}
	cell = max(cell, 1)
	count := func(n int) int { return int(math.Ceil(float64(n) / cell)) }
	for count(full.X)*count(full.Y) > maxCells {
		cell *= 1.05
	}
	return cell, image.Pt(count(full.X), count(full.Y))
}

// Everything is a slide that is tissue all over.
func Everything(v *slide.View) *Tissue {
	full := v.Slide().Info().Levels[0].Size
	t := &Tissue{size: v.Size(), down: v.Downsample(), cell: float64(max(full.X, full.Y)), plane: newPlane(1, 1)}
	t.on[0] = true
	t.Found.Value = 1
	return t
}

// slack is a thousandth of a pixel of level 0, by which rectangles are larger than they are: no rounding
// of floats makes them miss a cell.
const slack = 1e-3

// cells returns the cells that pixels [from, to) of the view have a part in, of n.
func (t *Tissue) cells(from, to, n int) (first, end int) {
	at := func(v float64) int { return int(min(max(v/t.cell, 0), float64(n))) }
	first = min(at(float64(from)*t.down-slack), n-1)
	end = int(math.Ceil(min(max((float64(to)*t.down+slack)/t.cell, 0), float64(n))))
	return first, max(end, first+1)
}

// Touches reports whether there is tissue, or its margin, in any part of r. What lies outside of the view
// is mirrored from what is inside, and does not count.
func (t *Tissue) Touches(r image.Rectangle) bool {
	r = r.Intersect(image.Rectangle{Max: t.size})
	if r.Empty() {
		return false
	}
	x0, x1 := t.cells(r.Min.X, r.Max.X, t.w)
	y0, y1 := t.cells(r.Min.Y, r.Max.Y, t.h)
	for y := y0; y < y1; y++ {
		for _, on := range t.row(y)[x0:x1] {
			if on {
				return true
			}
		}
	}
	return false
}

// Contains reports whether the centre of a pixel lies in tissue or its margin.
func (t *Tissue) Contains(x, y int) bool {
	return image.Pt(x, y).In(image.Rectangle{Max: t.size}) && t.on[t.centre(y, t.h)*t.w+t.centre(x, t.w)]
}

// centre returns the cell, of n, that the centre of a pixel of the view lies in.
func (t *Tissue) centre(i, n int) int {
	return min(int((float64(i)+0.5)*t.down/t.cell), n-1)
}

// Pixels returns how many pixels of r lie, by their centres, in tissue or its margin.
func (t *Tissue) Pixels(r image.Rectangle) int64 {
	r = r.Intersect(image.Rectangle{Max: t.size})
	across := make([]int64, t.w) // pixels a cell, along the axis
	for x := r.Min.X; x < r.Max.X; x++ {
		across[t.centre(x, t.w)]++
	}
	var sum, row int64
	for y, last := r.Min.Y, -1; y < r.Max.Y; y++ {
		if cy := t.centre(y, t.h); cy != last {
			last, row = cy, 0
			for x, on := range t.row(cy) {
				if on {
					row += across[x]
				}
			}
		}
		sum += row
	}
	return sum
}

// Bounds returns the smallest rectangle that all tissue lies in, rounded outward; empty when there is none.
func (t *Tissue) Bounds() image.Rectangle {
	var cells image.Rectangle
	for y := range t.h {
		for x, on := range t.row(y) {
			if on {
				cells = cells.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	k := t.cell / t.down
	low := func(n int) int { return int(math.Floor(float64(n)*k - slack)) }
	high := func(n int) int { return int(math.Ceil(float64(n)*k + slack)) }
	if cells.Empty() {
		return cells
	}
	return image.Rect(low(cells.Min.X), low(cells.Min.Y), high(cells.Max.X), high(cells.Max.Y)).Intersect(image.Rectangle{Max: t.size})
}

// Outline draws the edge of the tissue for a picture, of a size, of the rectangle r of the view: opaque on
// a line one pixel wide inside the tissue, clear elsewhere.
func (t *Tissue) Outline(r image.Rectangle, size image.Point) *image.Alpha {
	columns := make([]int, size.X) // of cells
	for x := range columns {
		columns[x] = t.centre(r.Min.X+(2*x+1)*r.Dx()/(2*size.X), t.w)
	}
	l := raster.NewLabels(size.X, size.Y)
	for y := range size.Y {
		row := t.row(t.centre(r.Min.Y+(2*y+1)*r.Dy()/(2*size.Y), t.h))
		for x, column := range columns {
			if row[column] {
				l.Pix[y*size.X+x] = 1
			}
		}
	}
	out := image.NewAlpha(image.Rectangle{Max: size})
	for i, edge := range raster.Outline(l) {
		if edge {
			out.Pix[i] = 255
		}
	}
	return out
}
