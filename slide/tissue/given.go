package tissue

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"strings"

	"microtome/internal/geojson"
	"microtome/internal/raster"
	"microtome/slide"
)

// FromGeoJSON returns what somebody has drawn on a slide, in QuPath or the like, as its tissue: all
// polygons but those of a class Ignore*, in pixels of level 0 from the corner of the scanned area. Cells
// that a polygon has any part in are tissue; no margin is added. The file may be compressed by gzip.
func FromGeoJSON(path string, v *slide.View) (*Tissue, error) {
	info := v.Slide().Info()
	t := newTissue(v, pixelSize(info, 0))
	read, used := 0, 0
	err := geojson.ReadFile(path, false, func(o geojson.Object) error {
		read++
		if strings.HasPrefix(o.Class, "Ignore") {
			return nil
		}
		used++
		o.Place(info.Bounds.Min, t.cell)
		for _, p := range o.Polygons {
			t.paint(p)
		}
		return nil
	})
	var system *fs.PathError
	switch {
	case errors.As(err, &system):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case used == 0:
		return nil, fmt.Errorf("%s: no tissue among %d objects: draw some as polygons, or give --tissue auto", path, read)
	case t.count() == 0:
		return nil, fmt.Errorf("%s: nothing of it lies on %s: give pixels of level 0, as QuPath exports them", path, info.Path)
	}
	t.Found.Value = float64(t.count()) / float64(len(t.on))
	return t, nil
}

// paint turns on the cells that a polygon, in cells, has a part in: those that its sides pass through, and
// of the others, which are inside as a whole or not at all, those with their centre inside.
func (p plane) paint(rings [][]raster.Point) {
	raster.FillPolygon(p.w, p.h, rings, func(y, x0, x1 int) {
		for x := x0; x < x1; x++ {
			p.on[y*p.w+x] = true
		}
	})
	for _, ring := range rings {
		for i, b := range ring[1:] {
			p.side(ring[i], b)
		}
	}
}

// side turns on the cells that a line passes through, or touches but for the rounding of floats.
func (p plane) side(a, b raster.Point) {
	if a.Y > b.Y {
		a, b = b, a
	}
	const wide = 1e-6 // cells
	first, last := int(math.Floor(max(a.Y-wide, 0))), int(math.Floor(min(b.Y+wide, float64(p.h)-0.5)))
	for y := first; y <= last; y++ {
		x0, x1 := a.X, b.X
		if b.Y > a.Y {
			at := func(v float64) float64 { return a.X + (min(max(v, a.Y), b.Y)-a.Y)*(b.X-a.X)/(b.Y-a.Y) }
			x0, x1 = at(float64(y)-wide), at(float64(y+1)+wide)
		}
		lo, hi := min(x0, x1)-wide, max(x0, x1)+wide
		for x := int(math.Floor(max(lo, 0))); x <= int(math.Floor(min(hi, float64(p.w)-0.5))); x++ {
			p.on[y*p.w+x] = true
		}
	}
}

// FromMask returns the tissue of a mask: any image that slide.Open takes and that shows the whole slide, at
// any resolution. What is not 0 is tissue. All pixels of the mask's finest level are looked at, in parts.
func FromMask(ctx context.Context, path string, v *slide.View) (_ *Tissue, err error) {
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	mask, err := s.AtLevel(0)
	if err != nil {
		return nil, err
	}
	info := v.Slide().Info()
	size, full := mask.Size(), info.Levels[0].Size
	x, y := float64(full.X)/float64(size.X), float64(full.Y)/float64(size.Y) // pixels of level 0 a pixel
	if off := math.Abs(float64(full.X) - y*float64(size.X)); off > 2*max(x, y) && off > 0.01*float64(full.X) {
		return nil, fmt.Errorf("%s: a mask of %d×%d has other proportions than %s of %d×%d: give one that shows the whole slide", path, size.X, size.Y, info.Path, full.X, full.Y)
	}
	t := newTissue(v, pixelSize(info, 0))
	block := s.Info().Levels[0].Block
	pix := make([]byte, 3*block.X*block.Y)
	for top := 0; top < size.Y; top += block.Y {
		for left := 0; left < size.X; left += block.X {
			r := image.Rect(left, top, left+block.X, top+block.Y).Intersect(image.Rectangle{Max: size})
			part := pix[:3*r.Dx()*r.Dy()]
			if err := mask.Read(ctx, part, r); err != nil {
				return nil, err
			}
			for i := r.Min.Y; i < r.Max.Y; i++ {
				line := part[3*r.Dx()*(i-r.Min.Y):][:3*r.Dx()]
				eachRun(line, func(from, to int) {
					t.stamp(float64(r.Min.X+from)*x, float64(i)*y, float64(r.Min.X+to)*x, float64(i+1)*y)
				})
			}
		}
	}
	t.Found.Value = float64(t.count()) / float64(len(t.on))
	return t, nil
}

// eachRun calls f for the stretches [from, to) of a line of RGB pixels that are not black.
func eachRun(line []byte, f func(from, to int)) {
	from := -1
	for i := range len(line) / 3 {
		on := line[3*i]|line[3*i+1]|line[3*i+2] != 0
		if on && from < 0 {
			from = i
		} else if !on && from >= 0 {
			f(from, i)
			from = -1
		}
	}
	if from >= 0 {
		f(from, len(line)/3)
	}
}

// stamp turns on the cells that a rectangle of level 0 has a part in.
func (t *Tissue) stamp(x0, y0, x1, y1 float64) {
	cells := func(lo, hi float64, n int) (first, end int) {
		first = int(math.Floor((lo + slack) / t.cell))
		end = int(math.Ceil((hi - slack) / t.cell))
		return min(first, n-1), min(max(end, first+1), n)
	}
	cx0, cx1 := cells(x0, x1, t.w)
	cy0, cy1 := cells(y0, y1, t.h)
	for y := cy0; y < cy1; y++ {
		row := t.row(y)[cx0:cx1]
		for x := range row {
			row[x] = true
		}
	}
}
