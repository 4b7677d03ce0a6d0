package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"microtome/unet"
)

// A Pipeline segments slides with one model.
type Pipeline struct {
	Model  unet.Model
	Config Config
	Events Events

	below atomic.Int64 // cores must be smaller, px, since larger ones ran out of memory; 0: any
}

// A RunError says how many slides of a run failed. The run went on past each of them.
type RunError struct {
	Failed, Total int
	First         error
}

func (e *RunError) Error() string {
	if e.Total == 1 {
		return e.First.Error()
	}
	return fmt.Sprintf("%d of %d slides failed, the first: %v", e.Failed, e.Total, e.First)
}

func (e *RunError) Unwrap() error { return e.First }

// Run segments slides one after another, each once however often it is named. A slide that fails is
// reported by SlideEnd and the run goes on; at the end a *RunError says how many did. When ctx ends, Run
// stops within the current tile and returns the cause of ctx; what the current slide had written is removed.
func (p *Pipeline) Run(ctx context.Context, paths iter.Seq2[string, error]) error {
	if err := errors.Join(p.Config.Validate(), p.Config.Suits(p.Model.Spec())); err != nil {
		return err
	}
	res := &results{out: p.Config.Out, force: p.Config.Force, claimed: map[string]bool{}}
	for _, text := range p.remarks() {
		p.Events.warn("", text)
	}
	var failed RunError
	seen := map[string]bool{}
	for path, err := range paths {
		if full, absErr := absolute(path); absErr == nil && err == nil {
			if seen[full] {
				continue // named twice
			}
			seen[full] = true
		}
		end := SlideEnd{Slide: path, Err: err}
		if err == nil {
			end = p.one(ctx, path, res)
		}
		if ctx.Err() != nil && end.Err != nil {
			end.Err = context.Cause(ctx)
		}
		p.Events.slideEnd(end)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		failed.Total++
		if end.Err != nil {
			failed.Failed++
			failed.First = cmp.Or(failed.First, end.Err)
		}
	}
	if failed.Failed > 0 {
		return &failed
	}
	return nil
}

// remarks are what the user must know of all slides of the run.
func (p *Pipeline) remarks() []string {
	var all []string
	spec := p.Model.Spec()
	all = append(all, spec.Warnings...)
	if spec.Unbounded != "" {
		all = append(all, fmt.Sprintf("seams cannot be excluded: %s: tiles share %d px with the next and are blended", spec.Unbounded, p.Config.Overlap))
	}
	return all
}

// Plan lays out the work on a slide without doing it.
func (p *Pipeline) Plan(path string) (Plan, error) {
	if err := p.Config.Suits(p.Model.Spec()); err != nil {
		return Plan{}, err
	}
	s, err := p.open(path)
	if err != nil {
		return Plan{}, err
	}
	return s.plan, s.Close()
}
