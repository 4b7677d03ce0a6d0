package synthetic

import (
	"fmt"
	"image"
	"math"
)

// Config describes a synthetic slide.
type Config struct {
	Size int    // edge, px
	Seed uint64 // of what the tissue looks like
}

// NewDefaultConfig returns a slide of 4096 × 4096 pixels.
func NewDefaultConfig() Config { return Config{Size: 4096, Seed: 1} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Size < 64 || c.Size > 1<<20 {
		return fmt.Errorf("--size %d: give 64 to %d pixels", c.Size, 1<<20)
	}
	return nil
}

// mpp is the size of a synthetic pixel, µm.
const mpp = 0.5

// hash mixes coordinates, a channel and the seed into 64 random bits (the finaliser of SplitMix64).
func (c Config) hash(x, y, channel int) uint64 {
	h := uint64(x)*0x9e3779b97f4a7c15 ^ uint64(y)*0xc2b2ae3d27d4eb4f ^ uint64(channel)*0x165667b19e3779f9 ^ c.Seed<<32
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// uniform returns a random number in [0, 1).
func (c Config) uniform(x, y, channel int) float64 {
	return float64(c.hash(x, y, channel)>>11) / (1 << 53)
}

// noise returns smooth noise in [0, 1) whose features are one unit large.
func (c Config) noise(x, y float64, channel int) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	u, v := smooth(x-fx), smooth(y-fy)
	top := c.uniform(ix, iy, channel)*(1-u) + c.uniform(ix+1, iy, channel)*u
	bottom := c.uniform(ix, iy+1, channel)*(1-u) + c.uniform(ix+1, iy+1, channel)*u
	return top*(1-v) + bottom*v
}

// A scene is a slide that can be painted.
type scene struct {
	Config
	*textures
	pieces  []piece
	colours []uint32 // by haematoxylin<<8 | eosin: a byte a channel, less the mean of the grain
	glass   []byte   // grainEdge × grainEdge RGB pixels, which repeat
}

// A piece of tissue is an ellipse, before its edge is made ragged.
type piece struct {
	x, y     float64
	sin, cos float64
	a, b     float64 // half axes, px
}

func newScene(c Config) *scene {
	s := &scene{Config: c, textures: theTextures()}
	s.layOut()
	s.stain()
	for i := range grainEdge * grainEdge {
		v := s.colours[0] + s.grain[i]
		s.glass = append(s.glass, byte(v), byte(v>>8), byte(v>>16))
	}
	return s
}

// layOut puts one piece of tissue on a small slide, two to four on a larger one.
func (s *scene) layOut() {
	size := float64(s.Size)
	add := func(x, y, a, b, turn float64) {
		sin, cos := math.Sincos(turn)
		s.pieces = append(s.pieces, piece{x, y, sin, cos, a, b})
	}
	if s.Size < 3000 {
		if s.Size < 5*cell { // around a corner of cells, or none may be in tissue
			x := float64(s.Size / 2 / cell * cell)
			add(x, x, size*0.54, size*0.5, 0)
			return
		}
		add(size/2, size/2, size*0.41, size*0.36, 0)
		return
	}
	for i := range 4 {
		random := func(channel int) float64 { return s.uniform(i, 0, 100+channel) }
		if i == int(4*s.uniform(0, 1, 100)) && s.uniform(0, 2, 100) < 0.5 {
			continue
		}
		x, y := float64(i%2)/2+0.25+0.05*(random(1)-0.5), float64(i/2)/2+0.25+0.05*(random(2)-0.5)
		add(x*size, y*size, size*(0.17+0.04*random(3)), size*(0.12+0.05*random(4)), math.Pi*random(5))
	}
}

// depth returns how deep in tissue a place is, px, about; below 0 there is glass.
func (s *scene) depth(x, y float64) float64 {
	size := float64(s.Size)
	depth := math.Inf(-1)
	for _, p := range s.pieces {
		dx, dy := x-p.x, y-p.y
		rho := math.Hypot((dx*p.cos+dy*p.sin)/p.a, (dy*p.cos-dx*p.sin)/p.b)
		depth = max(depth, (1-rho)*min(p.a, p.b))
	}
	if depth < -size/8-60 {
		return depth
	}
	unit := size / 2
	if len(s.pieces) > 1 {
		unit = size / 4
	}
	depth += unit * (0.45*(s.noise(x*2.5/unit, y*2.5/unit, 1)-0.5) + 0.2*(s.noise(x*7/unit, y*7/unit, 2)-0.5))
	rough := min(1, size/4000)
	depth += rough * (120*(s.noise(x/420, y/420, 3)-0.5) + 60*(s.noise(x/150, y/150, 4)-0.5))
	if depth > 60 { // vessels and tears
		hole := 0.7*s.noise(x/520, y/520, 5) + 0.3*s.noise(x/170, y/170, 6)
		depth = min(depth, 900*(0.76-hole))
	}
	return depth
}

// Optical densities of the stains, by colour, after Ruifrok and Johnston 2001.
var (
	densityH = [3]float64{0.62, 0.70, 0.38}
	densityE = [3]float64{0.10, 0.80, 0.48} // both a little redder than the paper's, as scanners show it
)

