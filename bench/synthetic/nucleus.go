package synthetic

import (
	"image"
	"math"
)

// A nucleus is an ellipse: a pixel whose centre is (dx, dy) from its own belongs to it where
// a·dx² + b·dx·dy + c·dy² <= 1. What is published of it is exact: centres are odd sixteenths of a pixel,
// half axes are quarters, angles whole degrees.
type nucleus struct {
	x, y        float64
	long, short float64 // half axes, px
	angle       int     // of the long axis, degrees from x towards y, 0 to 179
	stain       int     // steps of haematoxylin
	a, b, c     float64
	texture     int // where in the chromatin
	pale        int // how much less its middle has, of 256
	blur        int // of 256
}

// pitch is the edge of the squares that hold at most one nucleus each, px.
const pitch = 16

// maxReach is how far a nucleus stains around its centre, px: longest half axis, and its blurred edge.
const maxReach = 21

// nuclei calls do for each nucleus whose centre is in a square of a cell that overlaps r, in rows of squares.
func (s *scene) nuclei(cx, cy int, q quad, r image.Rectangle, do func(n *nucleus)) {
	var n nucleus
	for i := range (cell / pitch) * (cell / pitch) {
		col, row := i%(cell/pitch), i/(cell/pitch)
		if at := image.Pt(cx*cell+col*pitch, cy*cell+row*pitch); !r.Overlaps(image.Rectangle{at, at.Add(image.Pt(pitch, pitch))}) {
			continue
		}
		h := s.hash(cx*(cell/pitch)+col, cy*(cell/pitch)+row, 11)
		// x and y in the cell, in sixteenths of a pixel, odd
		x, y := int(h&127)*2+1+col*16*pitch, int(h>>7&127)*2+1+row*16*pitch
		if s.grow(&n, h>>14, cx, cy, x, y, q) {
			do(&n)
		}
	}
}

// grow makes the nucleus at (x, y) of a cell, in sixteenths of a pixel, of random bits, if there is one.
func (s *scene) grow(n *nucleus, bits uint64, cx, cy, x, y int, q quad) bool {
	take := func(width uint) int {
		v := int(bits & (1<<width - 1))
		bits >>= width
		return v
	}
	px, py := cx*cell+x/16, cy*cell+y/16
	chance := take(8)
	ragged := int(s.ragged[(py&(raggedEdge-1))*raggedEdge+px&(raggedEdge-1)])
	at := func(tl, tr, bl, br int32) int {
		const e = 16 * cell
		top, bottom := int(tl)*(e-x)+int(tr)*x, int(bl)*(e-x)+int(br)*x
		return (top*(e-y) + bottom*y) / (e * e)
	}
	if at(q[0].depth, q[1].depth, q[2].depth, q[3].depth)+4*ragged < 16*5 {
		return false
	}
	kind := at(q[0].kind, q[1].kind, q[2].kind, q[3].kind) + ragged
	crowd := at(q[0].crowd, q[1].crowd, q[2].crowd, q[3].crowd)
	n.x, n.y = float64(cx*cell)+float64(x)/16, float64(cy*cell)+float64(y)/16
	n.blur = at(q[0].blur, q[1].blur, q[2].blur, q[3].blur)
	n.texture = take(12)
	strength := at(q[0].haematoxylin, q[1].haematoxylin, q[2].haematoxylin, q[3].haematoxylin)
	var long, short int // quarters of a pixel
	switch {
	case kind > 128: // epithelium: round and pale
		if chance > 175 {
			return false
		}
		long = 20 + take(4) // 5 to 8.75 px
		short = long * (70 + take(5)*28/31) / 100
		n.angle = take(8) * 180 / 256
		n.stain = 72 + take(5)
		n.pale = 60 + take(6)
	case chance < crowd: // lymphocytes: small and dark
		long = 16 + take(2) // 4 to 5 px
		short = long - take(2)
		n.angle = take(8) * 180 / 256
		n.stain = 108 + take(5)
		n.pale = 20
	case chance < 32+crowd/2: // fibroblasts: thin, along the fibres
		eosin := s.stroma[s.fibre(at(q[0].u, q[1].u, q[2].u, q[3].u), at(q[0].v, q[1].v, q[2].v, q[3].v))] & 255
		if int(eosin) < at(q[0].open, q[1].open, q[2].open, q[3].open)+10 {
			return false
		}
		long = 22 + take(3) + take(4) // 5.5 to 11 px
		short = 9 + take(3)
		across := [2]float64{float64(q[1].v - q[0].v), float64(q[2].v - q[0].v)}
		degrees := int(math.Atan2(-across[0], across[1])*180/math.Pi) + take(5) - 16
		n.angle = wrap(degrees, 180)
		n.stain = 92 + take(5)
		n.pale = 24
	default:
		return false
	}
	n.stain = n.stain * strength >> 8
	n.shape(float64(long)/4, float64(max(short, 8))/4)
	return true
}

