package ops

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An Ops makes operations for one graph. The graph must run on one goroutine at a time.
type Ops struct {
	Threads int     // that compute an operation; 0: 1
	Backend Backend // nil: the fastest there is
	Arena   *Arena  // what a graph without gradients computes in; nil: each operation keeps its own output

	// Stop, when set, is asked before each operation of an arena; an error of it ends the run.
	Stop func() error

	scratch [3][]float32 // room for rearranged operands, used by one operation at a time
}

func (o *Ops) backend() Backend {
	if o.Backend == nil {
		o.Backend = fastest()
	}
	return o.Backend
}

// room returns n floats with anything in them, which are the caller's until the operation's end.
func (o *Ops) room(slot, n int) []float32 {
	if cap(o.scratch[slot]) < n {
		o.scratch[slot] = make([]float32, n)
	}
	return o.scratch[slot][:n]
}

// An op is an operation with what Gorgonia asks of one. It keeps its output between runs, as Gorgonia frees
// everything at the end of each.
type op struct {
	name  string
	ranks []int // of the inputs
	shape tensor.Shape
	do    func(out []float32, in [][]float32)
	diff  func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) // nil: none
	wrt   []bool                                                                    // inputs that have a gradient
	out   *tensor.Dense
	loss  *gorgonia.F32 // instead of out, for a scalar

	owner *Ops
	room  [3]int // floats of scratch that do takes, by slot; counted in an arena only

	arena     *Arena
	index     int // in the arena's order
	last      int // index of the last operation that reads out
	place     int // of out in the arena
	roomPlace [3]int
}

var _ gorgonia.SDOp = (*op)(nil)

// apply adds an operation to the graph of its inputs.
func (o *op) apply(in ...*gorgonia.Node) (*gorgonia.Node, error) {
	for _, n := range in {
		o.ranks = append(o.ranks, n.Dims())
		o.name += fmt.Sprint(n.Shape())
	}
	if o.owner != nil && o.owner.Arena != nil {
		var reads []*op
		for _, n := range in {
			if r, ok := n.Op().(*op); ok {
				reads = append(reads, r)
			}
		}
		o.owner.Arena.add(o, reads)
	}
	return gorgonia.ApplyOp(o, in...)
}

func (o *op) Arity() int { return len(o.ranks) }

func (o *op) Type() hm.Type {
	a := hm.TypeVariable('a')
	var types []hm.Type
	for _, rank := range o.ranks {
		types = append(types, gorgonia.TensorType{Dims: rank, Of: a})
	}
	if o.shape.IsScalar() {
		return hm.NewFnType(append(types, a)...)
	}
	return hm.NewFnType(append(types, gorgonia.TensorType{Dims: o.shape.Dims(), Of: a})...)
}

func (o *op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.shape.Clone(), nil }

func (o *op) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	in := make([][]float32, len(values))
	for i, v := range values {
		dense, ok := v.(*tensor.Dense)
		if !ok {
			return nil, fmt.Errorf("%s: input %d is a %T", o.name, i, v)
		}
		if in[i], ok = dense.Data().([]float32); !ok || dense.RequiresIterator() {
			return nil, fmt.Errorf("%s: input %d is not a whole float32 tensor", o.name, i)
		}
	}
	if o.shape.IsScalar() {
		if o.loss == nil {
			o.loss = gorgonia.NewF32(0)
		}
		var out [1]float32
		o.do(out[:], in)
		*o.loss = gorgonia.F32(out[0])
		return o.loss, nil
	}
	if o.arena != nil {
		if err := o.prepare(); err != nil {
			return nil, err
		}
	}
	if o.out == nil {
		o.out = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(o.shape.Clone()...))
	}
	o.do(o.out.Data().([]float32), in)
	return o.out, nil
}

// prepare asks whether to go on, and takes the operation's places in the arena.
func (o *op) prepare() error {
	if o.owner.Stop != nil {
		if err := o.owner.Stop(); err != nil {
			return err
		}
	}
	return o.arena.begin(&o.owner.scratch, o)
}

func (o *op) ReturnsPtr() bool     { return true }
func (o *op) CallsExtern() bool    { return false }
func (o *op) OverwritesInput() int { return -1 }
func (o *op) String() string       { return o.name }
func (o *op) WriteHash(h hash.Hash) {
	_, _ = fmt.Fprintf(h, "%s%p", o.name, o) // no two are the same: each has its own output
}

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *op) DiffWRT(int) []bool {
	if o.wrt != nil {
		return o.wrt
	}
	return make([]bool, len(o.ranks))
}

func (o *op) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.diff == nil {
		return nil, fmt.Errorf("%s has no gradient", o.name)
	}
	return o.diff(in, out, grad)
}
