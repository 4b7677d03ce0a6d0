// Package target makes what the network is trained towards out of annotated instances.
//
//	cut, of := target.Cut(labels, 1)           // touching instances get a gap
//	weights := target.NewWeigher(target.NewDefaultConfig())
//	w := weights.Weights(nil, cut, nil)        // the loss counts pixels in narrow gaps more
//
// A U-Net tells foreground from background and no more; an instance is a connected component of what it
// calls foreground. So instances that touch must not touch in the target, and the pixels between them, few
// as they are, must matter: that is the weight map of Ronneberger, Fischer and Brox (2015). Cut after the
// last change of shape (warping, scaling, cropping), and weigh after cutting.
package target
