// Package synthetic makes synthetic slides whose truth is known, for demonstrations, tests and
// measurements.
//
// A synthetic slide is a formula of a seed and a pixel's coordinates: glass, pieces of tissue with ragged
// edges and holes, eosin-stained fibres with clefts between them, islands of epithelium, and
// haematoxylin-stained nuclei of several sizes, some of which touch or overlap. Stains and focus vary over
// the slide, and the scanner adds noise.
//
//   - [WriteSlide] streams it into a JPEG pyramid that OpenSlide reads as an Aperio slide of 0.5 µm/px, with
//     the nuclei as a mask and as a table beside it. Memory does not grow with the slide, but for the index of
//     its tiles, and equal tiles of glass are stored once.
//   - [Open] is the same slide without a file.
//   - [IoU] compares a mask with such a truth.
//
// # How it is painted
//
// Properties of tissue (how deep in it a place is, where in the textures, which stains) are slow noise: they
// are computed at the corners of squares of 64 px and change linearly between them. What is fine comes from
// textures that repeat but are bent and turned by those properties. Nuclei are ellipses, at most one in a
// square of 16 px, so any rectangle can be painted by itself, with the same pixels. Two amounts of stain make
// a colour through a table. The same seed and size give the same bytes on processors of one kind.
//
// # Truth
//
// The mask has label 1 in the pixels whose centre is in a nucleus. The table has a row a nucleus that has
// such pixels on the slide:
//
//	id            1, 2, … in the order of the rows
//	x, y          centre, px of level 0; the middle of the first pixel is (0.5, 0.5)
//	long, short   half axes, px
//	angle         of the long axis, degrees from x towards y
//	haematoxylin  optical density of its stain, before texture and overlap
//
// These numbers are exact: the ellipses are the mask to the pixel. Where two overlap, the later row is on top.
// Rows go by squares of 64 px, from left to right and from top to bottom, and by squares of 16 px in them. A
// nucleus may lie under others, and have its centre beyond the slide's edge.
package synthetic
