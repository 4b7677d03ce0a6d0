package network

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// A Param is a tensor of weights or biases.
type Param struct {
	Name  string
	Shape []int
	Value []float32
}

// Params are the weights of a network, in the order of [Build].
type Params []Param

// Params returns the tensors that a network of this shape has, all zero.
func (s Shape) Params() Params {
	var all Params
	add := func(name string, out, in, side, biases int) {
		all = append(all,
			Param{name + ".weight", []int{out, in, side, side}, make([]float32, out*in*side*side)},
			Param{name + ".bias", []int{biases}, make([]float32, biases)})
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
