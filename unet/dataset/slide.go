package dataset

import (
	"context"
	"image"
)

// Open opens a whole slide at mpp µm a pixel, or level 0 as it is where mpp is 0. own, when it is not 0,
// is the size of a pixel of level 0 in µm, over what the slide says.
type Open func(ctx context.Context, path string, mpp, own float64) (*Slide, error)

// A Slide is a whole slide at a working resolution.
type Slide struct {
	Size   image.Point // in pixels of the working resolution
	Scale  float64     // pixels of level 0 that make one of those, along an axis
	Origin image.Point // pixel of level 0 that annotations count from: QuPath's corner of the scanned area
	MPP    float64     // µm a pixel of the working resolution; 0: not known
	Pixels Pixels
}

// Pixels reads a slide at its working resolution.
type Pixels interface {
	// Read fills dst with the RGB bytes of a rectangle, row by row.
	Read(ctx context.Context, dst []byte, r image.Rectangle) error
	Close() error
}

func (l *loader) slide(_ context.Context, p pair) error {
	return l.errorf(p.truth, "annotations of slides cannot be read yet")
}
