package field_test

import (
	"fmt"
	"testing"

	"microtome/unet"
	"microtome/unet/field"
	"microtome/unet/onnx"
)

// decoded returns a model that must be whole.
func decoded(t testing.TB, data []byte) *onnx.Model {
	t.Helper()
	m, err := onnx.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The analysis finds what Architecture.Geometry computes from depth and kind: of the graph as it is written, whose output is cut to the
// core, and of the network within, whose output is not.
func TestArchitectures(t *testing.T) {
	for _, same := range []bool{false, true} {
		for _, up := range []unet.Upsampling{unet.Transposed, unet.Nearest, unet.Linear} {
			for depth := 1; depth <= 5; depth++ {
				t.Run(fmt.Sprintf("same=%t up=%d depth=%d", same, up, depth), func(t *testing.T) {
					a := unet.Architecture{Depth: depth, Base: 2, Classes: 2, Same: same, Up: up}
					data, err := a.ONNX()
					if err != nil {
						t.Fatal(err)
					}
					want := a.Geometry()
					m := decoded(t, data)
					for _, output := range []string{"labels", "logits", head(m)} {
						m.Graph.Outputs = append(m.Graph.Outputs[:2:2], onnx.Value{Name: head(m)})
						got, err := field.Analyse(m, "", output)
						if err != nil {
							t.Fatal(err)
						}
						if g := (unet.Geometry{Stride: got.Stride, Before: got.Before, After: got.After}); g != want || got.Unbounded != "" {
							t.Errorf("%s: %+v, unbounded %q, want %+v", output, g, got.Unbounded, want)
						}
					}
				})
			}
		}
	}
}

// head returns the name of what the last convolution gives.
func head(m *onnx.Model) string {
	name := ""
	for _, n := range m.Graph.Nodes {
		if n.Op == "Conv" {
			name = n.Outputs[0]
		}
	}
	return name
}
