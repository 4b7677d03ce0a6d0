package unet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"microtome/unet/network"
	"microtome/unet/onnx"
)

// Upsampling is how a U-Net doubles the size of its feature maps on the way up.
type Upsampling int

// The kinds of upsampling. Transposed is the paper's up-convolution; the others are interpolation
// followed by a 1×1 convolution.
const (
	Transposed Upsampling = iota // 2×2 transposed convolution
	Nearest                      // each pixel repeated
	Linear                       // bilinear, half-pixel centres
)

// An Architecture is a U-Net as in figure 1 of Ronneberger, Fischer and Brox, "U-Net: Convolutional
// Networks for Biomedical Image Segmentation", 2015: a contracting path of Depth levels with two 3×3
// convolutions and a 2×2 max pooling each, a bottom, and an expanding path that joins each level's
// features to the upsampled ones.
type Architecture struct {
	Depth    int  // levels; the paper has 4
	Base     int  // channels of the first level, doubled at each; the paper has 64
	Channels int  // of the input; 0: 3, as slides have
	Classes  int  // output channels; 1 is a single logit, label 1 where it is above 0
	Same     bool // convolutions padded with zeros; unpadded, as in the paper, otherwise
	Up       Upsampling
	Seed     uint64 // of the random weights, He initialised

	Card Card // what the file says of the network

	// weights, when set, gives the weights of a convolution by its name, as output × input × height ×
	// width (input first for transposed ones), and its biases.
	weights func(name string, dims []int) (weights, biases []float32)
}

// Validate reports what is wrong with a.
func (a Architecture) Validate() error {
	if err := a.shape().Validate(); err != nil {
		return fmt.Errorf("a U-Net of %w", err)
	}
	if names := len(a.Card.Classes); names > 0 && names != max(a.Classes, 2) {
		return fmt.Errorf("a U-Net of %d classes with %d class names: give %d", a.Classes, names, max(a.Classes, 2))
	}
	return a.Card.Validate()
}

// shape returns what package network knows of a.
func (a Architecture) shape() network.Shape {
	return network.Shape{Depth: a.Depth, Base: a.Base, Channels: cmp.Or(a.Channels, 3), Classes: a.Classes, Same: a.Same}
}

// ONNX returns the network as an ONNX model in microtome's form; see the package comment. The same
// Architecture always gives the same bytes.
func (a Architecture) ONNX() ([]byte, error) { return a.onnx(a.Geometry()) }

// onnx writes the network with a geometry, which tests widen.
func (a Architecture) onnx(g Geometry) ([]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	b := &builder{Architecture: a, opset: opset, handicap: a.Card.handicap()}
	if b.weights == nil {
		b.weights = a.random()
	}

	x := b.normalise()
	channels, width := a.shape().Channels, a.Base
	var skips []string
	for level := range a.Depth {
		x = b.convolutions(fmt.Sprintf("down%d", level), x, channels, width)
		skips = append(skips, x)
		x = b.node("MaxPool", []string{x}, onnx.Attr("kernel_shape", []int{2, 2}), onnx.Attr("strides", []int{2, 2}))
		channels, width = width, 2*width
	}
	x = b.convolutions("bottom", x, channels, width)
	for level := a.Depth - 1; level >= 0; level-- {
		x = b.up(fmt.Sprintf("up%d", level), x, width)
		width /= 2
		x = b.node("Concat", []string{b.crop(skips[level], level), x}, onnx.Attr("axis", 1))
		x = b.convolutions(fmt.Sprintf("join%d", level), x, 2*width, width)
	}
	x = b.conv("head", x, width, a.Classes, 1)
	b.finish(x, g.Before-a.shrink(), g.After-a.shrink(), a.Classes)
	meta := metadataOf(a.Card, a.Classes, g)
	if a.Up == Transposed { // what package network can do
		shape, err := json.Marshal(a.shape())
		if err != nil {
			return nil, err
		}
		meta = append(meta, onnx.Entry{Key: KeyArchitecture, Value: string(shape)})
	}
	return b.file(meta), nil
}

// metadataOf returns what stands in the file for readers of the model.
func metadataOf(c Card, channels int, g Geometry) []onnx.Entry {
	c.Classes = classNames(c.Classes, channels)
	return append(c.metadata(), []onnx.Entry{
		{Key: keyStride, Value: strconv.Itoa(g.Stride)},
		{Key: keyBefore, Value: strconv.Itoa(g.Before)},
		{Key: keyAfter, Value: strconv.Itoa(g.After)},
	}...)
}

