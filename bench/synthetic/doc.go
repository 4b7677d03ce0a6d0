// Package synthetic makes synthetic slides whose truth is known, for demonstrations, tests and
// measurements.
//
// A synthetic slide is a formula of a seed and a pixel's coordinates: glass, a ragged piece of tissue
// with eosin-stained stroma, and haematoxylin-stained nuclei of several sizes, some of which touch.
// [WriteSlide] streams it into a JPEG pyramid that OpenSlide reads as an Aperio slide of 0.5 µm/px, with
// the nuclei as a mask beside it, tile by tile: memory does not grow with the slide. [IoU] compares a
// mask with such a truth.
package synthetic
