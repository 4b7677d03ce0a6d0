package tissue

import (
	"fmt"
	"math"

	"microtome/internal/raster"
)

// Two things tell stained tissue from glass: optical density, the mean of three channels, and how
// much that differs between channels, which is saturation in the space in which stains add up. Both
// are counted in steps of 0.002, from the glass of this slide.
const (
	step        = 0.002
	leastDense  = 9  // 0.018: the shading of a scanner, and its seams, are below
	mostDense   = 10 // 0.020: the palest tissue beside dark tissue, of which Otsu would make one class with glass
	strictDense = 75
	leastTint   = 8
	mostTint    = 10
	strictTint  = 60
)

// stains is the picture of a slide in bright field as optical densities.
type stains struct {
	density, tint []byte // of each cell, in steps
	table         [3][256]float32
}

func newStains(m raster.RGB, light, rough []byte, void plane) *stains {
	s := &stains{density: make([]byte, m.W*m.H), tint: make([]byte, m.W*m.H)}
	glass := glassColor(m, light, rough, void)
	for c := range s.table {
		for v := range 256 {
			s.table[c][v] = float32(max(raster.Density(byte(v))-raster.Density(glass[c]), 0))
		}
	}
	for i := range s.density {
		d := s.of(m, i)
		s.density[i] = byte(min((d[0]+d[1]+d[2])/3/step, 255))
		s.tint[i] = byte(min((max(d[0], d[1], d[2])-min(d[0], d[1], d[2]))/step, 255))
	}
	return s
}

// of returns the densities of a cell.
func (s *stains) of(m raster.RGB, i int) [3]float32 {
	c := m.Pix[3*i:][:3]
	return [3]float32{s.table[0][c[0]], s.table[1][c[1]], s.table[2][c[2]]}
}

// glassColor returns the colour of glass: the most frequent one among cells that are even, nearly grey
// and nearly as light as the lightest even ones. White that has been painted in is perfectly even: it
// counts only where there is no real glass. A slide without glass is measured from white.
func glassColor(m raster.RGB, light, rough []byte, void plane) [3]byte {
	const even = 8
	var lights [256]int
	for i, v := range light {
		if rough[i] <= even && rough[i] > 0 && !void.on[i] {
			lights[v]++
		}
	}
	top := quantile(&lights, 0.995)
	var counts, painted [3][256]int
	for i, v := range light {
		c := m.Pix[3*i:][:3]
		lo, hi := min(c[0], c[1], c[2]), max(c[0], c[1], c[2])
		switch {
		case rough[i] > even || void.on[i] || lo < 128 || raster.Density(lo)-raster.Density(hi) > 0.05:
		case rough[i] == 0:
			for k := range painted {
				painted[k][c[k]]++
			}
		case 10*int(v) >= 9*top:
			for k := range counts {
				counts[k][c[k]]++
			}
		}
	}
	least := max(len(light)/200, 16)
	if total(&counts[0]) < least {
		counts = painted
	}
	if total(&counts[0]) < least {
		return [3]byte{250, 250, 250}
	}
	return [3]byte{byte(peak(&counts[0], 128, 255)), byte(peak(&counts[1], 128, 255)), byte(peak(&counts[2], 128, 255))}
}

// find turns on what is dense or tinted, and neither ink nor void.
func (s *stains) find(found, void, ink plane, recall Recall) {
	var dense, tint [256]int
	for i, d := range s.density {
		if !void.on[i] && !ink.on[i] {
			dense[d]++
			tint[s.tint[i]]++
		}
	}
	minDense := byte(limit(recall, otsu(&dense), leastDense, mostDense, strictDense))
	minTint := byte(limit(recall, otsu(&tint), leastTint, mostTint, strictTint))
	for i, d := range s.density {
		found.on[i] = !void.on[i] && !ink.on[i] && (d > minDense || s.tint[i] > minTint)
	}
}

// pale is the median density below which a warning is due. The sections that were looked at have 0.14 and
// 0.25, and twice that where they are thick.
const pale = 0.05

func (s *stains) measure(found plane) Measure {
	var counts [256]int
	for i, on := range found.on {
		if on {
			counts[s.density[i]]++
		}
	}
	m := Measure{Value: float64(quantile(&counts, 0.5)) * step}
	if total(&counts) > 0 && m.Value < pale {
		m.Warning = fmt.Sprintf("the stain is very pale, median optical density %.3f: look at what comes out", m.Value)
	}
	return m
}

// Ink is wide, even and of a colour that stains have not, so all three are asked for: its parts have at
// least inkArea µm² and, but for their edges, hardly change.
const (
	inkArea = 20_000
	inkEven = 20
)

// ink returns the cells that pen marks cover.
func (s *stains) ink(m raster.RGB, rough []byte, void plane, micron float64) plane {
	p := newPlane(m.W, m.H)
	for i := range p.on {
		p.on[i] = !void.on[i] && inkColor(s.of(m, i))
	}
	l, area := p.areas(raster.Eight)
	even := make([]int, len(area))
	for i, v := range l.Pix {
		if rough[i] <= inkEven {
			even[v]++
		}
	}
	inked, stained := 0, 0
	for i, v := range l.Pix {
		p.on[i] = v != 0 && float64(area[v])*micron*micron >= inkArea && 5*even[v] >= 3*area[v]
		if p.on[i] {
			inked++
		} else if s.density[i] > mostDense && !void.on[i] {
			stained++
		}
	}
	if inked > 4*stained && stained > 0 || float64(inked) > 0.5*float64(len(p.on)) { // that much is a stain
		clear(p.on)
	}
	return p
}

// inkColor reports whether densities are those of a pen: green, blue, red or black. Haematoxylin absorbs
// green at least as much as red, eosin and DAB hardly absorb red, and blood lets through some blue.
func inkColor(d [3]float32) bool {
	r, g, b := d[0], d[1], d[2]
	lo, hi := min(r, g, b), max(r, g, b)
	switch {
	case lo >= 0.75 && hi-lo <= 0.3: // black
		return true
	case hi < 0.3 || hi-lo < 0.2:
		return false
	case g == lo && r >= g+0.1: // green
		return b >= g+0.03 || r >= 2*g
	case b == lo && r >= 1.25*g: // blue
		return true
	case r == lo && r <= 0.12*hi: // red
		return g >= 0.5 && b >= 0.8*g && b <= 1.3*g
	}
	return false
}

// percent writes a share into a text.
func percent(format string, share float64) string {
	return fmt.Sprintf(format, fmt.Sprintf("%.2g %%", math.Round(1e4*share)/100))
}
