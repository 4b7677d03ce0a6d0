package tissue

import (
	"context"
	"image"
	"math"

	"microtome/internal/raster"
	"microtome/slide"
)

// Find looks for tissue on the slide that v is a view of: on all of it, at about 8 µm a cell, from the
// level that is nearest to that, or streamed from a finer one. Memory is bounded by [Bytes] and what v's
// slide needs for reading, whatever the slide's size.
func Find(ctx context.Context, v *slide.View, cfg Config) (*Tissue, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	mpp := pixelSize(v.Slide().Info(), cfg.MPP)
	t := newTissue(v, mpp)
	picture, err := v.Slide().Shrunk(ctx, t.cell)
	if err != nil {
		return nil, err
	}
	micron := t.cell * mpp // edge of a cell
	t.detect(picture, cfg, micron)
	seen := t.clone()
	t.take(v.Slide().UnreadAreas())
	t.fillHoles(cfg.Hole / (micron * micron))
	t.grow(cfg.Margin / micron)
	t.Found.Value = float64(t.count()) / float64(len(t.on))
	if t.Found.Value == 0 {
		t.Found.Warning = "no tissue was found on this slide: if there is some, run it with tissue off"
		return t, nil
	}
	return t, t.focus(ctx, v.Slide(), seen, mpp)
}

// take turns on the cells of parts of the slide, in pixels of level 0. What could not be read is shown white, as
// glass is, but nobody knows what is there.
func (t *Tissue) take(areas []image.Rectangle) {
	for _, r := range areas {
		x1, y1 := int(math.Ceil(float64(r.Max.X)/t.cell)), int(math.Ceil(float64(r.Max.Y)/t.cell))
		for y := int(float64(r.Min.Y) / t.cell); y < y1; y++ {
			for x := int(float64(r.Min.X) / t.cell); x < x1; x++ {
				t.on[y*t.w+x] = true
			}
		}
	}
}

// detect turns on the cells that are tissue themselves, without margin.
func (t *Tissue) detect(picture raster.RGB, cfg Config, micron float64) {
	speck := cfg.Speck / (micron * micron)
	light := lightness(picture)
	rough := roughness(light, t.w, t.h)
	void := blackPlane(picture)
	if t.Field = cfg.Field; t.Field == Auto {
		t.Field = lit(light, void)
	}
	if t.Field == Dark {
		unscanned(void, true)
		t.Stain = dark(t.plane, picture, void, cfg.Recall)
		t.dropSpecks(speck)
		return
	}
	unscanned(void, false)
	s := newStains(picture, light, rough, void)
	ink := newPlane(t.w, t.h)
	if cfg.Recall != Safe {
		ink = s.ink(picture, rough, void, micron)
	}
	s.find(t.plane, void, ink, cfg.Recall)
	// What borders on ink or on what was not scanned is a mixture of both with glass.
	near := ink.clone()
	for i, v := range void.on {
		near.on[i] = near.on[i] || v
	}
	near.grow(rim)
	found := t.clone()
	for i, n := range near.on {
		t.on[i] = t.on[i] && !n
	}
	t.dropSpecks(speck)
	// Ink on tissue, or beside it, is kept: what is below can be tissue.
	if near.count() > 0 {
		reach := t.clone()
		reach.grow(inkReach / micron)
		for i, n := range near.on {
			if n && reach.on[i] && !void.on[i] && (found.on[i] || ink.on[i]) {
				t.on[i] = true
			} else if ink.on[i] {
				t.Pen.Value++
			}
		}
	}
	if t.Pen.Value /= float64(len(t.on)); t.Pen.Value > 0 {
		t.Pen.Warning = percent("pen marks cover %s of the slide and are left out, but for those beside tissue", t.Pen.Value)
	}
	t.Stain = s.measure(t.plane)
}

// rim is how many cells beside ink, or beside what was not scanned, are not trusted.
const rim = 2

// inkReach is how near to tissue ink is kept, µm: about the width of a pen's stroke.
const inkReach = 400

// lightness returns (r + 2g + b) / 4 of each cell.
func lightness(m raster.RGB) []byte {
	out := make([]byte, m.W*m.H)
	for i := range out {
		p := m.Pix[3*i:][:3]
		out[i] = byte((int(p[0]) + 2*int(p[1]) + int(p[2]) + 2) / 4)
	}
	return out
}

// roughness returns how far lightness goes up and down in the 3 × 3 cells around each: glass is even, and
// so is ink, tissue is not.
func roughness(light []byte, w, h int) []byte {
	low, high := make([]byte, w), make([]byte, w)
	out := make([]byte, len(light))
	for y := range h {
		copy(low, light[y*w:])
		copy(high, light[y*w:])
		for _, k := range []int{y - 1, y + 1} {
			if k < 0 || k >= h {
				continue
			}
			for x, v := range light[k*w : (k+1)*w] {
				low[x], high[x] = min(low[x], v), max(high[x], v)
			}
		}
		for x := range w {
			a, b := max(x-1, 0), min(x+1, w-1)
			out[y*w+x] = max(high[a], high[x], high[b]) - min(low[a], low[x], low[b])
		}
	}
	return out
}

// Otsu's threshold is the one that splits a histogram into two classes with the least variance inside each (N.
// Otsu, A threshold selection method from gray-level histograms, 1979): values above it are the upper class.
func otsu(counts *[256]int) int {
	var n, sum float64
	for v, c := range counts {
		n += float64(c)
		sum += float64(v) * float64(c)
	}
	var below, belowSum, best float64
	first, last := 0, 0
	for v, c := range counts {
		below += float64(c)
		belowSum += float64(v) * float64(c)
		if below == 0 || below == n {
			continue
		}
		d := belowSum/below - (sum-belowSum)/(n-below)
		if between := below * (n - below) * d * d; between > best {
			best, first = between, v
			last = v
		} else if between == best {
			last = v // an empty valley: its middle
		}
	}
	return (first + last) / 2
}
