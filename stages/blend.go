package stages

import (
	"context"
	"math"

	"microtome/slide"
	"microtome/unet"
)

const (
	// blendSigma is the standard deviation of the weights, as a share of a tile's edge.
	blendSigma = 1.0 / 8
	// blendFloor is the least weight along an axis: where only the rim of a tile reaches, it decides alone.
	blendFloor = 1e-3
)

// A Blend joins the tiles of a network that no margin makes seam-free: they overlap, and the probabilities of a
// pixel are the mean of those that its tiles give it. A tile weighs as a Gaussian around its centre (sigma an
// eighth of its edge, never less than a thousandth of the peak, along each axis), so its rim, which knows
// least, hardly counts, and what seams there are run out smoothly.
//
// A tile is its core grown by the overlap to the right and below. Going from the left and from the top, a core is
// decided when its own tile has come: the tiles before it left behind what they say of it. What is kept is
// therefore a strip to the right of the last tile, and a band below the rows above, as wide as the region and
// as high as the overlap. Sums are float32, in the order of the tiles, so that they do not depend on the workers.
type Blend struct {
	model         unet.Engine
	spec          unet.Spec
	core, overlap int
	weight        []float32 // of a pixel along an axis of the tile
	weights       []float32 // of a pixel along an axis of a core that another tile comes before, added up
	min           [2]int    // of the region
	width         int       // of the band, px
	band, strip   []float32 // sums of weighted probabilities: class × overlap × width, class × tile × overlap
}

// NewBlend returns a Blend for a grid in which tiles come row by row, in one panel, and whose After has room
// for the overlap, which is at most a core unless there is one tile only.
func NewBlend(g slide.Grid, overlap int, m unet.Engine) *Blend {
	s := m.Spec()
	b := &Blend{model: m, spec: s, core: g.Core, overlap: overlap, min: [2]int{g.Region.Min.X, g.Region.Min.Y}}
	b.width = (g.Region.Dx() + g.Core - 1) / g.Core * g.Core
	b.band = make([]float32, s.Logits*overlap*b.width)
	b.strip = make([]float32, s.Logits*overlap*b.tile())
	b.weight = make([]float32, b.tile())
	for i := range b.weight {
		z := (float64(i) - float64(b.tile()-1)/2) / (blendSigma * float64(b.tile()))
		b.weight[i] = float32(math.Max(math.Exp(-z*z/2), blendFloor))
	}
	b.weights = append([]float32(nil), b.weight[:g.Core]...)
	add(b.weights, b.weight[g.Core:][:min(overlap, g.Core)])
	return b
}

// BlendBytes returns what a Blend takes, beside the tiles, for a region of a width in px.
func BlendBytes(width, core, overlap int, s unet.Spec) int64 {
	columns := (width + core - 1) / core * core
	return 4 * int64(s.Logits) * int64(overlap) * int64(columns+core+overlap)
}

// tile returns the edge of what the network gives of a tile, px.
func (b *Blend) tile() int { return b.core + b.overlap }

// Probs returns how many probabilities a tile has.
func (b *Blend) Probs() int { return b.spec.Logits * b.tile() * b.tile() }

// Infer gives the weighted probabilities of a patch. It may run with several workers.
func (b *Blend) Infer(ctx context.Context, p Patch) (Mask, error) {
	if err := b.model.Logits(ctx, b.tile(), b.tile(), p.Pix, p.Probs); err != nil {
		p.Release()
		return Mask{}, err
	}
	b.spec.Probabilities(p.Probs)
	for i, rest := 0, p.Probs; len(rest) > 0; i++ {
		down := b.weight[i%b.tile()] // of row i of all classes
		for x, across := range b.weight {
			rest[x] *= down * across
		}
		rest = rest[b.tile():]
	}
	return Mask(p), nil
}

// Add takes consecutive tiles and sets the labels of their cores. Run it with one worker.
func (b *Blend) Add(_ context.Context, ms Masks) (Masks, error) {
	for _, m := range ms {
		x, y := m.Tile.Core.Min.X-b.min[0], m.Tile.Core.Min.Y-b.min[1]
		b.join(m.Probs, x, y)
		b.leave(m.Probs, x)
		b.label(m, x > 0, y > 0)
	}
	return ms, nil
}

// join adds what the tiles before left for the tile at x, y.
func (b *Blend) join(sums []float32, x, y int) {
	n, o := b.tile(), b.overlap
	for c := range b.spec.Logits {
		plane := sums[c*n*n:][:n*n]
		for row := 0; x > 0 && row < n; row++ {
			add(plane[row*n:], b.strip[(c*n+row)*o:][:o])
		}
		for row := 0; y > 0 && row < o; row++ {
			add(plane[row*n:], b.band[(c*o+row)*b.width+x:][:b.core])
		}
	}
}

func add(to, from []float32) {
	to = to[:len(from)]
	for i, v := range from {
		to[i] += v
	}
}

// leave keeps the sums that later tiles add to: right of the core in the strip, below it in the band.
func (b *Blend) leave(sums []float32, x int) {
	n, o := b.tile(), b.overlap
	for c := range b.spec.Logits {
		plane := sums[c*n*n:][:n*n]
		for row := range n {
			copy(b.strip[(c*n+row)*o:][:o], plane[row*n+b.core:])
		}
		for row := range o {
			copy(b.band[(c*o+row)*b.width+x:][:b.core], plane[(b.core+row)*n:])
		}
	}
}

// label divides the sums of a core by the weights that went into them and chooses its labels. left and above say
// whether there are tiles on these sides. It uses up the sums.
func (b *Blend) label(m Mask, left, above bool) {
	n, area := b.tile(), b.core*b.core
	across, down := b.weight, b.weight
	if left {
		across = b.weights
	}
	if above {
		down = b.weights
	}
	for c := range b.spec.Logits {
		for row := range b.core {
			to, from := m.Probs[c*area+row*b.core:][:b.core], m.Probs[(c*n+row)*n:]
			for x := range to { // to lies before from: nothing is overwritten that is still to be read
				to[x] = from[x] / (down[row] * across[x])
			}
		}
	}
	b.spec.Choose(m.Probs[:b.spec.Logits*area], m.Labels)
}