// fibre returns the place of (u, v) in the stroma.
func (s *scene) fibre(u, v int) int {
	return v>>8&(stromaEdge-1)*stromaEdge + u>>8&(stromaEdge-1)
}

// shape sets the half axes.
func (n *nucleus) shape(long, short float64) {
	n.long, n.short = long, short
	sin, cos := math.Sincos(float64(n.angle) * math.Pi / 180)
	n.a = cos*cos/(long*long) + sin*sin/(short*short)
	n.b = 2 * sin * cos * (1/(long*long) - 1/(short*short))
	n.c = sin*sin/(long*long) + cos*cos/(short*short)
}

// soft is how much of a nucleus' stain a place has by its distance from the centre: in the row of a
// sharpness, at a·dx² + b·dx·dy + c·dy² in steps of 1/64.
var soft = func() (table [16][4 * 64]uint8) {
	for sharpness := range table {
		width := 0.08 + 0.05*float64(sharpness) // of the edge, radii
		for i := range table[sharpness] {
			r := math.Sqrt((float64(i) + 0.5) / 64)
			table[sharpness][i] = uint8(255 * smooth(min(max((1-r)/(2*width)+0.5, 0), 1)))
		}
	}
	return table
}()

// covers says whether a pixel belongs to n.
func (n *nucleus) covers(x, y int) bool {
	dx, dy := float64(x)+0.5-n.x, float64(y)+0.5-n.y
	return n.c*dy*dy+dx*(n.a*dx+n.b*dy) <= 1
}

// box returns the pixels around n that d of its quadratic form may cover, within r.
func (n *nucleus) box(r image.Rectangle, d float64) image.Rectangle {
	det := n.a*n.c - n.b*n.b/4
	wide, high := math.Sqrt(d*n.c/det), math.Sqrt(d*n.a/det)
	return image.Rect(int(math.Floor(n.x-wide)), int(math.Floor(n.y-high)), int(math.Ceil(n.x+wide)), int(math.Ceil(n.y+high))).Intersect(r)
}

// draw adds the haematoxylin of a nucleus to a plane of the rectangle r, and marks it in the truth, if
// that is wanted. Where nuclei overlap there is more of it, in whatever order they are drawn.
func (s *scene) draw(n *nucleus, plane, truth []byte, r image.Rectangle) {
	width := 0.7 + 2.2*float64(n.blur)/256 // of the edge, px
	sharpness := min(max(int((width/n.short-0.08)/0.05), 0), len(soft)-1)
	edge := 1 + 0.08 + 0.05*float64(sharpness)
	table, limit := &soft[sharpness], min(edge*edge, 3.99)
	box := n.box(r, limit)
	ox, oy := n.texture&(chromatinEdge-1), n.texture>>5
	for y := box.Min.Y; y < box.Max.Y; y++ {
		dy := float64(y) + 0.5 - n.y
		cy, by := n.c*dy*dy, n.b*dy
		row := (y-r.Min.Y)*r.Dx() - r.Min.X
		chromatin := s.chromatin[(y+oy)&(chromatinEdge-1)*chromatinEdge:][:chromatinEdge]
		for x := box.Min.X; x < box.Max.X; x++ {
			dx := float64(x) + 0.5 - n.x
			d := cy + dx*(n.a*dx+by)
			if d >= limit {
				continue
			}
			if d <= 1 && truth != nil {
				truth[row+x] = 1
			}
			i := int(64 * d)
			clump := int(chromatin[(x+ox)&(chromatinEdge-1)])
			density := 110 + (clump&255*(256-n.blur)+clump>>8*n.blur)*290>>16 // 110 to 400
			rim := 256 - n.pale + n.pale*min(i, 64)>>6
			h := n.stain * int(table[i]) >> 8 * rim >> 8 * density >> 8
			old := int(plane[row+x])
			plane[row+x] = byte(min(max(h, old)+min(h, old)/4, maxStain))
		}
	}
}

// maxStain is the most haematoxylin of nuclei: with that around them it stays within a byte.
const maxStain = 215
