// Package quantize makes a faster network of one in microtome's form: with convolutions on bytes, for processors, or on halves, for graphics
// processors.
//
//	bytes, report, err := quantize.Int8(ctx, m, tiles, quantize.NewDefaultConfig())
//
// What is written is ONNX with QuantizeLinear and DequantizeLinear around each convolution on bytes, weights with a step for each output, and
// everything between convolutions on bytes too. Three rewrites keep ONNX Runtime's kernels busy, none of which changes a result:
// up-convolutions become convolutions (upconv.go), convolutions of few outputs give several pixels of a row at once
// (rewriter.packing), and values lie with channels last, so that rows are put together without moving bytes. Sums of bytes are whole numbers, so
// tiles equal the whole bit for bit as before.
package quantize