// opset is the version of the ONNX operators that microtome writes.
const opset = 17

// A builder adds the nodes of a network to a graph.
type builder struct {
	Architecture
	onnx.Graph
	opset    int64
	prefix   string  // before all names
	handicap float32 // of foreground; see [Card]
}

// node adds a node and returns the name of its output.
func (b *builder) node(op string, inputs []string, attributes ...onnx.Attribute) string {
	return b.named(op, fmt.Sprintf("%s%s_%d", b.prefix, strings.ToLower(op), len(b.Nodes)), inputs, attributes...)
}

// named adds a node and gives its output, and itself, a name.
func (b *builder) named(op, output string, inputs []string, attributes ...onnx.Attribute) string {
	b.Nodes = append(b.Nodes, &onnx.Node{Op: op, Name: output, Inputs: inputs, Outputs: []string{output}, Attributes: attributes})
	return output
}

// floats adds a constant and returns its name.
func (b *builder) floats(name string, dims []int, v ...float32) string {
	b.Weights = append(b.Weights, onnx.FloatTensor(b.prefix+name, dims, v...))
	return b.prefix + name
}

func (b *builder) int64s(name string, v ...int64) string {
	b.Weights = append(b.Weights, onnx.IntTensor(b.prefix+name, v...))
	return b.prefix + name
}

// file encodes the graph with metadata in the order given.
func (b *builder) file(metadata []onnx.Entry) []byte {
	b.Name = "microtome"
	m := onnx.Model{IR: 8, Producer: "microtome", Opsets: []onnx.Opset{{Version: opset}}, Graph: &b.Graph, Meta: metadata}
	return m.Encode()
}

// normalise adds the input and what turns it from bytes, pixel by pixel, into planes of numbers.
func (b *builder) normalise() string {
	b.Inputs = append(b.Inputs, onnx.NewValue(inputName, onnx.Uint8, "n", "h", "w", b.shape().Channels))
	x := b.node("Transpose", []string{inputName}, onnx.Attr("perm", []int{0, 3, 1, 2}))
	x = b.node("Cast", []string{x}, onnx.Attr("to", onnx.Float32))
	x = b.node("Sub", []string{x, b.floats("mean", nil, b.Card.Mean)})
	return b.node("Mul", []string{x, b.floats("scale", nil, b.Card.scale())})
}

// convolutions adds the two 3×3 convolutions of a level, each with its ReLU.
func (b *builder) convolutions(name, x string, in, out int) string {
	x = b.node("Relu", []string{b.conv(name+".conv1", x, in, out, 3)})
	return b.node("Relu", []string{b.conv(name+".conv2", x, out, out, 3)})
}

func (b *builder) conv(name, x string, in, out, kernel int) string {
	pad := 0
	if b.Same {
		pad = kernel / 2
	}
	w, bias := b.parameters(name, []int{out, in, kernel, kernel}, out)
	return b.node("Conv", []string{x, w, bias}, onnx.Attr("kernel_shape", []int{kernel, kernel}), onnx.Attr("pads", []int{pad, pad, pad, pad}))
}

// up adds what doubles the size of x and halves its channels.
func (b *builder) up(name, x string, channels int) string {
	if b.Up == Transposed {
		w, bias := b.parameters(name, []int{channels, channels / 2, 2, 2}, channels/2)
		return b.node("ConvTranspose", []string{x, w, bias}, onnx.Attr("kernel_shape", []int{2, 2}), onnx.Attr("strides", []int{2, 2}))
	}
	mode := []onnx.Attribute{onnx.Attr("mode", "nearest"), onnx.Attr("coordinate_transformation_mode", "asymmetric"), onnx.Attr("nearest_mode", "floor")}
	if b.Up == Linear {
		mode = []onnx.Attribute{onnx.Attr("mode", "linear"), onnx.Attr("coordinate_transformation_mode", "half_pixel")}
	}
	scales := b.floats(name+".scales", []int{4}, 1, 1, 2, 2)
	x = b.node("Resize", []string{x, "", scales}, mode...)
	return b.conv(name, x, channels, channels/2, 1)
}

// parameters adds the weights and biases of a convolution.
func (b *builder) parameters(name string, dims []int, out int) (weights, biases string) {
	w, bias := b.weights(name, dims)
	return b.floats(name+".weight", dims, w...), b.floats(name+".bias", []int{out}, bias...)
}

