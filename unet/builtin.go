package unet

import (
	_ "embed"
	"maps"
	"slices"

	"microtome/unet/onnx"
)

// nuclei is the model that docs/nuclei tells of, as microtome train wrote it.
//
//go:embed nuclei.onnx
var nuclei []byte

// builtins makes the models that are part of microtome.
var builtins = map[string]func() ([]byte, error){
	"haematoxylin": func() ([]byte, error) { return haematoxylin().ONNX() },
	"nuclei":       func() ([]byte, error) { return nuclei, nil },
	"passthrough":  passthrough,
}

// Builtin returns the names of the models that are part of microtome.
func Builtin() []string { return slices.Sorted(maps.Keys(builtins)) }

// passthroughThreshold is the green value below which passthrough says tissue.
const passthroughThreshold = 200

// passthrough returns a model of 1×1 pixels: label 1 where green is below a threshold. It costs next
// to nothing, for measuring all the rest. Floats are compared: ONNX Runtime compares bytes at half the speed.
func passthrough() ([]byte, error) {
	g := Geometry{Stride: 1}
	b := &builder{opset: opset}
	b.Inputs = append(b.Inputs, onnx.NewValue(inputName, onnx.Uint8, "n", "h", "w", 3))
	green := b.node("Slice", []string{inputName, b.int64s("first", 1), b.int64s("end", 2), b.int64s("band", 3)})
	x := b.node("Cast", []string{b.node("Transpose", []string{green}, onnx.Attr("perm", []int{0, 3, 1, 2}))}, onnx.Attr("to", onnx.Float32))
	x = b.node("Sub", []string{b.floats("threshold", nil, passthroughThreshold), x})
	b.finish(x, g.Before, g.After, 1)
	return b.file(metadataOf(Card{Name: "passthrough", Classes: []string{"background", "tissue"}}, 1, g)), nil
}
