package stages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"

	"microtome/slide"
	"microtome/unet"
)

// square is the edge of the squares of a Scope, px.
const square = 256

// A Scope says which pixels of a region are for the network. They come in squares of 256 px, counted from the
// region's corner; what lies in none of them is background without having been looked at. The squares do
// not depend on the tiles, and so neither do the labels.
type Scope struct {
	region image.Rectangle
	wide   int    // squares in a row
	in     []bool // row by row
}

// NewScope returns the squares of a region in which touches reports that there is something to see.
func NewScope(region image.Rectangle, touches func(image.Rectangle) bool) *Scope {
	count := func(n int) int { return (n + square - 1) / square }
	s := &Scope{region: region, wide: count(region.Dx()), in: make([]bool, count(region.Dx())*count(region.Dy()))}
	for i := range s.in {
		s.in[i] = touches(s.square(i))
	}
	return s
}

// square returns a square, clipped to the region.
func (s *Scope) square(i int) image.Rectangle {
	return image.Rect(0, 0, square, square).Add(image.Pt(i%s.wide, i/s.wide).Mul(square)).Add(s.region.Min).Intersect(s.region)
}

// each calls f for the squares that have a part in r, until it returns false.
func (s *Scope) each(r image.Rectangle, f func(in bool, part image.Rectangle) bool) {
	r = r.Intersect(s.region)
	at := r.Sub(s.region.Min)
	for y := at.Min.Y / square; y*square < at.Max.Y; y++ {
		for x := at.Min.X / square; x*square < at.Max.X; x++ {
			if i := y*s.wide + x; !f(s.in[i], s.square(i).Intersect(r)) {
				return
			}
		}
	}
}

// Holds reports whether any pixel of r is for the network.
func (s *Scope) Holds(r image.Rectangle) bool {
	holds := false
	s.each(r, func(in bool, _ image.Rectangle) bool {
		holds = in
		return !in
	})
	return holds
}

// Area returns how many pixels of r are for the network.
func (s *Scope) Area(r image.Rectangle) (pixels int64) {
	s.each(r, func(in bool, part image.Rectangle) bool {
		if in {
			pixels += int64(part.Dx()) * int64(part.Dy())
		}
		return true
	})
	return pixels
}

// Trim returns a tile of a network whose tiles need not be square, with no more halo than the part of its core takes
// that is for the network.
func (s *Scope) Trim(t slide.Tile, n unet.Geometry) slide.Tile {
	var part image.Rectangle
	s.each(t.Core, func(in bool, square image.Rectangle) bool {
		if in {
			part = part.Union(square)
		}
		return true
	})
	part = part.Sub(t.Core.Min)
	down := func(a int) int { return a - a%n.Stride }
	part = image.Rect(down(part.Min.X), down(part.Min.Y), down(part.Max.X+n.Stride-1), down(part.Max.Y+n.Stride-1)).Add(t.Core.Min)
	t.Halo = image.Rect(part.Min.X-n.Before, part.Min.Y-n.Before, part.Max.X+n.After, part.Max.Y+n.After)
	return t
}

// Sum tells a scope from others: of those with the same one, the tiles that the network is asked about are the same.
func (s *Scope) Sum() string {
	sum := sha256.Sum256(fmt.Append(nil, s.region, s.in))
	return hex.EncodeToString(sum[:8])
}

// Pixels returns how many pixels of the region are for the network, and how many are not.
func (s *Scope) Pixels() (in, out int64) {
	for i, is := range s.in {
		n := s.square(i).Size()
		if is {
			in += int64(n.X) * int64(n.Y)
		} else {
			out += int64(n.X) * int64(n.Y)
		}
	}
	return in, out
}

// Clear makes background of what is not for the network in masks of core × core labels.
func (s *Scope) Clear(core int) Func[Masks, Masks] {
	return func(_ context.Context, ms Masks) (Masks, error) {
		for _, m := range ms {
			s.each(m.Tile.Core, func(in bool, part image.Rectangle) bool {
				if !in {
					fill(m.Labels, core, part.Sub(m.Tile.Core.Min), 0)
				}
				return true
			})
		}
		return ms, nil
	}
}

// fill sets a rectangle of labels in rows of a stride.
func fill(labels []byte, stride int, r image.Rectangle, label byte) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := labels[y*stride+r.Min.X : y*stride+r.Max.X]
		for x := range row {
			row[x] = label
		}
	}
}
