package quantize

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"microtome/unet"
	"microtome/unet/onnx"
)

// A Tile is a square image as a model takes it: the halo of a core, edge × edge pixels of three bytes, red, green and blue.
type Tile []byte

func (t Tile) edge() int { return int(math.Sqrt(float64(len(t) / 3))) }

// label runs a model on a tile.
func (t Tile) label(ctx context.Context, m unet.Model) ([]byte, error) {
	g := m.Spec().Geometry
	core := t.edge() - g.Before - g.After
	if len(t) != 3*t.edge()*t.edge() || core < 1 {
		return nil, fmt.Errorf("a tile of %d bytes is no square that the model takes", len(t))
	}
	labels := make([]byte, core*core)
	return labels, m.Predict(ctx, 1, t, labels)
}

// samples is how many values of each tile are kept of each value of the network, at most.
const samples = 1 << 16

// A sample is what a value of the network took on tiles.
type sample struct {
	all    Range
	sorted []float32 // some of it
}

// points returns the values whose ranges matter: those that convolutions take or give.
func points(g *onnx.Graph) []string {
	var all []string
	consumers, producers := g.Consumers(), g.Producers()
	add := func(name string) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	var origins func(name string)
	origins = func(name string) {
		n := producers[name]
		if n == nil {
			return
		}
		if moves(g, n) {
			for _, in := range n.Inputs {
				if g.Weight(in) == nil && in != "" {
					origins(in)
				}
			}
			return
		}
		add(name)
	}
	for _, n := range g.Nodes {
		if n.Op == "Conv" {
			origins(n.Input(0))
			add(activated(g, consumers, n.Outputs[0]))
		}
	}
	return all
}

// calibrate runs the network on tiles and collects what its values take.
func calibrate(ctx context.Context, m *onnx.Model, library string, tiles []Tile, next func(string)) (seen map[string]*sample, err error) {
	names := points(m.Graph)
	p, err := unet.OpenProbe(m, library, names...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	seen = map[string]*sample{}
	for i, t := range tiles {
		next(fmt.Sprintf("values on tile %d", i+1))
		err := p.Run(ctx, t.edge(), t.edge(), t, func(k int, v []float32) {
			s := seen[names[k]]
			if s == nil {
				s = &sample{all: Range{v[0], v[0]}}
				seen[names[k]] = s
			}
			s.add(v, i)
		})
		if err != nil {
			return nil, fmt.Errorf("calibration tile %d: %w", i+1, err)
		}
	}
	for name, s := range seen {
		slices.Sort(s.sorted)
		if math.IsInf(float64(s.all.Low), 0) || math.IsInf(float64(s.all.High), 0) || s.all.Low != s.all.Low || s.all.High != s.all.High {
			return nil, fmt.Errorf("the model gives %g to %g as %s, which no bytes can hold", s.all.Low, s.all.High, name)
		}
	}
	return seen, nil
}

// add adds what a value is on a tile; which of it is kept differs between tiles.
func (s *sample) add(v []float32, tile int) {
	low, high := s.all.Low, s.all.High
	for _, x := range v {
		low, high = min(low, x), max(high, x)
	}
	s.all = Range{low, high}
	step := len(v)/samples | 1 // odd: not a column of the image
	for at := tile % step; at < len(v); at += step {
		s.sorted = append(s.sorted, v[at])
	}
}

// within returns the range that holds a share of the values, as much of the rest below as above; all of them for 1.
func (s *sample) within(share float64) Range {
	if share == 1 {
		return s.all
	}
	cut := int(float64(len(s.sorted)) * (1 - share) / 2)
	return Range{s.sorted[cut], s.sorted[len(s.sorted)-1-cut]}
}
