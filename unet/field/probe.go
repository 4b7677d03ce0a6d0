package field

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
)

// A Run computes what a network gives for one image: in holds Channels planes of h rows of w numbers, out OutChannels planes of the rows
// that the output has.
type Run func(w, h int, in []float32) (out []float32, err error)

// Probed is what a running network shows of itself.
type Probed struct {
	// Left, Top, Right and Bottom are how far around a core lie the farthest pixels that change it, px.
	Left, Top, Right, Bottom int
	// Differ counts values that two tiles give differently where their cores overlap: none where no seams are.
	Differ, Compared int
	// Deviation is the largest of these differences, as a part of the largest value.
	Deviation float64
}

// Tight reports whether a smaller margin would not do: within a stride of its outer edge lie pixels that change the core.
func (a *Analysis) Tight(p *Probed) bool {
	return max(a.Before-p.Left, a.Before-p.Top, a.After-p.Right, a.After-p.Bottom) < a.Stride
}

// loud is what pixels are changed by. It is large, since what a corner of a deep network's field adds to a pixel is 10⁻¹⁴ of it, which the
// other summands would swallow. It is not infinite, and no NaN: of those an interpolation would make NaN where its weight is 0, a ReLU 0
// and a pooling either.
const loud = 1e12

// Probe measures the field of a network around a core of an edge, a multiple of Stride and at least two, in two ways. It shifts a tile by half
// a core over noise of numbers from 0 to 1, and compares what the two tiles give where their cores overlap. And it searches, from each side,
// for the pixels nearest to the tile's edge that change the core when all from the edge to them are changed.
//
// Values from which a change cannot be told are a network's own doing: one that takes bytes, or whose units are dead, shows less than its field.
func (a *Analysis) Probe(core int, run Run, seed uint64) (*Probed, error) {
	if core < 2*a.Stride || core%a.Stride != 0 {
		return nil, fmt.Errorf("a core of %d pixels to probe: it must be a multiple of %d, and two at least", core, a.Stride)
	}
	b := &probe{Analysis: a, core: core, edge: a.Before + core + a.After, run: run, r: rand.New(rand.NewPCG(seed, 1))}
	p := &Probed{}
	if err := b.shift(p); err != nil {
		return nil, err
	}
	return p, b.reach(p)
}

type probe struct {
	*Analysis
	core, edge int
	run        Run
	r          *rand.Rand
}

// noise returns planes of edge × edge numbers from 0 to 1.
func (b *probe) noise(edge int) []float32 {
	p := make([]float32, b.Channels*edge*edge)
	for i := range p {
		p[i] = b.r.Float32()
	}
	return p
}

// cores runs the network on a tile and returns the core's values: planes of core × core.
func (b *probe) cores(tile []float32) ([]float32, error) {
	out, err := b.run(b.edge, b.edge, tile)
	if err != nil {
		return nil, err
	}
	rows := int(math.Sqrt(float64(len(out) / b.OutChannels)))
	first := b.Before - b.Origin
	if rows*rows*b.OutChannels != len(out) || rows < first+b.core {
		return nil, fmt.Errorf("the network gives %d values, which is not %d planes of %d × %d pixels or more", len(out), b.OutChannels, first+b.core, first+b.core)
	}
	var all []float32
	for c := range b.OutChannels {
		for y := range b.core {
			row := (c*rows+first+y)*rows + first
			all = append(all, out[row:row+b.core]...)
		}
	}
	return all, nil
}

// shift compares two tiles half a core apart.
func (b *probe) shift(p *Probed) error {
	by := b.core / b.Stride / 2 * b.Stride
	wide := b.edge + by
	image := b.noise(wide)
	var cores [2][]float32
	for k := range cores {
		tile := make([]float32, 0, b.Channels*b.edge*b.edge)
		for c := range b.Channels {
			for y := range b.edge {
				row := (c*wide+y+k*by)*wide + k*by
				tile = append(tile, image[row:row+b.edge]...)
			}
		}
		var err error
		if cores[k], err = b.cores(tile); err != nil {
			return err
		}
	}
	largest := 0.0
	for c := range b.OutChannels {
		for y := by; y < b.core; y++ {
			for x := by; x < b.core; x++ {
				u, v := cores[0][(c*b.core+y)*b.core+x], cores[1][(c*b.core+y-by)*b.core+x-by]
				p.Compared++
				largest = max(largest, math.Abs(float64(u)), math.Abs(float64(v)))
				if math.Float32bits(u) != math.Float32bits(v) {
					p.Differ++
					p.Deviation = max(p.Deviation, math.Abs(float64(u-v)))
				}
			}
		}
	}
	if math.IsNaN(largest) || math.IsInf(largest, 0) {
		return errors.New("the network gives values that are no numbers")
	}
	if largest > 0 {
		p.Deviation /= largest
	}
	return nil
}

// reach searches from each side.
func (b *probe) reach(p *Probed) error {
	tile := b.noise(b.edge)
	quiet, err := b.cores(tile)
	if err != nil {
		return err
	}
	for _, side := range []struct {
		to     *int
		margin int
		depth  func(x, y int) int // of a pixel, from the side
	}{
		{&p.Left, b.Before, func(x, _ int) int { return x }},
		{&p.Top, b.Before, func(_, y int) int { return y }},
		{&p.Right, b.After, func(x, _ int) int { return b.edge - 1 - x }},
		{&p.Bottom, b.After, func(_, y int) int { return b.edge - 1 - y }},
	} {
		*side.to = side.margin - sort.Search(side.margin, func(depth int) bool { // whether pixels to this depth change the core
			other := make([]float32, len(tile))
			for i, v := range tile {
				if side.depth(i%b.edge, i/b.edge%b.edge) <= depth {
					v += loud * (1 + v)
				}
				other[i] = v
			}
			noisy, failed := b.cores(other)
			if failed != nil {
				err = failed
				return true
			}
			for i := range noisy {
				if math.Float32bits(noisy[i]) != math.Float32bits(quiet[i]) {
					return true
				}
			}
			return false
		})
	}
	return err
}
