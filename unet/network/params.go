package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// A Param is a tensor of weights or biases.
type Param struct {
	Name  string
	Shape []int
	Value []float32
}

// count returns how many values the shape holds.
func (p Param) count() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Params are the weights of a network, in the order of [Build].
type Params []Param

// Params returns the tensors that a network of this shape has, all zero.
func (s Shape) Params() Params {
	all := s.Layout()
	for i := range all {
		all[i].Value = make([]float32, all[i].count())
	}
	return all
}

// Layout is Params without the values.
func (s Shape) Layout() Params {
	var all Params
	add := func(name string, out, in, side, biases int) {
		all = append(all,
			Param{Name: name + ".weight", Shape: []int{out, in, side, side}},
			Param{Name: name + ".bias", Shape: []int{biases}})
	}
	level := func(name string, in, out int) {
		add(name+".conv1", out, in, 3, out)
		add(name+".conv2", out, out, 3, out)
	}
	in, out := s.Channels, s.Base
	for l := range s.Depth {
		level(fmt.Sprintf("down%d", l), in, out)
		in, out = out, 2*out
	}
	level("bottom", in, out)
	for l := s.Depth - 1; l >= 0; l-- {
		add(fmt.Sprintf("up%d", l), 2*out, out, 1, out/2) // four pixels of out/2 channels
		out /= 2
		level(fmt.Sprintf("join%d", l), 2*out, out)
	}
	add("head", s.Classes, out, 1, s.Classes)
	return all
}

// Init returns weights drawn from a Gaussian with a standard deviation of √(2/N), where N is the number of values that
// one output sums (He et al. 2015, as the paper asks), and biases of zero.
func (s Shape) Init(seed uint64) Params {
	r := rand.New(rand.NewPCG(seed, 2015))
	all := s.Params()
	for _, p := range all {
		if len(p.Shape) == 1 {
			continue
		}
		deviation := math.Sqrt(2 / float64(p.Shape[1]*p.Shape[2]*p.Shape[3]))
		for i := range p.Value {
			p.Value[i] = float32(r.NormFloat64() * deviation)
		}
	}
	return all
}

// Count returns how many numbers the network has.
func (p Params) Count() int {
	n := 0
	for _, t := range p {
		n += len(t.Value)
	}
	return n
}

// Check reports why p are not the weights of a network of this shape.
func (s Shape) Check(p Params) error {
	if err := s.Validate(); err != nil {
		return err
	}
	want := s.Layout()
	if len(p) != len(want) {
		return fmt.Errorf("%d tensors of weights: the network has %d", len(p), len(want))
	}
	for i, t := range p {
		if t.Name != want[i].Name || !slices.Equal(t.Shape, want[i].Shape) || len(t.Value) != t.count() {
			return fmt.Errorf("weights %d are %s, %v: the network has %s, %v", i, t.Name, t.Shape, want[i].Name, want[i].Shape)
		}
		for _, v := range t.Value {
			if v-v != 0 { // infinite, or not a number
				return fmt.Errorf("%s has values that are not finite: train with a lower learning rate", t.Name)
			}
		}
	}
	return nil
}