// random returns a source of random weights, as the seed gives them, in the order they are asked for.
func (a Architecture) random() func(name string, dims []int) (weights, biases []float32) {
	r := rand.New(rand.NewPCG(a.Seed, 2015))
	return func(name string, dims []int) (weights, biases []float32) {
		out, fanIn := dims[0], dims[1]*dims[2]*dims[3]
		if a.Up == Transposed && strings.HasPrefix(name, "up") {
			out, fanIn = dims[1], dims[0]
		}
		deviation := math.Sqrt(2 / float64(fanIn)) // He et al. 2015, as the paper asks
		weights, biases = make([]float32, dims[0]*dims[1]*dims[2]*dims[3]), make([]float32, out)
		for i := range weights {
			weights[i] = float32(r.NormFloat64() * deviation)
		}
		for i := range biases {
			biases[i] = float32(r.NormFloat64() * 0.05)
		}
		return weights, biases
	}
}

// crop cuts the features of a level of the contracting path to the size of the upsampled ones.
func (b *builder) crop(x string, level int) string {
	if b.Same {
		return x
	}
	// Between the two lie, on each side, the convolutions of the levels below and of the bottom, in
	// pixels of this level, less what upsampling kept.
	below := Architecture{Depth: b.Depth - level - 1}.shrink()
	return b.slice(x, fmt.Sprintf("crop%d", level), int64(2*below), int64(2*below))
}

// slice cuts pixels off the first and last rows and columns.
func (b *builder) slice(x, name string, first, last int64) string {
	if first == 0 && last == 0 {
		return x
	}
	end := -last
	if last == 0 {
		end = math.MaxInt64
	}
	if b.opset < 10 { // ONNX operators, Slice: attributes until then
		return b.node("Slice", []string{x}, onnx.Attr("starts", []int64{first, first}), onnx.Attr("ends", []int64{end, end}), onnx.Attr("axes", []int{2, 3}))
	}
	return b.node("Slice", []string{
		x,
		b.int64s(name+".starts", first, first),
		b.int64s(name+".ends", end, end),
		b.int64s(name+".axes", 2, 3),
	})
}

// cut returns elements first … last-1 along an axis.
func (b *builder) cut(x, name string, axis, first, last int64) string {
	if b.opset < 10 {
		return b.node("Slice", []string{x}, onnx.Attr("starts", []int64{first}), onnx.Attr("ends", []int64{last}), onnx.Attr("axes", []int64{axis}))
	}
	return b.node("Slice", []string{x, b.int64s(name+".start", first), b.int64s(name+".end", last), b.int64s(name+".axis", axis)})
}

// squeeze drops the axis of the channels, which is 1 long.
func (b *builder) squeeze(x string) string {
	if b.opset < 13 { // ONNX operators, Squeeze: an attribute until then
		return b.node("Squeeze", []string{x}, onnx.Attr("axes", []int{1}))
	}
	return b.node("Squeeze", []string{x, b.int64s("class_axis", 1)})
}

// finish cuts the network's output to the core, names it logits, and adds the labels: of the classes the one with the highest
// logit once those of foreground have paid the handicap, the first of equal ones. As many pixels as
// first says lie before the core, left and above, and as last says behind it.
func (b *builder) finish(x string, first, last, classes int) {
	x = b.slice(x, "core", int64(first), int64(last))
	labels, logits := b.prefix+labelsName, b.prefix+logitsName
	b.named("Identity", logits, []string{x})
	b.Outputs = append(b.Outputs, onnx.NewValue(labels, onnx.Uint8, "n", "core_h", "core_w"), onnx.NewValue(logits, onnx.Float32, "n", classes, "core_h", "core_w"))
	var chosen string
	if classes > 1 {
		x := logits
		if b.handicap != 0 {
			pay := make([]float32, classes)
			for i := range pay[1:] {
				pay[i+1] = -b.handicap
			}
			x = b.node("Add", []string{x, b.floats("handicap", []int{1, classes, 1, 1}, pay...)})
		}
		chosen = b.node("ArgMax", []string{x}, onnx.Attr("axis", 1), onnx.Attr("keepdims", 0))
	} else {
		chosen = b.squeeze(b.node("Greater", []string{logits, b.floats("zero", nil, b.handicap)}))
	}
	b.named("Cast", labels, []string{chosen}, onnx.Attr("to", onnx.Uint8))
}
