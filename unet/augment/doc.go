// Package augment draws training tiles from annotated pictures.
//
//	s := augment.Sampler{Config: augment.NewDefaultConfig()}
//	tile, labels := s.Sample(r, picture, instances, 256, 0.5/0.25) // 0.5 µm/px from a picture of 0.25
//
// The geometry is that of Ronneberger, Fischer and Brox (2015, section 3.1): shift, rotation, and smooth
// deformations from random displacement vectors on a coarse 3 × 3 grid, whose components are Gaussian with a
// standard deviation of 10 pixels, interpolated bicubically; beyond its border a picture is mirrored. Scale
// and mirroring are added. Picture and labels go through one [Warp].
//
// The colours are those of a section under a microscope. Stained tissue absorbs: the densities of
// haematoxylin, eosin and a residual are found by colour deconvolution (Ruifrok and Johnston 2001), changed,
// and put together with other colours. Then come gamma, contrast, light, blur or sharpening, noise, and the traces of
// JPEG. Before all that, what lies between nuclei may be stained with eosin. Other stains of a section hurt pictures
// without colours, such as grey cytology: these only get the grey values changed.
//
// A [Config] is all there is to set, and goes into checkpoints and model cards as JSON.
//
// # Determinism
//
// A tile is a function of the source, the Config and the random numbers. There are no goroutines and no
// clocks; equal seeds give equal bytes, on one kind of processor.
//
// # Labels
//
// Labels keep their numbers. A number may stand for pieces that do not touch, where the warp or the border
// cut an instance, or the mirrored part of the source shows it again: who computes targets must tell the
// pieces apart.
package augment
