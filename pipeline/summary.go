package pipeline

import (
	"fmt"
	"slices"

	"microtome/sink"
	"microtome/slide"
)

// summary says what ran on what, and the areas that came out.
func (p *Pipeline) summary(s *subject, pyramid *sink.Pyramid) (*sink.Summary, error) {
	info, spec, plan := s.Info(), s.model.Spec(), s.plan
	full, b := info.Levels[0].Size, info.Bounds
	sum := &sink.Summary{
		Status: "done", Notice: sink.Notice, Version: p.Config.Version, Arguments: p.Config.Arguments,
		Slide: sink.SlideSummary{
			Path: s.path, Fingerprint: s.identity.fingerprint, Vendor: info.Vendor, Width: full.X, Height: full.Y, MPP: info.MPP,
			Bounds: [4]int{b.Min.X, b.Min.Y, b.Dx(), b.Dy()},
		},
		Model: sink.ModelSummary{
			Name: spec.Name, SHA256: spec.SHA256, Form: spec.Form, Engine: spec.Engine, Stride: spec.Stride, Before: spec.Before, After: spec.After,
			Classes: spec.Classes, MPP: spec.MPP, PassedOver: spec.PassedOver,
		},
		Mask: sink.MaskSummary{
			Width: plan.Region.Dx(), Height: plan.Region.Dy(), MPP: plan.MPP, Level: plan.Level, Scale: plan.Scale,
			Origin: [2]int{plan.Region.Min.X, plan.Region.Min.Y}, Core: plan.Core, Overlap: plan.Overlap, Tiles: plan.Tiles,
			Inferred: plan.Asked,
		},
		Coverage: sink.CoverageSummary{Expected: pyramid.Expected(), Written: pyramid.Written(), Tissue: s.tissue.Pixels(plan.Region)},
		Tissue:   s.tissueSummary(p.Config),
		Workers:  plan.Workers,
		Stages:   s.course.times(),
		Reading:  sink.ReadingSummary{Decoded: s.course.Decoded, Needed: s.course.Needed, Seen: s.course.Seen, Labelled: s.course.Labelled},
		Memory:   sink.MemorySummary{Limit: plan.Limit, Planned: plan.Sum(), Tiles: s.course.Budget, High: s.course.High},
		Warnings: slices.Concat(p.remarks(s.model), s.warnings),
		Outputs:  map[string]sink.Output{},
	}
	counts := pyramid.Counts()
	area := func(label int, name string) {
		a := sink.ClassSummary{Label: label, Name: name, Pixels: counts[label]}
		if plan.MPP > 0 {
			mm2 := float64(a.Pixels) * plan.MPP * plan.MPP / 1e6
			a.MM2 = &mm2
		}
		sum.Classes = append(sum.Classes, a)
	}
	for label, name := range spec.Classes {
		area(label, name)
	}
	cover := &sum.Coverage
	cover.Inferred, cover.Skipped = s.scope.Pixels()
	if p.Config.MarkUnread {
		area(sink.Unread, "unread")
		cover.Unread = counts[sink.Unread]
		cover.Inferred -= cover.Unread
	}
	if cover.Unread > 0 {
		sum.Warnings = append(sum.Warnings, unreadPixels(cover.Unread))
	}
	if cover.Unread > cover.Inferred {
		return nil, &slide.Error{Op: "read", Path: s.given, Err: fmt.Errorf("%d of %d pixels could not be read: copy the slide again", cover.Unread, cover.Unread+cover.Inferred)}
	}
	return sum, nil
}

// unreadPixels is what the user must know of a mask that is not whole, also when it is kept: a new copy of the slide looks
// the same to us where it differs far from its ends.
func unreadPixels(n int64) string {
	return fmt.Sprintf("%d pixels have the label %d, since the slide could not be read there: copy it again, and give --force", n, sink.Unread)
}
