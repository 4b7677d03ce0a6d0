// Package network builds the U-Net as a Gorgonia graph.
//
// [Build] reads like figure 1 of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical
// Image Segmentation", 2015. What a convolution or a pooling is made of is up to the [Layers]: Gorgonia's own operations,
// which are slow and serve as oracle, or those of package ops. Gradients come from gorgonia.Grad in both.
//
//	shape := network.Shape{Depth: 4, Base: 16, Channels: 3, Classes: 2}
//	params := shape.Init(seed)
//	step, err := network.NewStep(shape, params, 268, 268, &ops.Ops{Threads: 2})
//	loss, err := step.Run(image, target, dropout) // then step.Grad(i)
//	out, err := network.NewForward(shape, params, 268, 268, &ops.Ops{Threads: 2})
//	logits, err := out.Run(image)
package network
