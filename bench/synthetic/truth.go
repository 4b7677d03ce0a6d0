package synthetic

import (
	"context"
	"image"
	"io"
	"strconv"
)

// header names the columns of a table of nuclei.
const header = "id,x,y,long,short,angle,haematoxylin\n"

// list writes the table of the nuclei that have pixels on the slide, in rows of cells, and of squares in them.
func (s *scene) list(ctx context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, header); err != nil {
		return err
	}
	full := image.Rect(0, 0, s.Size, s.Size)
	cells := cellsOf(full.Inset(-maxReach))
	var l lattice
	var id int64
	var line []byte
	for cy := cells.Min.Y; cy < cells.Max.Y; cy++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !s.lay(&l, image.Rect(cells.Min.X, cy, cells.Max.X, cy+1)) {
			continue
		}
		line = line[:0]
		for cx := cells.Min.X; cx < cells.Max.X; cx++ {
			q := l.at(cx, cy)
			if s.bare(q) {
				continue
			}
			s.nuclei(cx, cy, q, full.Inset(-maxReach), func(n *nucleus) {
				if n.within(full) {
					id++
					line = n.append(line, id)
				}
			})
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// within says whether a nucleus has a pixel in r.
func (n *nucleus) within(r image.Rectangle) bool {
	if at := image.Pt(int(n.x), int(n.y)); at.In(r.Inset(maxReach)) {
		return true
	}
	box := n.box(r, 1)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			if n.covers(x, y) {
				return true
			}
		}
	}
	return false
}

// append adds the row of a nucleus to a table.
func (n *nucleus) append(line []byte, id int64) []byte {
	line = strconv.AppendInt(line, id, 10)
	for _, v := range [4]float64{n.x, n.y, n.long, n.short} {
		line = strconv.AppendFloat(append(line, ','), v, 'f', -1, 64)
	}
	line = strconv.AppendInt(append(line, ','), int64(n.angle), 10)
	return append(strconv.AppendFloat(append(line, ','), float64(n.stain)*stepH, 'f', 2, 64), '\n')
}
