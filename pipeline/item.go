package pipeline

import "image"

// An Item is a slide to segment, with what a list says of it alone.
type Item struct {
	Path   string
	MPP    float64         // µm a pixel at level 0; 0: as the run has it
	Model  string          // built-in model or file; empty: the run's
	Region image.Rectangle // px of level 0 that are segmented; empty: as the run has it
}
