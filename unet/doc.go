// Package unet holds the segmentation network: what it is, how it is stored, and what runs it.
//
//	m, err := unet.Open("haematoxylin", unet.Config{Device: "auto"}) // or the path of an ONNX file
//	err = m.Predict(ctx, 1, pixels, labels)
//
// A [Model] takes the pixels of square tiles as bytes and gives labels as bytes; floats and tensors stay
// inside. Its [Spec] states the facts that the rest of microtome works by: classes, the resolution it was
// made for, and its [Geometry], which says how much a tile must see around the square it decides.
//
// # Files
//
// Models are ONNX files in one form, which [Export] and [Architecture.ONNX] write: input image (uint8, N × H × W × 3,
// RGB), outputs labels (uint8, N × h × w) and logits (float32, N × classes × h × w), where h = H - Before -
// After. Normalisation, the crop to the core and the choice of the class are part of the graph. The geometry
// stands in the file's metadata under microtome.*.
//
// Any other segmentation network is brought into this form when it is opened: its geometry follows from its graph (package
// field), how its pixels are normalised and its classes named from its metadata or a card beside it (package cards). Read
// foreign.go, what a graph is taken for, then wrap.go, what is put around it. A network whose card normalises by the image has
// one input more, the statistics of the slide; see [ForSlide].
//
// # Engines
//
// ONNX Runtime, through one session, with one thread for each prediction: run several predictions at a
// time to use several processors. On a CPU results are the same, bit for bit, for any tiling that the
// Geometry allows, any batching, and any number of concurrent predictions.
//
// Gorgonia runs the networks of package unet/network, which training makes, from their files or from memory
// ([NewGorgonia]), on the CPU and without any library. It is what runs when there is none.
//
// [TTA] makes a model of either that averages over the flips and rotations of each tile.
package unet
