package pipeline

import (
	"context"
	"errors"
	"time"

	"microtome/sink"
)

// discard segments a slide for the sake of [Config].Discard: it keeps no file. The pyramid is made and thrown away.
func (c *cohort) discard(ctx context.Context, s *subject) (*sink.Summary, error) {
	started := time.Now()
	model, normalisation, err := c.forSlide(ctx, s, s.model)
	if err != nil {
		return nil, &StageError{Stage: "plan", Err: err}
	}
	pyramid := sink.NewPyramid(s.plan.Region.Size(), c.Config.MaskTile, sink.Majority, sink.Discard{})
	if _, err := c.fill(ctx, s, nil, pyramid, model, normalisation); err != nil {
		return nil, errors.Join(err, pyramid.Abort())
	}
	s.phases.end("tiles")
	if err := pyramid.Commit(); err != nil {
		return nil, err
	}
	summary, err := c.summary(s, pyramid)
	if err != nil {
		return nil, err
	}
	s.phases.end("finish")
	summary.Started, summary.Seconds, summary.Phases = started.UTC(), time.Since(started).Seconds(), s.phases.all
	summary.Memory.Peak = Peak()
	return summary, nil
}
