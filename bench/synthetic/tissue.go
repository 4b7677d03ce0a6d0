package synthetic

import (
	"fmt"
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

// A nucleus is an ellipse: a pixel at (dx, dy) from its centre belongs to it where
// a·dx² + b·dx·dy + c·dy² <= 1.
type nucleus struct {
	x, y    float64
	a, b, c float64
	reach   float64 // radius that holds it, px
	stain   float64 // optical density of haematoxylin
}

// pitch is the edge of the squares that hold at most one nucleus each, px.
const pitch = 19

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
	u, v := x-fx, y-fy
	u, v = u*u*(3-2*u), v*v*(3-2*v)
	top := c.uniform(ix, iy, channel)*(1-u) + c.uniform(ix+1, iy, channel)*u
	bottom := c.uniform(ix, iy+1, channel)*(1-u) + c.uniform(ix+1, iy+1, channel)*u
	return top*(1-v) + bottom*v
}

// tissue returns above 0 where there is tissue: a piece around the middle with a ragged edge.
func (c Config) tissue(x, y float64) float64 {
	s := float64(c.Size)
	dx, dy := (x-s/2)/(s*0.42), (y-s/2)/(s*0.36)
	ragged := 0.9*c.noise(x*5/s, y*5/s, 1) + 0.35*c.noise(x*17/s, y*17/s, 2) + 0.12*c.noise(x/40, y/40, 3)
	return 0.55 + 0.75*ragged - math.Hypot(dx, dy) - 0.12
}

// nucleusIn returns the nucleus of a square, if it has one. Squares are crowded where the noise is high.
func (c Config) nucleusIn(col, row int) (n nucleus, ok bool) {
	crowd := c.noise(float64(col)/14, float64(row)/14, 10)
	if c.uniform(col, row, 11) > 0.1+0.75*crowd*crowd {
		return n, false
	}
	n.x = (float64(col) + c.uniform(col, row, 12)) * pitch
	n.y = (float64(row) + c.uniform(col, row, 13)) * pitch
	if c.tissue(n.x, n.y) < 0.03 {
		return n, false
	}
	long := 5.5 + 4.5*c.uniform(col, row, 14) // half axes, px: nuclei of 5 to 10 µm
	short := long * (0.55 + 0.4*c.uniform(col, row, 15))
	sin, cos := math.Sincos(math.Pi * c.uniform(col, row, 16))
	n.a = cos*cos/(long*long) + sin*sin/(short*short)
	n.b = 2 * sin * cos * (1/(long*long) - 1/(short*short))
	n.c = sin*sin/(long*long) + cos*cos/(short*short)
	n.reach = long
	n.stain = 0.75 + 0.45*c.uniform(col, row, 17)
	return n, true
}

// render fills the RGB pixels and the truth of a square of an edge with its top left corner at (x0, y0).
// Any squares give the same pixels.
func (c Config) render(rgb, truth []byte, x0, y0, edge int) {
	haematoxylin := make([]float64, edge*edge)
	clear(truth)
	first := func(v int) int { return int(math.Floor(float64(v)/pitch)) - 1 }
	for row := first(y0); row <= first(y0+edge)+2; row++ {
		for col := first(x0); col <= first(x0+edge)+2; col++ {
			if n, ok := c.nucleusIn(col, row); ok {
				n.draw(haematoxylin, truth, x0, y0, edge)
			}
		}
	}
	for y := range edge {
		for x := range edge {
			i := y*edge + x
			c.stain(rgb[3*i:3*i+3], x0+x, y0+y, haematoxylin[i])
		}
	}
}

// draw stains the pixels of a nucleus, and marks them in the truth.
func (n nucleus) draw(haematoxylin []float64, truth []byte, x0, y0, edge int) {
	for y := max(int(n.y-n.reach), y0); y <= min(int(n.y+n.reach)+1, y0+edge-1); y++ {
		for x := max(int(n.x-n.reach), x0); x <= min(int(n.x+n.reach)+1, x0+edge-1); x++ {
			dx, dy := float64(x)+0.5-n.x, float64(y)+0.5-n.y
			d := n.a*dx*dx + n.b*dx*dy + n.c*dy*dy
			if d > 1 {
				continue
			}
			i := (y-y0)*edge + x - x0
			truth[i] = 1
			haematoxylin[i] = max(haematoxylin[i], n.stain*(0.8+0.2*d)) // the membrane is darker
		}
	}
}

// Optical densities of the stains, by colour, after Ruifrok and Johnston 2001.
var (
	densityH = [3]float64{0.65, 0.70, 0.29}
	densityE = [3]float64{0.14, 0.88, 0.45} // pinker than the paper's, as scanners show it
)

// stain computes one pixel from the haematoxylin of its nucleus, 0 outside of nuclei.
func (c Config) stain(rgb []byte, px, py int, haematoxylin float64) {
	x, y := float64(px), float64(py)
	glass := 1.0
	var h, e float64
	if inside := c.tissue(x, y); inside > 0 {
		edge := min(1, inside*14)
		wave := 3 * c.noise(x/90, y/90, 20)
		fibre := c.noise(x/34+wave, y/7+4*wave, 21)
		e = edge * (0.10 + 0.42*fibre*c.noise(x/60, y/60, 22) + 0.10*c.noise(x/9, y/9, 23))
		h = edge * 0.05 * c.noise(x/20, y/20, 24)
		if gap := c.noise(x/55, y/26, 26); gap > 0.8 && haematoxylin == 0 { // clefts
			e *= 1 - min(1, 8*(gap-0.8))
		}
	}
	if haematoxylin > 0 {
		chromatin := 0.82 + 0.36*c.noise(x/2.6, y/2.6, 25)
		h, e = haematoxylin*chromatin, e*0.5
	}
	glass += 0.015 * (c.noise(x/900, y/900, 30) - 0.5) // uneven light
	grain := c.hash(px, py, 31)
	for i := range rgb {
		v := 243 * glass * math.Pow(10, -(h*densityH[i]+e*densityE[i]))
		v += float64(grain>>(8*i)&0xff)/255*5 - 2.5
		rgb[i] = byte(min(max(v, 0), 255))
	}
}
