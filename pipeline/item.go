package pipeline

import (
	"image"
	"iter"

	"microtome/slide"
)

// An Item is a slide to segment, with what a list says of it alone.
type Item struct {
	Path   string
	MPP    float64         // µm a pixel at level 0; 0: as the run has it
	Model  string          // built-in model or file; empty: the run's
	Region image.Rectangle // px of level 0 that are segmented; empty: as the run has it
}

// Items makes an item of each path.
func Items(paths iter.Seq2[string, error]) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for path, err := range paths {
			if !yield(Item{Path: path}, err) {
				return
			}
		}
	}
}

// Once leaves out items that came before, by whatever path.
func Once(items iter.Seq2[Item, error]) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		seen := map[Item]bool{}
		for item, err := range items {
			key := item
			key.Path = slide.RealPath(item.Path)
			if seen[key] && err == nil {
				continue
			}
			seen[key] = true
			if !yield(item, err) {
				return
			}
		}
	}
}
