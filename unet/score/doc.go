// Package score turns foreground probabilities into objects and says how well they agree with the truth.
//
//	objects := f.Objects(p, w, h)            // f is a Filter, p what the network says
//	c := score.Compare(truth, objects)       // counts, which are summed over images
//	c.Objects.F1At50()                       // quotients, which are not
//
// All metrics of an image come from one table of overlaps: how many pixels each object of the truth shares
// with each object found. Totals over images are quotients of sums, not means of quotients: an image weighs
// what is in it. A quotient 0/0 is 1 when there is nothing to find and nothing was found; where only one of
// the two is empty it is 0. No metric is ever NaN.
//
// # Pixels ([Pixels])
//
// With TP, FP, FN and TN pixels, any object against background:
//
//	IoU          TP / (TP + FP + FN), the Jaccard index
//	Dice         2 TP / (2 TP + FP + FN)
//	pixel error  (FP + FN) / (TP + FP + FN + TN), as in the ISBI 2012 challenge
//
// # Objects ([Objects])
//
// A true and a found object match at t when their IoU is greater than t. From t = 0.5 up an object then
// has at most one match (Kirillov et al., Panoptic Segmentation, CVPR 2019), so nothing is left to an
// order or to an assignment; IoU of exactly t is no match. Thresholds are compared in integers.
//
//	precision, recall, F1   of matches at t; F1 = 2 matches / (true + found) (Caicedo et al., Nucleus
//	                        segmentation across imaging experiments, Nature Methods 2019)
//	mean F1                 of t = 0.50, 0.55 … 0.95
//	PQ = DQ · SQ            Kirillov et al.: DQ is F1 at 0.5, SQ the mean IoU of the matches at 0.5
//	AJI                     Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation
//	                        for Computational Pathology, IEEE TMI 2017: each true object takes the found
//	                        object of greatest IoU; summed intersections, over summed unions and the
//	                        areas of what no true object took. As in the paper, two true objects may
//	                        take the same one, so the order of objects does not matter (the authors'
//	                        script removes what was taken). Of equal IoU the larger intersection is
//	                        taken, then what comes first, row by row
//	merges                  found objects which hold more than half of each of two or more true ones
//	splits                  true objects which hold more than half of each of two or more found ones
//
// Merges and splits are named as by Coelho, Shariff and Murphy (Nuclear segmentation in microscope cell
// images, ISBI 2009). More than half is the rule of the Cell Tracking Challenge (Maška et al.,
// Bioinformatics 2014; Matula et al., PLOS ONE 2015, where merges are called splitting operations): an
// object then lies in at most one other. Exchanging truth and prediction exchanges merges and splits.
//
// # Rand error ([Rand])
//
// For cells that fill the image, with membranes between them: foreground-restricted Rand score, from
// Arganda-Carreras et al., Crowdsourcing the creation of image segmentation algorithms for connectomics,
// Frontiers in Neuroanatomy 2015 (the ISBI 2012 challenge), with α = ½. Over ordered pairs of pixels of
// true objects (background of the truth is left out, a pixel is paired with itself too):
//
//	score  2 · pairs together in both / (pairs together in truth + pairs together in prediction)
//	error  1 - score, the adapted Rand error
//
// A pixel found to be background is an object of its own, as in the SNEMI3D challenge's script. The
// challenge also thins the borders of the prediction first, which [Filter].Grow comes near to.
package score
