package main

import (
	"errors"
	"testing"

	"microtome/pipeline"
)

// TestTissueFileOfOneSlide: an outline that was drawn on one slide says nothing of another, also where both have one name.
func TestTissueFileOfOneSlide(t *testing.T) {
	entries := func(items ...pipeline.Item) (all []entry) {
		for _, item := range items {
			all = append(all, entry{item: item})
		}
		return all
	}
	part := pipeline.Item{Path: "a/x.svs", MPP: 0.5}
	for name, c := range map[string]struct {
		source string
		all    []entry
		ok     bool
	}{
		"auto":                   {"auto", entries(pipeline.Item{Path: "a/x.svs"}, pipeline.Item{Path: "b/x.svs"}), true},
		"one slide":              {"t.geojson", entries(part), true},
		"one slide twice":        {"t.geojson", entries(pipeline.Item{Path: "a/x.svs"}, part), true},
		"two slides":             {"t.geojson", entries(part, pipeline.Item{Path: "b/y.svs"}), false},
		"names":                  {"t/{name}.geojson", entries(part, pipeline.Item{Path: "b/y.svs"}), true},
		"one name":               {"t/{name}.geojson", entries(part, pipeline.Item{Path: "b/x.svs"}), false},
		"one name but extension": {"t/{name}.geojson", entries(part, pipeline.Item{Path: "a/x.ndpi"}), false},
	} {
		err := checkTissue(c.source, c.all)
		var usage usageError
		if (err == nil) != c.ok || err != nil && !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
