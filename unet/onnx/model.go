package onnx

import (
	"encoding/binary"
	"math"
	"slices"
)

// A Model is an ONNX file: a ModelProto.
type Model struct {
	IR       int64 // version of the format
	Producer string
	Opsets   []Opset
	Graph    *Graph
	Meta     []Entry // in the order of the file

	rest []byte // other fields, as they stand
}

// An Opset says which version of a domain's operators the nodes are of. The domain of ONNX' own is "".
type Opset struct {
	Domain  string
	Version int64
}

// An Entry is a key with its value.
type Entry struct{ Key, Value string }

// A Graph is what computes outputs from inputs: a GraphProto.
type Graph struct {
	Name    string
	Nodes   []*Node // in an order in which they can run
	Weights []*Tensor
	Inputs  []Value // without those that weights give
	Outputs []Value

	rest []byte // other fields: shapes of values between nodes, quantisation annotations, a description
}

// A Node is one operation: a NodeProto. An input or output that is left out has the name "".
type Node struct {
	Op, Domain, Name string
	Inputs, Outputs  []string
	Attributes       []Attribute

	rest []byte
}

// Kinds of attributes, as AttributeProto numbers them.
const (
	Float   = 1
	Int     = 2
	String  = 3
	TensorK = 4
	GraphK  = 5
	Floats  = 6
	Ints    = 7
	Strings = 8
)

// An Attribute is a constant of a node: an AttributeProto. Which field holds the value says Kind.
type Attribute struct {
	Name    string
	Kind    int64
	Float   float32
	Int     int64
	String  string
	Tensor  *Tensor
	Floats  []float32
	Ints    []int64
	Strings []string

	rest []byte // graphs, sparse tensors and whatever else there is
}

// Types of the elements of a tensor, as TensorProto numbers them.
const (
	Float32  = 1
	Uint8    = 2
	Int8     = 3
	Uint16   = 4
	Int16    = 5
	Int32    = 6
	Int64    = 7
	Text     = 8
	Bool     = 9
	Float16  = 10
	Float64  = 11
	Uint32   = 12
	Uint64   = 13
	BFloat16 = 16
)

// A Tensor is a constant: a TensorProto. Data holds the elements in little-endian order, whatever field of the
// file they stood in; it is nil for texts and for a tensor whose elements lie in another file.
type Tensor struct {
	Name     string
	Type     int64
	Dims     []int64
	Data     []byte
	External string // the file that holds the elements; "": this one

	offset    int64  // of the elements in that file
	elsewhere []byte // fields that tell of that file
	rest      []byte
}

// A Value is what stands in the file of an input or an output: a ValueInfoProto of a tensor.
type Value struct {
	Name string
	Type int64
	Dims []Dim
	// Ranked tells a scalar, without dimensions, from a tensor whose dimensions the file does not state.
	Ranked bool
	// Sequence says that the value is no tensor but a sequence, a map or something else.
	Sequence bool
}

// A Dim is the length of a tensor along an axis: N, or -1 where it is free, then with the name that equal ones share.
type Dim struct {
	N    int64
	Name string
}

// Opset returns the version of the operators of a domain, 0 if the file names none.
func (m *Model) Opset(domain string) int64 {
	for _, o := range m.Opsets {
		if o.Domain == domain || domain == "" && o.Domain == "ai.onnx" {
			return o.Version
		}
	}
	return 0
}

// Get returns the value of a key of the metadata, "" if there is none.
func (m *Model) Get(key string) string {
	for _, e := range m.Meta {
		if e.Key == key {
			return e.Value
		}
	}
	return ""
}

// Set gives a key of the metadata a value; an empty one removes it.
func (m *Model) Set(key, value string) {
	at := slices.IndexFunc(m.Meta, func(e Entry) bool { return e.Key == key })
	switch {
	case at >= 0 && value == "":
		m.Meta = slices.Delete(m.Meta, at, at+1)
	case at >= 0:
		m.Meta[at].Value = value
	case value != "":
		m.Meta = append(m.Meta, Entry{key, value})
	}
}

// Weight returns the constant of a name, nil if the graph has none.
func (g *Graph) Weight(name string) *Tensor {
	at := slices.IndexFunc(g.Weights, func(t *Tensor) bool { return t.Name == name })
	if at < 0 || name == "" {
		return nil
	}
	return g.Weights[at]
}

// Producers returns the node that gives each value.
func (g *Graph) Producers() map[string]*Node {
	all := map[string]*Node{}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			if out != "" {
				all[out] = n
			}
		}
	}
	return all
}

// Consumers returns the nodes that take each value, in the order of the graph, a node once for each time it does.
func (g *Graph) Consumers() map[string][]*Node {
	all := map[string][]*Node{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in != "" {
				all[in] = append(all[in], n)
			}
		}
	}
	return all
}

// Names returns all names of values that the graph uses, so that a new one can be told from them.
func (g *Graph) Names() map[string]bool {
	all := map[string]bool{}
	for _, n := range g.Nodes {
		for _, name := range n.Inputs {
			all[name] = true
		}
		for _, name := range n.Outputs {
			all[name] = true
		}
	}
	for _, t := range g.Weights {
		all[t.Name] = true
	}
	for _, v := range slices.Concat(g.Inputs, g.Outputs) {
		all[v.Name] = true
	}
	return all
}

