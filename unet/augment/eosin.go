package augment

import (
	"math"
	"math/rand/v2"

	"microtome/internal/raster"
)

// An eosin is a counterstain for a tile whose instances are nuclei: what lies between them loses haematoxylin to eosin, and
// gets fibres, clefts and red blood cells. It makes pink stroma, which is dark and grained but no nucleus, of pictures that have
// none.
type eosin struct {
	colour     [3]float64 // of a unit, in optical density
	turned     float64    // share of the background's haematoxylin that becomes eosin
	fibres     float64    // density of the densest
	cleft      float64    // share of the range of fibres that is empty
	sin, cos   float64    // of their direction
	long, wide float64    // px
	bend       float64    // px that they meander by
	bends      float64    // px along which they do
	seed       uint64     // of the fibres
	cells      []cell
}

// A cell is a red blood cell.
type cell struct{ x, y, radius, density float64 }

// Colours of eosin in sections of different laboratories, from magenta to salmon, in optical density.
var eosins = [3][3]float64{{0.07, 0.99, 0.11}, {0.15, 0.82, 0.55}, {0.30, 0.85, 0.43}}

func newEosin(r *rand.Rand, size int) *eosin {
	var e eosin
	a, b := r.Float64(), r.Float64()
	if a > b {
		a, b = b, a
	}
	for i, part := range [3]float64{a, b - a, 1 - b} {
		for c := range e.colour {
			e.colour[c] += part * eosins[i][c]
		}
	}
	e.turned = 0.2 + 0.8*r.Float64()
	e.fibres, e.cleft = 0.8*r.Float64(), 0.1+0.5*r.Float64()
	e.sin, e.cos = math.Sincos(math.Pi * r.Float64())
	e.long, e.wide = logUniform(r, 10, 60), logUniform(r, 2, 8)
	e.bend, e.bends = logUniform(r, 4, 60), 30+70*r.Float64()
	e.seed = r.Uint64()
	if r.Float64() < 0.3 {
		for range 3 + r.IntN(30) {
			e.cells = append(e.cells, cell{r.Float64() * float64(size), r.Float64() * float64(size), 4 + 4*r.Float64(), 0.3 + 0.6*r.Float64()})
		}
	}
	return &e
}

// counterstain changes a square picture whose nuclei are marked.
func (s *Sampler) counterstain(e *eosin, img raster.RGB, nuclei raster.Labels) {
	between := grow(s.between, len(nuclei.Pix)) // 1 outside of nuclei, 0 inside
	s.between, s.blurred = between, grow(s.blurred, len(nuclei.Pix))
	for i, n := range nuclei.Pix {
		between[i] = 1
		if n != 0 {
			between[i] = 0
		}
	}
	blur(between, s.blurred, img.W, img.H, 1)
	added := grow(s.added, len(between)) // eosin
	s.added = added
	for y := range img.H {
		for x := range img.W {
			m := float64(between[y*img.W+x])
			added[y*img.W+x] = float32(e.fibres * e.fibre(float64(x), float64(y)) * (0.25 + 0.75*m))
		}
	}
	for _, c := range e.cells {
		c.add(added, between, img.W, img.H)
	}
	he := raster.HaematoxylinEosin()
	apart := he.Deconvolution()
	for i := range between {
		p := img.Pix[3*i:][:3:3]
		d := [3]float64{float64(density[p[0]]), float64(density[p[1]]), float64(density[p[2]])}
		h := apart[0][0]*d[0] + apart[0][1]*d[1] + apart[0][2]*d[2]
		lost := e.turned * e.patch(float64(i%img.W), float64(i/img.W)) * float64(between[i]) * max(h, 0)
		for c := range p {
			p[c] = intensity(d[c] - lost*he[0][c] + (0.8*lost+float64(added[i]))*e.colour[c])
		}
	}
}

// intensity is the byte of an optical density, from a table.
func intensity(d float64) byte {
	return intensities[int(min(max(d, 0)*1000, float64(len(intensities)-1))+0.5)]
}

var intensities = func() (table [2500]byte) {
	for i := range table {
		table[i] = byte(min(max(raster.Intensity(float64(i)/1000), 0), 255) + 0.5)
	}
	return table
}()

// fibre is how dense the fibres are at a place, from 0 to 1: ridges of a noise that is long in one direction and meanders.
func (e *eosin) fibre(x, y float64) float64 {
	bend := e.bend * wave(e.seed, x/e.bends, y/e.bends)
	along, across := (x*e.cos+y*e.sin)/e.long, (y*e.cos-x*e.sin+bend)/e.wide
	v := 0.65*wave(e.seed+1, along, across) + 0.35*wave(e.seed+2, 2*along, 2.3*across)
	ridge := 1 - math.Abs(2*v-1)
	return max(ridge-e.cleft, 0) / (1 - e.cleft)
}

// patch is how much of the turned haematoxylin is turned at a place, from 0 to 1: the bodies of cells may stay purple.
func (e *eosin) patch(x, y float64) float64 {
	return min(2*wave(e.seed+3, x/e.bends, y/e.bends), 1)
}

// add adds the cell's eosin, where there are no nuclei.
func (c cell) add(to, between []float32, w, h int) {
	for y := max(int(c.y-c.radius), 0); y < min(int(c.y+c.radius)+1, h); y++ {
		for x := max(int(c.x-c.radius), 0); x < min(int(c.x+c.radius)+1, w); x++ {
			d := math.Hypot(float64(x)-c.x, float64(y)-c.y)
			edge := min(max(c.radius-d, 0), 1)                                         // one soft pixel
			to[y*w+x] += float32(c.density*edge*(0.7+0.3*d/c.radius)) * between[y*w+x] // paler in the middle
		}
	}
}

// wave is a smooth function of a place, from 0 to 1, with features about 1 wide.
func wave(seed uint64, x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	tx, ty := x-fx, y-fy
	tx, ty = tx*tx*(3-2*tx), ty*ty*(3-2*ty)
	ix, iy := uint64(int64(fx)), uint64(int64(fy))
	top := knot(seed, ix, iy)*(1-tx) + knot(seed, ix+1, iy)*tx
	bottom := knot(seed, ix, iy+1)*(1-tx) + knot(seed, ix+1, iy+1)*tx
	return top*(1-ty) + bottom*ty
}

// knot is a number from 0 to 1 for each whole place: splitmix64's finaliser.
func knot(seed, x, y uint64) float64 {
	z := seed + x*0x9e3779b97f4a7c15 + y*0xd1b54a32d192ed03
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
