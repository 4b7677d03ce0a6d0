package unet

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"microtome/unet/network"
	"microtome/unet/onnx"
)

// KeyArchitecture is the key of the network.Shape, as JSON, in the metadata.
const KeyArchitecture = "microtome.architecture"

// Export writes a network as an ONNX model in microtome's form, which ONNX Runtime and the Gorgonia engine
// run alike. The labels follow the card's threshold; the logits are the network's. The same arguments always
// give the same bytes.
func Export(s network.Shape, p network.Params, c Card) ([]byte, error) {
	if err := s.Check(p); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	a := architectureOf(s, c)
	a.weights = func(name string, _ []int) (weights, biases []float32) { return onnxWeights(p, name) }
	return a.ONNX()
}

func architectureOf(s network.Shape, c Card) Architecture {
	return Architecture{Depth: s.Depth, Base: s.Base, Channels: s.Channels, Classes: s.Classes, Same: s.Same, Card: c}
}

// Import reads back what [Export] wrote; also a network that [Architecture.ONNX] wrote, if it upsamples by
// transposed convolution.
func Import(data []byte) (network.Shape, network.Params, Card, error) {
	m, err := onnx.Decode(data)
	if err != nil {
		return network.Shape{}, nil, Card{}, err
	}
	return trained(m)
}

var errNotTrained = errors.New("the file is not as microtome's training wrote it")

// trained reads a model of our own.
func trained(m *onnx.Model) (s network.Shape, p network.Params, c Card, err error) {
	text := m.Get(KeyArchitecture)
	if text == "" {
		return s, nil, c, errNotTrained
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, nil, c, fmt.Errorf("metadata %s: %s", KeyArchitecture, firstLine(err))
	}
	if err := s.Validate(); err != nil {
		return s, nil, c, fmt.Errorf("metadata %s: %s", KeyArchitecture, firstLine(err))
	}
	if c, err = readCard(m); err != nil {
		return s, nil, c, err
	}
	p, err = readParams(m.Graph, s)
	if err != nil {
		return s, nil, c, err
	}
	// The weights are there; now the graph must be the one that was written around them.
	again, err := Export(s, p, c)
	if err != nil {
		return s, nil, c, err
	}
	own, err := onnx.Decode(again)
	if err != nil {
		return s, nil, c, err
	}
	if !reflect.DeepEqual(m.Graph, own.Graph) {
		return s, nil, c, errNotTrained
	}
	return s, p, c, nil
}

// readParams reads the weights of a network from the file's.
func readParams(g *onnx.Graph, s network.Shape) (network.Params, error) {
	p := s.Layout() // the file says what it holds, so nothing is made before that is checked
	for i := range p {
		n := 1
		for _, d := range p[i].Shape {
			n *= d
		}
		values := g.Weight(p[i].Name).Float32s()
		if len(values) != n {
			return nil, errNotTrained
		}
		if up(p[i]) {
			values = rearranged(values, p[i].Shape[1], p[i].Shape[0])
		}
		p[i].Value = values
	}
	return p, nil
}

// onnxWeights returns the weights and biases of a convolution as ONNX wants them.
func onnxWeights(p network.Params, name string) (weights, biases []float32) {
	for _, t := range p {
		switch t.Name {
		case name + ".weight":
			weights = t.Value
			if up(t) {
				weights = rearranged(t.Value, t.Shape[0], t.Shape[1])
			}
		case name + ".bias":
			biases = t.Value
		}
	}
	return weights, biases
}

// up reports whether t holds the weights of an up-convolution: (4 · out) × in × 1 × 1 in a network, with row
// 4·k + 2·dy + dx for channel k, and in × out × 2 × 2 in ONNX.
func up(t network.Param) bool {
	return strings.HasPrefix(t.Name, "up") && len(t.Shape) == 4
}

// rearranged returns a matrix of rows × columns with rows and columns exchanged.
func rearranged(v []float32, rows, columns int) []float32 {
	out := make([]float32, len(v))
	for r := range rows {
		for c := range columns {
			out[c*rows+r] = v[r*columns+c]
		}
	}
	return out
}
