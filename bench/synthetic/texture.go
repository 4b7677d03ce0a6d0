package synthetic

import (
	"math"
	"sync"
)

// Edges of the textures, px: powers of two, as they repeat.
const (
	stromaEdge    = 1024
	cytoplasmEdge = 512
	raggedEdge    = 512
	chromatinEdge = 128
	grainEdge     = 256
)

// Textures are what all slides are painted with: they are made once, repeat without a seam, and are bent,
// turned and thinned differently everywhere. A texel holds a value in focus in its low byte, and the same
// out of focus in its high byte.
type textures struct {
	stroma    []uint16 // eosin of wavy fibres, along x, with clefts between them
	cytoplasm []uint16 // of epithelium
	chromatin []uint16
	ragged    []int8   // how far, in quarters of a pixel, edges of tissue are out of place
	grain     []uint32 // of the scanner, a byte a channel, 0 to 2·noise
}

// noise is the largest deviation that a scanner adds to a channel.
const noise = 4

// theTextures makes the textures when they are first asked for.
var theTextures = sync.OnceValue(func() *textures {
	c := Config{Seed: 0x7ea}
	t := &textures{
		stroma:    make([]uint16, stromaEdge*stromaEdge),
		cytoplasm: make([]uint16, cytoplasmEdge*cytoplasmEdge),
		chromatin: make([]uint16, chromatinEdge*chromatinEdge),
		ragged:    make([]int8, raggedEdge*raggedEdge),
		grain:     make([]uint32, grainEdge*grainEdge),
	}
	focus(t.stroma, stromaEdge, c.fibres)
	focus(t.cytoplasm, cytoplasmEdge, c.granules)
	focus(t.chromatin, chromatinEdge, c.clumps)
	for i := range t.ragged {
		x, y := float64(i%raggedEdge), float64(i/raggedEdge)
		v := 0.0
		for o, length := range []float64{128, 64, 32, 16, 8, 4} {
			v += (c.ripple(x, y, length, length, raggedEdge, 40+o) - 0.5) * (length/2.5 + 2.5)
		}
		t.ragged[i] = int8(min(max(4*v, -127), 127))
	}
	for i := range t.grain {
		h := c.hash(i%grainEdge, i/grainEdge, 60)
		common := h & 3 // light and dark more than colour
		for channel := range 3 {
			own := h>>(8+8*channel)&3 + h>>(40+8*channel)&1
			t.grain[i] |= uint32(common+own) << (8 * channel) // 0 to 7, mean 3.5
		}
	}
	return t
})

// ripple is noise in [0, 1) whose features are wide × high px, and which repeats after edge px; edge is a
// multiple of both.
func (c Config) ripple(x, y, wide, high float64, edge, channel int) float64 {
	nx, ny := edge/int(wide), int(float64(edge)/high)
	fx, fy := math.Floor(x/wide), math.Floor(y/high)
	u, v := smooth(x/wide-fx), smooth(y/high-fy)
	ix, iy := wrap(int(fx), nx), wrap(int(fy), ny)
	jx, jy := wrap(ix+1, nx), wrap(iy+1, ny)
	top := c.uniform(ix, iy, channel)*(1-u) + c.uniform(jx, iy, channel)*u
	bottom := c.uniform(ix, jy, channel)*(1-u) + c.uniform(jx, jy, channel)*u
	return top*(1-v) + bottom*v
}

func smooth(t float64) float64 { return t * t * (3 - 2*t) }

func wrap(i, n int) int { return (i%n + n) % n }

// fibres is the eosin of stroma, 0 to 255.
func (c Config) fibres(x, y float64) float64 {
	const n = stromaEdge
	wavy := y + 44*(c.ripple(x, y, 128, 128, n, 1)-0.5) + 16*(c.ripple(x, y, 32, 64, n, 2)-0.5) + 5*(c.ripple(x, y, 16, 16, n, 3)-0.5)
	thread := c.ripple(x, wavy, 64, 4, n, 4) - 0.5
	thin := c.ripple(x, wavy, 32, 2, n, 5) - 0.5
	bundle := c.ripple(x, wavy, 128, 16, n, 6) - 0.5
	patch := c.ripple(x, y, 64, 64, n, 7) - 0.5
	grit := c.ripple(x, y, 4, 4, n, 8) - 0.5
	cleft := 0.55*c.ripple(x, wavy, 128, 16, n, 9) + 0.45*c.ripple(x+31, wavy+7, 64, 8, n, 10)
	grain := c.ripple(x, y, 2, 2, n, 18) - 0.5
	tear := c.ripple(x+11, wavy, 64, 8, n, 19)
	return 168 + 70*thread + 55*thin + 70*bundle + 50*patch + 45*grit + 40*grain - 1500*max(0, cleft-0.64) - 900*max(0, tear-0.78)
}

// granules is the density of cytoplasm, 0 to 255.
func (c Config) granules(x, y float64) float64 {
	const n = cytoplasmEdge
	return 150 + 60*(c.ripple(x, y, 4, 4, n, 11)-0.5) + 45*(c.ripple(x, y, 2, 2, n, 12)-0.5) + 60*(c.ripple(x, y, 16, 16, n, 13)-0.5) + 60*(c.ripple(x, y, 64, 64, n, 14)-0.5)
}

// clumps is the density of chromatin, 0 to 255.
func (c Config) clumps(x, y float64) float64 {
	const n = chromatinEdge
	return 128 + 190*(c.ripple(x, y, 4, 4, n, 15)-0.5) + 110*(c.ripple(x, y, 2, 2, n, 16)-0.5) + 70*(c.ripple(x, y, 8, 8, n, 17)-0.5)
}

// focus fills a texture by a formula of values from 0 to 255, in focus and out of it.
func focus(texture []uint16, edge int, value func(x, y float64) float64) {
	sharp := make([]float64, len(texture))
	for i := range sharp {
		sharp[i] = min(max(value(float64(i%edge), float64(i/edge)), 0), 255)
	}
	blurred := blur(blur(sharp, edge, 1), edge, edge)
	for i := range texture {
		texture[i] = uint16(sharp[i]) | uint16(blurred[i])<<8
	}
}

// blur returns a texture smoothed along x (step 1) or y (step edge).
func blur(src []float64, edge, step int) []float64 {
	weights := [...]float64{1, 3, 6, 7, 6, 3, 1}
	dst := make([]float64, len(src))
	for i := range dst {
		line, at := i-i%edge, i%edge // of x
		if step == edge {
			line, at = i%edge, i/edge
		}
		for k, w := range weights {
			dst[i] += w / 27 * src[line+step*wrap(at+k-len(weights)/2, edge)]
		}
	}
	return dst
}
