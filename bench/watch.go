package bench

import (
	"slices"
	"sync"
	"time"

	"microtome/bench/results"
	"microtome/pipeline"
	"microtome/sink"
)

// A Watch listens to a run of slides and says afterwards what it was made of, and what limited it.
type Watch struct {
	cfg pipeline.Config

	mu      sync.Mutex
	began   usage
	ended   usage
	plan    pipeline.Plan // of the largest slide
	pixels  int64
	tiles   int
	stages  []sink.StageTime // added up; Depth × time
	phases  []results.Phase
	reading sink.ReadingSummary
	engine  string
	high    int64
	courses []*pipeline.Course
}

// NewWatch returns a Watch of a run that begins now.
func NewWatch(cfg pipeline.Config) *Watch {
	return &Watch{cfg: cfg, began: usageNow(), ended: usageNow()}
}

// Events returns what is to be called as the run goes on.
func (w *Watch) Events() pipeline.Events {
	return pipeline.Events{SlideBegin: w.begin, TileDone: w.tile, SlideEnd: w.end}
}

func (w *Watch) begin(e pipeline.SlideBegin) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Plan.Tiles > w.plan.Tiles {
		w.plan = e.Plan
	}
}

func (w *Watch) tile(pipeline.TileDone) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tiles++
}

func (w *Watch) end(e pipeline.SlideEnd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = usageNow()
	c := e.Course
	if c == nil {
		return
	}
	w.courses = append(w.courses, c)
	w.reading.Decoded += c.Decoded
	w.reading.Needed += c.Needed
	w.reading.Seen += c.Seen
	w.reading.Labelled += c.Labelled
	w.high = max(w.high, c.High)
	if s := e.Summary; s != nil {
		w.pixels += s.Coverage.Written
		w.engine = s.Model.Engine
	}
	for _, st := range c.Stages {
		i := slices.IndexFunc(w.stages, func(o sink.StageTime) bool { return o.Stage == st.Stage })
		if i < 0 {
			i = len(w.stages)
			w.stages = append(w.stages, sink.StageTime{Stage: st.Stage})
		}
		sum := &w.stages[i]
		sum.Workers, sum.MaxDepth = max(sum.Workers, st.Workers), max(sum.MaxDepth, st.MaxDepth)
		sum.Seconds += st.Busy.Seconds()
		sum.Starved += st.Starved.Seconds()
		sum.Blocked += st.Blocked.Seconds()
		sum.Waiting += st.Waiting.Seconds()
		sum.Depth += st.Depth * c.Took.Seconds()
	}
	for _, p := range c.Phases {
		i := slices.IndexFunc(w.phases, func(o results.Phase) bool { return o.Phase == p.Phase })
		if i < 0 {
			i = len(w.phases)
			w.phases = append(w.phases, results.Phase{Phase: p.Phase})
		}
		w.phases[i].Seconds += p.Seconds
	}
}

// Into puts what was seen into a result, also why.
func (w *Watch) Into(r *results.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &r.Figures
	f.Pixels, f.Tiles, f.Decoded, f.BudgetHigh = w.pixels, w.tiles, w.reading.Decoded, w.high
	if w.reading.Needed > 0 {
		f.DecodedPer = float64(w.reading.Decoded) / float64(w.reading.Needed)
	}
	f.Waste = w.waste()
	f.ModelBusy = w.modelBusy()
	for _, c := range w.courses {
		f.BudgetLimit = max(f.BudgetLimit, c.Budget)
	}
	r.Phases, r.Stages = w.phases, w.shares()
	why := w.explain()
	r.Limit, r.Why = why.Limit, why.String()
}

// shares returns what the workers did.
func (w *Watch) shares() (all []results.Stage) {
	var took float64
	for _, c := range w.courses {
		took += c.Took.Seconds()
	}
	for _, s := range w.stages {
		whole := s.Seconds + s.Starved + s.Blocked + s.Waiting
		if whole <= 0 {
			continue
		}
		all = append(all, results.Stage{
			Stage: s.Stage, Workers: s.Workers, Busy: s.Seconds / whole, Starved: s.Starved / whole, Blocked: s.Blocked / whole, Waiting: s.Waiting / whole,
			Depth: s.Depth / took, MaxDepth: s.MaxDepth,
		})
	}
	return all
}

func (w *Watch) wall() time.Duration { return w.ended.at.Sub(w.began.at) }

// modelBusy returns the share of its workers and of the wall time in which the model computed.
func (w *Watch) modelBusy() float64 {
	for _, s := range w.stages {
		if s.Stage == "infer" && s.Workers > 0 {
			return s.Seconds / float64(s.Workers) / w.wall().Seconds()
		}
	}
	return 0
}

// waste returns how many pixels the network saw for one that it labelled.
func (w *Watch) waste() float64 {
	if w.reading.Labelled == 0 {
		return 0
	}
	return float64(w.reading.Seen) / float64(w.reading.Labelled)
}

// processors returns how many processors the process kept busy.
func (w *Watch) processors() float64 {
	return (w.ended.cpu - w.began.cpu).Seconds() / w.wall().Seconds()
}

// atWork returns how many of the stages' workers, and of what is done beside tiles, were busy at a time: those that did not keep a processor busy
// waited for a disk, a network or a GPU.
func (w *Watch) atWork() float64 {
	var seconds float64
	for _, s := range w.stages {
		seconds += s.Seconds
	}
	for _, p := range w.phases {
		if p.Phase != "tiles" && p.Phase != waitPhase {
			seconds += p.Seconds
		}
	}
	return seconds / w.wall().Seconds()
}
