package train

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"math"

	"microtome/internal/raster"
)

// A view is a validation image with what a network finds in it.
type view struct {
	name  string
	image raster.RGB
	truth raster.Labels
	found raster.Labels
	prob  []float32 // of foreground, by pixel
}

const (
	viewEdge = 320 // largest edge of what is shown of an image, px
	viewRows = 6   // how many images are shown at most
)

// Colours of outlines.
var (
	truthColor   = color.RGBA{0, 220, 0, 255}
	matchedColor = color.RGBA{255, 225, 0, 255}
	missedColor  = color.RGBA{255, 0, 0, 255}
	falseColor   = color.RGBA{0, 170, 255, 255}
)

// drawPreviews writes a PNG with a row for each of some views, spread evenly over all: the place of the image with the most
// instances, the truth, what was found, and the probability of foreground. Two objects match where their intersection is over half
// of their union, as in the scores.
func drawPreviews(w io.Writer, views []view) error {
	var some []view
	rows := min(len(views), viewRows)
	for i := range rows {
		some = append(some, views[(2*i+1)*len(views)/(2*rows)])
	}
	return newPreviews(some, viewEdge).write(w)
}

func newPreviews(views []view, edge int) *sheet {
	s := &sheet{
		edge:     edge,
		headings: []string{"image", "truth", "found (yellow), missed (red), false (blue)", "probability of foreground"},
		hottest:  1,
	}
	for _, v := range views {
		missed, matched, extra := match(v.truth, v.found)
		truth, found := clone(v.image), clone(v.image)
		outline(truth, v.truth, func(uint32) color.RGBA { return truthColor })
		outline(found, v.truth, func(n uint32) color.RGBA {
			if missed[n] {
				return missedColor
			}
			return color.RGBA{}
		})
		outline(found, v.found, func(n uint32) color.RGBA {
			if extra[n] {
				return falseColor
			}
			return matchedColor
		})
		at := busiest(v.truth, edge)
		cells := []raster.RGB{v.image, truth, found, heatMap(v.prob, v.image.W, v.image.H, s.hottest)}
		for i, m := range cells {
			cells[i] = crop(m, at)
		}
		s.rows = append(s.rows, row{
			text: fmt.Sprintf("%s at (%d, %d), whole image: %d found, %d missed, %d false",
				v.name, at.Min.X, at.Min.Y, matched, len(missed), len(extra)),
			cells: cells,
		})
	}
	return s
}

func clone(m raster.RGB) raster.RGB {
	return raster.RGB{W: m.W, H: m.H, Pix: append([]byte(nil), m.Pix...)}
}

// match returns the instances of the truth and of what was found that have no partner, and how many pairs there are.
func match(truth, found raster.Labels) (missed map[uint32]bool, pairs int, extra map[uint32]bool) {
	missed, extra = map[uint32]bool{}, map[uint32]bool{}
	inTruth, inFound, both := map[uint32]int{}, map[uint32]int{}, map[[2]uint32]int{}
	for i, t := range truth.Pix {
		f := found.Pix[i]
		if t != 0 {
			inTruth[t]++
			missed[t] = true
		}
		if f != 0 {
			inFound[f]++
			extra[f] = true
		}
		if t != 0 && f != 0 {
			both[[2]uint32{t, f}]++
		}
	}
	for pair, n := range both { // over a half, so no object has two partners
		if t, f := pair[0], pair[1]; 2*n > inTruth[t]+inFound[f]-n {
			pairs++
			delete(missed, t)
			delete(extra, f)
		}
	}
	return missed, pairs, extra
}

// busiest returns the square of an edge that has the most instances by their centres, and of several the one nearest to the
// middle; it depends on the truth alone, so it is one place for all checkpoints. What is smaller than the square is shown whole.
func busiest(l raster.Labels, edge int) image.Rectangle {
	type sum struct{ x, y, n int }
	sums := map[uint32]sum{}
	for i, n := range l.Pix {
		if n != 0 {
			s := sums[n]
			sums[n] = sum{s.x + i%l.W, s.y + i/l.W, s.n + 1}
		}
	}
	size := image.Pt(min(edge, l.W), min(edge, l.H))
	room := image.Pt(l.W, l.H).Sub(size)
	best, most, nearest := image.Rectangle{}, -1, math.MaxInt
	step := max(1, edge/8)
	for y := 0; y < room.Y+step; y += step {
		for x := 0; x < room.X+step; x += step {
			at := image.Pt(min(x, room.X), min(y, room.Y))
			r := image.Rectangle{at, at.Add(size)}
			n := 0
			for _, s := range sums {
				if image.Pt(s.x/s.n, s.y/s.n).In(r) {
					n++
				}
			}
			off := at.Mul(2).Sub(room)
			if d := off.X*off.X + off.Y*off.Y; n > most || n == most && d < nearest {
				best, most, nearest = r, n, d
			}
		}
	}
	return best
}
