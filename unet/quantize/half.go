package quantize

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"microtome/unet/onnx"
)

// Half returns a network in microtome's form that computes on halves, floats of 16 bits, with half of the memory. Graphics processors are twice as fast
// with them; processors are not. The image, the logits and the labels stay what they were.
func Half(m *onnx.Model) (*onnx.Model, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	m, err := onnx.Decode(m.Encode())
	if err != nil {
		return nil, err
	}
	g := m.Graph
	g.Forget()
	foldNormalisations(g)
	h := halver{g: g, names: g.Names(), halved: map[string]string{}, wide: wideAfter(g)}
	g.Nodes, h.from = nil, g.Nodes
	for _, n := range h.from {
		if err := h.node(n); err != nil {
			return nil, err
		}
	}
	var outputs []string
	for _, o := range g.Outputs {
		outputs = append(outputs, o.Name)
	}
	g.Keep(outputs...)
	return m, nil
}

// A halver rewrites a graph node by node.
type halver struct {
	g      *onnx.Graph
	from   []*onnx.Node
	names  map[string]bool
	halved map[string]string // values as halves, by their names
	wide   map[string]bool   // values that stay floats, which follow the logits
}

// wideAfter returns the logits and all that is computed from them.
func wideAfter(g *onnx.Graph) map[string]bool {
	wide := map[string]bool{}
	for _, o := range g.Outputs {
		if o.Type == onnx.Float32 {
			wide[o.Name] = true
		}
	}
	for _, n := range g.Nodes {
		if slices.ContainsFunc(n.Inputs, func(in string) bool { return wide[in] }) {
			for _, out := range n.Outputs {
				wide[out] = true
			}
		}
	}
	return wide
}

// node adds a node. From the first convolution on values are halves; what gives the logits is turned back.
func (h *halver) node(n *onnx.Node) error {
	if n.Op == "Constant" && n.Domain == "" {
		h.g.Nodes = append(h.g.Nodes, n)
		return nil
	}
	isHalf := slices.ContainsFunc(n.Inputs, func(in string) bool { return h.halved[in] != "" })
	if h.wide[n.Outputs[0]] && !slices.ContainsFunc(n.Inputs, func(in string) bool { return h.wide[in] }) && isHalf {
		// The node that gives the logits: it takes floats again.
		for i, in := range n.Inputs {
			if half := h.halved[in]; half != "" {
				n.Inputs[i] = h.cast(half, in+".float", onnx.Float32)
			}
		}
		h.g.Nodes = append(h.g.Nodes, n)
		return nil
	}
	if n.Op != "Conv" && n.Op != "ConvTranspose" && !isHalf {
		h.g.Nodes = append(h.g.Nodes, n)
		return nil
	}
	for i, in := range n.Inputs {
		if in == "" || n.Op == "Resize" && i > 0 || n.Op == "Upsample" && i > 0 {
			continue // scales are floats
		}
		t := h.g.Weight(in)
		switch {
		case h.halved[in] != "":
			n.Inputs[i] = h.halved[in]
		case t != nil && t.Type == onnx.Float32:
			name, err := h.weight(t)
			if err != nil {
				return err
			}
			n.Inputs[i] = name
		case t == nil:
			h.halved[in] = h.cast(in, in+".half", onnx.Float16)
			n.Inputs[i] = h.halved[in]
		}
	}
	if a := n.Attribute("to"); n.Op == "Cast" && a != nil && a.Int == onnx.Float32 {
		a.Int = onnx.Float16
	}
	if !slices.Contains([]string{"ArgMax", "ArgMin", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Shape", "Size"}, n.Op) &&
		(n.Op != "Cast" || n.Int("to", 0) == onnx.Float16) {
		for _, out := range n.Outputs {
			h.halved[out] = out
		}
	}
	h.g.Nodes = append(h.g.Nodes, n)
	return nil
}

func (h *halver) cast(from, to string, kind int) string {
	to = fresh(h.names, to)
	h.g.Nodes = append(h.g.Nodes, &onnx.Node{Op: "Cast", Name: to, Inputs: []string{from}, Outputs: []string{to}, Attributes: []onnx.Attribute{onnx.Attr("to", kind)}})
	return to
}

// weight adds a constant as halves.
func (h *halver) weight(t *onnx.Tensor) (string, error) {
	if have := h.halved[t.Name]; have != "" {
		return have, nil
	}
	values := t.Float32s()
	if values == nil {
		return "", errors.New("the model keeps its weights in another file: export it as a single file")
	}
	data := make([]byte, 0, 2*len(values))
	for _, v := range values {
		half := halfOf(v)
		if half&0x7fff >= 0x7c00 {
			return "", fmt.Errorf("the weight %g of %s is none that a half can hold", v, t.Name)
		}
		data = binary.LittleEndian.AppendUint16(data, half)
	}
	name := fresh(h.names, t.Name+".half")
	dims := make([]int, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = int(d)
	}
	if len(dims) == 0 {
		dims = nil
	}
	h.g.Weights = append(h.g.Weights, onnx.NewTensor(name, onnx.Float16, dims, data))
	h.halved[t.Name] = name
	return name, nil
}

// halfOf rounds a float to the nearest of 16 bits, of two as near the even one; IEEE 754, binary16.
func halfOf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	a := math.Abs(float64(v))
	switch {
	case v != v:
		return sign | 0x7e00
	case a >= 65520: // half way to what would be the next
		return sign | 0x7c00
	case a < 1.0/(1<<14): // no leading 1: steps of 2⁻²⁴
		return sign | uint16(math.RoundToEven(a*(1<<24)))
	}
	fraction, exponent := math.Frexp(a) // in [0.5, 1)
	steps := uint16(math.RoundToEven(fraction * 2048))
	// A fraction that rounds up to 1 carries into the exponent.
	return sign | (uint16(exponent+13)<<10 + steps)
}