// Steps of the stains' amounts that colours are looked up by, optical density.
const (
	stepH = 1.0 / 115
	stepE = 1.0 / 235
)

// stain makes the colours; laboratories differ a little.
func (s *scene) stain() {
	s.colours = make([]uint32, 1<<16)
	vary := func(channel int) float64 { return 1 + 0.12*(s.uniform(channel, 0, 110)-0.5) }
	var transmit [2][3][256]float64
	for i, density := range [2][3]float64{densityH, densityE} {
		for channel, d := range density {
			d *= vary(3*i + channel)
			for step := range 256 {
				transmit[i][channel][step] = math.Pow(10, -d*float64(step)*[2]float64{stepH, stepE}[i])
			}
		}
	}
	for i := range s.colours {
		for channel, lamp := range [3]float64{243, 242, 244} {
			v := lamp*transmit[0][channel][i>>8]*transmit[1][channel][i&255] - noise + 0.5
			s.colours[i] |= uint32(max(0, v)) << (8 * channel)
		}
	}
}

// cell is the edge of the squares at whose corners a slide's properties are known, px; between them they
// change linearly. It is a multiple of pitch.
const cell = 64

// A corner has the properties of tissue at a corner of cells.
type corner struct {
	known               bool  // all below
	depth               int32 // in tissue, 1/16 px
	u, v                int32 // where in the textures, 1/256 px
	kind                int32 // 256 and more: epithelium, 0 and less: stroma
	open                int32 // how much of the fibres' eosin is missing
	eosin, haematoxylin int32 // how strong the stains are, 1/256
	blur                int32 // 0 in focus to 256
	crowd               int32 // of lymphocytes, 1/256
}

// properties completes a corner.
func (s *scene) properties(c *corner, x, y float64) {
	c.known = true
	bend := func(channel int) float64 {
		return 800*s.noise(x/1500, y/1500, channel) + 160*s.noise(x/370, y/370, channel+1)
	}
	turn := math.Pi * s.uniform(0, 0, 19)
	sin, cos := math.Sincos(turn)
	c.u = int32(256 * (x*cos + y*sin + bend(20)))
	c.v = int32(256 * (y*cos - x*sin + bend(22)))
	kind := 0.75*s.noise(x/900, y/900, 24) + 0.25*s.noise(x/210, y/210, 25)
	c.kind = int32(min(max(128+(kind-0.57)*6000, -300), 556))
	c.open = int32(130 * (0.6*s.noise(x/700, y/700, 26) + 0.4*s.noise(x/190, y/190, 27)))
	c.eosin = int32(256 * (0.62 + 0.3*s.noise(x/2600, y/2600, 28) + 0.2*s.noise(x/400, y/400, 29)))
	c.haematoxylin = int32(256 * (0.75 + 0.4*s.noise(x/3100, y/3100, 30)))
	c.blur = int32(256 * min(max(2.2*s.noise(x/1900, y/1900, 31)-1, 0.08), 1))
	crowd := s.noise(x/520, y/520, 32)*0.75 + 0.25*s.noise(x/130, y/130, 33)
	c.crowd = int32(256 * min(max(5*(crowd-0.62), 0), 1))
}

// A lattice is the corners of some cells.
type lattice struct {
	cells   image.Rectangle
	corners []corner
}

// lay fills l with the corners of the cells, and says whether there is any tissue.
func (s *scene) lay(l *lattice, cells image.Rectangle) (tissue bool) {
	l.cells, l.corners = cells, l.corners[:0]
	for cy := cells.Min.Y; cy <= cells.Max.Y; cy++ {
		for cx := cells.Min.X; cx <= cells.Max.X; cx++ {
			depth := s.depth(float64(cx*cell), float64(cy*cell))
			l.corners = append(l.corners, corner{depth: int32(16 * min(max(depth, -2000), 2000))})
		}
	}
	for cy := cells.Min.Y; cy < cells.Max.Y; cy++ {
		for cx := cells.Min.X; cx < cells.Max.X; cx++ {
			q := l.at(cx, cy)
			if s.bare(q) {
				continue
			}
			tissue = true
			for i, c := range q {
				if !c.known {
					s.properties(c, float64((cx+i%2)*cell), float64((cy+i/2)*cell))
				}
			}
		}
	}
	return tissue
}

// A quad is the corners of a cell: top left, top right, bottom left, bottom right.
type quad [4]*corner

func (l *lattice) at(cx, cy int) quad {
	wide := l.cells.Dx() + 1
	i := (cy-l.cells.Min.Y)*wide + cx - l.cells.Min.X
	return quad{&l.corners[i], &l.corners[i+1], &l.corners[i+wide], &l.corners[i+wide+1]}
}

// bare says that a cell is all glass.
func (s *scene) bare(q quad) bool {
	return max(q[0].depth, q[1].depth, q[2].depth, q[3].depth) < -16*depthRange
}

// cellsOf returns the cells that a rectangle of pixels touches.
func cellsOf(r image.Rectangle) image.Rectangle {
	const shift = 6 // rounds down, as dividing by cell would not
	return image.Rect(r.Min.X>>shift, r.Min.Y>>shift, (r.Max.X-1)>>shift+1, (r.Max.Y-1)>>shift+1)
}
