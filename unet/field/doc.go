// Package field finds out how far a network looks. It follows an image through an ONNX graph, node by node, and says where
// tiles may be cut so that stitched results equal one pass over the whole image.
//
//	a, err := field.Analyse(model, "", "")
//	a.Stride, a.Before, a.After // as unet.Geometry
//	a.Unbounded                 // why no margin is enough, "" if one is
//
// Read shapes.go first (what is known of a tensor), then range.go (which of its pixels are clean), analyse.go (the geometry) and
// probe.go (the same, measured on the running network).
//
// # Clean pixels
//
// Run on a tile, a tensor has pixels that are what they would be were the image endless, and others that padding, a clamped
// interpolation or a cut pooling window has touched. What an operator's output pixel j looks at moves to the right as j does, so the
// clean pixels of a row are one interval, and going through the graph once, from input to output, finds it exactly.
package field