// Part returns a model of the nodes and weights that some values need, with these as its outputs. It shares nodes and weights with m, which
// stays as it is.
func (m *Model) Part(outputs ...Value) *Model {
	part, graph := *m, *m.Graph
	graph.Outputs, graph.Weights = slices.Clone(outputs), slices.Clone(graph.Weights)
	var names []string
	for _, v := range outputs {
		names = append(names, v.Name)
	}
	graph.Keep(names...)
	part.Graph = &graph
	return &part
}

// Keep removes the nodes and weights that none of the named values needs, and the other outputs.
func (g *Graph) Keep(outputs ...string) {
	g.Outputs = slices.DeleteFunc(g.Outputs, func(v Value) bool { return !slices.Contains(outputs, v.Name) })
	needed := map[string]bool{}
	for _, name := range outputs {
		needed[name] = true
	}
	var kept []*Node
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(name string) bool { return needed[name] }) {
			kept = append(kept, n)
			for _, in := range n.Inputs {
				needed[in] = true
			}
			for _, in := range n.captured() {
				needed[in] = true
			}
		}
	}
	slices.Reverse(kept)
	g.Nodes = kept
	g.Weights = slices.DeleteFunc(g.Weights, func(t *Tensor) bool { return !needed[t.Name] })
}

// Forget drops what the file says of values between nodes, such as their types and shapes, which an edit may make wrong.
func (g *Graph) Forget() {
	var kept []byte
	_ = fields(g.rest, func(f field) error { // it was split before
		if f.id != 13 && f.id != 14 { // value_info, quantization_annotation
			kept = append(kept, f.whole...)
		}
		return nil
	})
	g.rest = kept
}

// Attribute returns an attribute by its name, nil if the node has none such.
func (n *Node) Attribute(name string) *Attribute {
	for i := range n.Attributes {
		if n.Attributes[i].Name == name {
			return &n.Attributes[i]
		}
	}
	return nil
}

// Int returns an attribute that is a whole number, or fallback.
func (n *Node) Int(name string, fallback int64) int64 {
	if a := n.Attribute(name); a != nil && a.Kind == Int {
		return a.Int
	}
	return fallback
}

// Ints returns an attribute that is a list of whole numbers, nil if there is none.
func (n *Node) Ints(name string) []int64 {
	if a := n.Attribute(name); a != nil && a.Kind == Ints {
		return a.Ints
	}
	return nil
}

// Text returns an attribute that is a text, or fallback.
func (n *Node) Text(name, fallback string) string {
	if a := n.Attribute(name); a != nil && a.Kind == String {
		return a.String
	}
	return fallback
}

// Float returns an attribute that is a number, or fallback.
func (n *Node) Float(name string, fallback float32) float32 {
	if a := n.Attribute(name); a != nil && a.Kind == Float {
		return a.Float
	}
	return fallback
}

// Input returns the name of an input, "" if it is left out.
func (n *Node) Input(i int) string {
	if i >= len(n.Inputs) {
		return ""
	}
	return n.Inputs[i]
}

// Len returns the number of elements that the dimensions name, -1 if that is no number a file can hold.
func (t *Tensor) Len() int {
	n := int64(1)
	for _, d := range t.Dims {
		if d < 0 || d > 0 && n > math.MaxInt32/d {
			return -1
		}
		n *= d
	}
	return int(n)
}

// Size returns the bytes of an element of a type, 0 for one that is not known.
func Size(kind int64) int {
	switch kind {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float32, Int32, Uint32:
		return 4
	case Int64, Uint64, Float64:
		return 8
	}
	return 0
}

// Whole reports whether the elements are there: as many as the dimensions say, in this file.
func (t *Tensor) Whole() bool {
	n, size := t.Len(), Size(t.Type)
	return t.External == "" && n >= 0 && size > 0 && len(t.Data) == n*size
}

// Float32s returns the elements of a tensor of float32, nil of any other.
func (t *Tensor) Float32s() []float32 {
	if t == nil || t.Type != Float32 || !t.Whole() {
		return nil
	}
	out := make([]float32, t.Len())
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return out
}

// Finite reports whether a tensor of float32 holds neither infinities nor what is no number. Any other holds none.
func (t *Tensor) Finite() bool {
	if t.Type != Float32 {
		return true
	}
	const exponent = 0x7f800000
	for data := t.Data; len(data) >= 4; data = data[4:] {
		if binary.LittleEndian.Uint32(data)&exponent == exponent {
			return false
		}
	}
	return true
}

// Int64s returns the elements of a tensor of int64 or int32, nil of any other.
func (t *Tensor) Int64s() []int64 {
	if t == nil || !t.Whole() || t.Type != Int64 && t.Type != Int32 {
		return nil
	}
	out := make([]int64, t.Len())
	for i := range out {
		if t.Type == Int32 {
			out[i] = int64(int32(binary.LittleEndian.Uint32(t.Data[4*i:])))
		} else {
			out[i] = int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
		}
	}
	return out
}
