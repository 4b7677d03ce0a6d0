package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"syscall"

	"microtome/unet"
)

// A Pipeline segments slides.
type Pipeline struct {
	Model  unet.Model
	Config Config
	Events Events

	// OpenModel opens the models that items name; nil: none may. Pipeline closes them.
	OpenModel func(name string) (unet.Model, error)
	// OpenSlide opens slides; nil: slide.Open.
	OpenSlide openSlideFunc

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

// A cohort is the slides of one run.
type cohort struct {
	*Pipeline
	results *results
	ledger  *ledger
	turns   *turns
	began   int // slides, counted by Run's goroutine

	mu     sync.Mutex // of events, which come one at a time, and of what they count
	ended  RunError
	full   bool // there is no space left for results
	atWork sync.WaitGroup
}

// Run segments slides, each once however often it is named. Several are at work at a time, as many as fit into
// the memory: the next ones fill what the last tiles of one, and the opening and closing of its files, leave idle. A slide
// that fails is reported by SlideEnd and the run goes on, unless it was for want of space; at the end a *RunError says
// how many did. When ctx ends, Run stops within the current tiles and returns the cause of ctx; what is done of the
// slides at work is kept for a run that goes on.
func (p *Pipeline) Run(ctx context.Context, items iter.Seq2[Item, error]) error {
	if err := errors.Join(p.Config.Validate(), p.Config.Suits(p.Model.Spec())); err != nil {
		return err
	}
	c := &cohort{
		Pipeline: p,
		results:  &results{out: p.Config.Out, force: p.Config.Force, claimed: map[string]bool{}},
		ledger:   newLedger(p.Config.Memory, cmp.Or(p.Config.Slides, mostSlides)),
		turns:    newTurns(),
	}
	for _, text := range p.remarks(p.Model) {
		c.warn("", text)
	}
	err := c.each(ctx, items)
	c.atWork.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case c.ended.Failed > 0:
		return &c.ended
	}
	return nil
}

// each starts the slides one after another. It fails when the run cannot go on at all.
func (c *cohort) each(ctx context.Context, items iter.Seq2[Item, error]) (err error) {
	model, name := c.Model, ""
	defer func() {
		c.atWork.Wait()
		if name != "" {
			err = errors.Join(err, model.Close())
		}
	}()
	for item, err := range Once(items) {
		if ctx.Err() != nil || c.isFull() {
			return nil
		}
		if err != nil {
			c.end(ctx, SlideEnd{Slide: item.Path, Err: err})
			continue
		}
		if item.Model != name {
			c.atWork.Wait() // models take memory
			var err error
			if model, err = c.change(model, name, item.Model); err != nil {
				model, name = c.Model, ""
				c.end(ctx, SlideEnd{Slide: item.Path, Err: err})
				continue
			}
			name = item.Model
		}
		c.start(ctx, item, model)
	}
	return nil
}

// change closes a model and opens another, so that the memory of one is enough; the name "" is that of the run's own,
// which stays open.
func (c *cohort) change(old unet.Model, was, name string) (unet.Model, error) {
	if was != "" {
		if err := old.Close(); err != nil {
			return nil, err
		}
	}
	switch {
	case name == "":
		return c.Model, nil
	case c.OpenModel == nil:
		return nil, fmt.Errorf("model %s: this run has one model only", name)
	}
	m, err := c.OpenModel(name)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	if err := c.Config.Suits(m.Spec()); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	for _, text := range c.remarks(m) {
		c.warn("", text)
	}
	return m, nil
}

// start opens a slide and sets to work on it as soon as there is room.
func (c *cohort) start(ctx context.Context, item Item, model unet.Model) {
	s, end := c.begin(item, model)
	if s == nil {
		c.end(ctx, end)
		return
	}
	c.began++
	s.number = c.began
	leave, err := c.ledger.enter(ctx, s.granted.all)
	if err != nil {
		end.Dir, end.Err = "", errors.Join(err, s.Close())
		c.end(ctx, end)
		return
	}
	c.atWork.Go(func() {
		end.Summary, end.Err = c.one(ctx, s)
		if end.Course = s.course; s.course != nil {
			s.course.Phases = s.phases.all
		}
		if end.Err = errors.Join(end.Err, s.Close()); end.Err != nil {
			end.Dir, end.Summary = "", nil
		}
		leave()
		c.end(ctx, end)
	})
}

// end reports the end of a slide.
func (c *cohort) end(ctx context.Context, e SlideEnd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil && e.Err != nil {
		e.Err, e.Interrupted = context.Cause(ctx), true
	}
	c.ended.Total++
	if e.Err != nil {
		c.ended.Failed++
		c.ended.First = cmp.Or(c.ended.First, e.Err)
		if full := errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT); full && !c.full {
			c.full = true
			c.Events.warn("", "there is no space left, so no more slides are begun: free some, and give the same command again")
		}
	}
	c.Events.slideEnd(e)
}

// isFull reports whether a slide has failed for want of space: others would fail as well.
func (c *cohort) isFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.full
}

func (c *cohort) warn(slide, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Events.warn(slide, text)
}

func (c *cohort) slideBegin(e SlideBegin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Events.slideBegin(e)
}

func (c *cohort) tileDone(e TileDone) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Events.tileDone(e)
}

// remarks are what the user must know of all slides that a model labels.
func (p *Pipeline) remarks(m unet.Model) []string {
	var all []string
	spec := m.Spec()
	all = append(all, spec.Warnings...)
	if spec.Unbounded != "" {
		all = append(all, fmt.Sprintf("seams cannot be excluded: %s: tiles share %d px with the next and are blended", spec.Unbounded, p.Config.Overlap))
	}
	return all
}

// Plan lays out the work on a slide without doing it.
func (p *Pipeline) Plan(ctx context.Context, item Item) (_ Plan, err error) {
	model := p.Model
	if item.Model != "" {
		if p.OpenModel == nil {
			return Plan{}, fmt.Errorf("model %s: this run has one model only", item.Model)
		}
		if model, err = p.OpenModel(item.Model); err != nil {
			return Plan{}, fmt.Errorf("model %s: %w", item.Model, err)
		}
		defer func() { err = errors.Join(err, model.Close()) }()
	}
	if err := p.Config.Suits(model.Spec()); err != nil {
		return Plan{}, err
	}
	s, err := p.open(item, model)
	if err != nil {
		return Plan{}, err
	}
	if err := s.plan.Check(); err == nil {
		s.granted = s.plan.room
		if err := p.layOut(ctx, s); err != nil {
			return Plan{}, errors.Join(&StageError{Slide: item.Path, Stage: "tissue", Err: err}, s.Close())
		}
	}
	return s.plan, s.Close()
}
