package synthetic

import (
	"encoding/binary"
	"image"
	"slices"
)

// depthRange is by how much edges of tissue are out of place at most, px: by the texture of ragged edges, and
// by the fibres that stick out of them.
const depthRange = 127/4 + 1 + (255-160)/8 + 1

// A painter paints rectangles of a scene; it keeps what it needs for that. One goroutine uses it.
type painter struct {
	*scene
	lattice lattice
	plane   []byte // haematoxylin of nuclei
}

// paint fills the RGB pixels of a rectangle, and the truth if it is not nil: 1 in nuclei. It says whether
// any tissue is near. Any rectangles give the same pixels.
func (p *painter) paint(rgb, truth []byte, r image.Rectangle) (tissue bool) {
	clear(truth)
	around := cellsOf(r.Inset(-maxReach))
	if !p.lay(&p.lattice, around) {
		p.glassIn(rgb, r, r)
		return false
	}
	p.paintOn(&p.lattice, rgb, truth, r)
	return true
}

// paintOn is paint on a lattice that holds all cells within maxReach of r.
func (p *painter) paintOn(l *lattice, rgb, truth []byte, r image.Rectangle) {
	p.plane = slices.Grow(p.plane[:0], r.Dx()*r.Dy())[:r.Dx()*r.Dy()]
	clear(p.plane)
	near := r.Inset(-maxReach)
	around := cellsOf(near)
	for cy := around.Min.Y; cy < around.Max.Y; cy++ {
		for cx := around.Min.X; cx < around.Max.X; cx++ {
			if q := l.at(cx, cy); !p.bare(q) {
				p.nuclei(cx, cy, q, near, func(n *nucleus) { p.draw(n, p.plane, truth, r) })
			}
		}
	}
	cells := cellsOf(r)
	for cy := cells.Min.Y; cy < cells.Max.Y; cy++ {
		for cx := cells.Min.X; cx < cells.Max.X; cx++ {
			part := image.Rect(cx*cell, cy*cell, (cx+1)*cell, (cy+1)*cell).Intersect(r)
			if q := l.at(cx, cy); p.bare(q) && !p.stained(part, r) {
				p.glassIn(rgb, part, r)
			} else {
				p.cellIn(rgb, part, r, cx, cy, q)
			}
		}
	}
}

// stained says that a nucleus reaches into a part of r.
func (p *painter) stained(part, r image.Rectangle) bool {
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for _, h := range p.plane[(y-r.Min.Y)*r.Dx()+part.Min.X-r.Min.X:][:part.Dx()] {
			if h > 0 {
				return true
			}
		}
	}
	return false
}

// glassIn fills a part of r with glass.
func (p *painter) glassIn(rgb []byte, part, r image.Rectangle) {
	for y := part.Min.Y; y < part.Max.Y; y++ {
		line := p.glass[y&(grainEdge-1)*grainEdge*3:][:3*grainEdge]
		dst := rgb[3*((y-r.Min.Y)*r.Dx()+part.Min.X-r.Min.X):][:3*part.Dx()]
		for x := part.Min.X; len(dst) > 0; {
			n := copy(dst, line[3*(x&(grainEdge-1)):])
			dst, x = dst[n:], x+n/3
		}
	}
}

// A slope is a property along a row of a cell, in 64ths of its unit.
type slope struct{ at, step int }

// along returns the slope of a property in row dy of a cell, from column dx on.
func along(tl, tr, bl, br int32, dx, dy int) slope {
	left := int(tl)*(cell-dy) + int(bl)*dy
	right := int(tr)*(cell-dy) + int(br)*dy
	step := (right - left) >> 6
	return slope{left + dx*step, step}
}

// cellIn paints a part of r that lies in one cell.
func (p *painter) cellIn(rgb []byte, part, r image.Rectangle, cx, cy int, q quad) {
	least := func(f func(c *corner) int32) int32 { return min(f(q[0]), f(q[1]), f(q[2]), f(q[3])) }
	edge := least(func(c *corner) int32 { return c.depth }) < 16*(depthRange+160/8)
	nearest, farthest := least(func(c *corner) int32 { return c.kind }), -least(func(c *corner) int32 { return -c.kind })
	mixed := farthest > -128 && nearest < 384
	epithelium := nearest >= 384
	dx := part.Min.X - cx*cell
	for y := part.Min.Y; y < part.Max.Y; y++ {
		dy := y - cy*cell
		depth := along(q[0].depth, q[1].depth, q[2].depth, q[3].depth, dx, dy)
		u := along(q[0].u, q[1].u, q[2].u, q[3].u, dx, dy)
		v := along(q[0].v, q[1].v, q[2].v, q[3].v, dx, dy)
		kind := along(q[0].kind, q[1].kind, q[2].kind, q[3].kind, dx, dy)
		open := along(q[0].open, q[1].open, q[2].open, q[3].open, dx, dy)
		gainE := along(q[0].eosin, q[1].eosin, q[2].eosin, q[3].eosin, dx, dy)
		gainH := along(q[0].haematoxylin, q[1].haematoxylin, q[2].haematoxylin, q[3].haematoxylin, dx, dy)
		blurred := along(q[0].blur, q[1].blur, q[2].blur, q[3].blur, dx, dy)
		nuclei := p.plane[(y-r.Min.Y)*r.Dx()+part.Min.X-r.Min.X:][:part.Dx()]
		dst := rgb[3*((y-r.Min.Y)*r.Dx()+part.Min.X-r.Min.X):]
		grain := p.grain[y&(grainEdge-1)*grainEdge:][:grainEdge]
		ragged := p.ragged[y&(raggedEdge-1)*raggedEdge:][:raggedEdge]
		cytoplasm := p.cytoplasm[y&(cytoplasmEdge-1)*cytoplasmEdge:][:cytoplasmEdge]
		for i, n := range nuclei {
			x := part.Min.X + i
			var e, h int
			out := int(ragged[x&(raggedEdge-1)])
			focus := (blurred.at + i*blurred.step) >> 6
			w := 0
			if mixed {
				w = min(max((kind.at+i*kind.step)>>6+out, 0), 256)
			} else if epithelium {
				w = 256
			}
			if w < 256 {
				t := int(p.stroma[((v.at+i*v.step)>>14&(stromaEdge-1))*stromaEdge+(u.at+i*u.step)>>14&(stromaEdge-1)])
				e = max(0, t&255+((t>>8-t&255)*focus)>>8-(open.at+i*open.step)>>6)
				h = e >> 4
				out += (t&255 - 160) >> 1 // fibres stick out, clefts go in
			}
			if w > 0 {
				t := int(cytoplasm[x&(cytoplasmEdge-1)])
				c := t&255 + ((t>>8-t&255)*focus)>>8
				e += (c*120>>8 - e) * w >> 8
				h += (c*52>>8 - h) * w >> 8
			}
			e = e * (gainE.at + i*gainE.step) >> 14
			h = h * (gainH.at + i*gainH.step) >> 14
			if edge {
				a := min(max((depth.at+i*depth.step)>>6+4*out, 0), 64) // 4 px from nothing to all
				e, h = e*a>>6, h*a>>6
			}
			e -= e * int(n) >> 9
			h += int(n)
			c := p.colours[min(h, 255)<<8|min(e, 255)] + grain[x&(grainEdge-1)]
			if 3*i+4 <= len(dst) && i+1 < len(nuclei) {
				binary.LittleEndian.PutUint32(dst[3*i:], c) // the next pixel overwrites the fourth byte
			} else {
				dst[3*i], dst[3*i+1], dst[3*i+2] = byte(c), byte(c>>8), byte(c>>16)
			}
		}
	}
}
