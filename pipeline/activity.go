package pipeline

import (
	"sync"
	"time"

	"microtome/sink"
)

// An Activity is what the workers of a stage did while the tiles of a slide went through the graph. A worker is in one
// of four states: busy, waiting for what the stage shares with others (a turn of the model, memory), blocked, as
// nobody takes what it has done, or starved, as there is nothing to do. Added up they are Workers times the time of the graph.
type Activity struct {
	Stage    string
	Workers  int
	Busy     time.Duration // of all workers, added up
	Waiting  time.Duration
	Blocked  time.Duration
	Starved  time.Duration
	Depth    float64 // mean number of values that wait before the stage
	MaxDepth int     // the most there have been
	Course   []Moment
}

// A Moment is the mean number of workers in a state in a part of the time of the graph.
type Moment struct{ Busy, Waiting, Blocked float64 }

// moments is how many there are in a course at most: its step doubles when they are full.
const moments = 512

// firstStep is the step of a course at first.
const firstStep = 2 * time.Millisecond

// A meter follows what the workers of a graph's stages do.
type meter struct {
	now   func() time.Time
	began time.Time

	mu     sync.Mutex
	step   time.Duration // of a course
	stages []*gauge      // in the order of the graph
}

// A gauge is a stage: where its workers are now, and the sums of where they were.
type gauge struct {
	Activity
	meter *meter
	prev  *gauge // nil: the first stage
	last  bool   // of the graph: what it gives, nobody takes

	since         time.Time     // of the last change
	busy, waiting int           // workers, now
	left, most    int           // values that are done and that the next stage has not taken, now and at most
	depth         time.Duration // sum of left over time
}

func newMeter() *meter {
	return &meter{now: time.Now, began: time.Now(), step: firstStep}
}

// stage adds a stage. Call it in the order of the graph, and before its first value.
func (m *meter) stage(name string, workers int) *gauge {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := &gauge{Activity: Activity{Stage: name, Workers: workers}, meter: m, since: m.began}
	if n := len(m.stages); n > 0 {
		g.prev = m.stages[n-1]
	}
	m.stages = append(m.stages, g)
	return g
}

// take tells that a worker has taken a value and waits for its turn with it.
func (g *gauge) take() {
	g.change(func() { g.waiting++ })
	if g.prev != nil {
		g.prev.change(func() { g.prev.left-- })
	}
}

// begin tells that it has its turn.
func (g *gauge) begin() { g.change(func() { g.waiting--; g.busy++ }) }

// end tells that it is done with the value and gives so many others.
func (g *gauge) end(gives int) {
	g.change(func() {
		g.busy--
		if !g.last {
			g.left += gives
			g.most = max(g.most, g.left)
		}
	})
}

// skip tells that it will have no turn.
func (g *gauge) skip() { g.change(func() { g.waiting-- }) }

func (g *gauge) change(f func()) {
	g.meter.mu.Lock()
	defer g.meter.mu.Unlock()
	g.account(g.meter.now())
	f()
}

// account adds the time since the last change to the states that the workers were in.
func (g *gauge) account(now time.Time) {
	took := now.Sub(g.since)
	if took <= 0 {
		return
	}
	blocked := g.blocked()
	starved := g.Workers - g.busy - g.waiting - blocked
	g.Busy += time.Duration(g.busy) * took
	g.Waiting += time.Duration(g.waiting) * took
	g.Blocked += time.Duration(blocked) * took
	g.Starved += time.Duration(starved) * took
	g.depth += time.Duration(g.left) * took
	g.course(g.since, now, Moment{float64(g.busy), float64(g.waiting), float64(blocked)})
	g.since = now
}

// blocked returns how many workers hold on to what they have done. One value is always on its way: go-streams takes it
// off the worker's hands before the next stage does.
func (g *gauge) blocked() int { return min(max(g.left-1, 0), g.Workers-g.busy-g.waiting) }

// course adds a state that lasted for a time.
func (g *gauge) course(from, to time.Time, m Moment) {
	began := g.meter.began
	for to.Sub(began) > moments*g.meter.step {
		g.meter.coarser()
	}
	step := g.meter.step
	for at := from.Sub(began); at < to.Sub(began); {
		i := int(at / step)
		until := min(time.Duration(i+1)*step, to.Sub(began))
		for len(g.Course) <= i {
			g.Course = append(g.Course, Moment{})
		}
		share := float64(until-at) / float64(step)
		c := &g.Course[i]
		c.Busy += share * m.Busy
		c.Waiting += share * m.Waiting
		c.Blocked += share * m.Blocked
		at = until
	}
}

// coarser doubles the step of all courses.
func (m *meter) coarser() {
	m.step *= 2
	for _, g := range m.stages {
		half := g.Course[:0]
		for i := 0; i < len(g.Course); i += 2 {
			sum := g.Course[i]
			if i+1 < len(g.Course) {
				sum.Busy += g.Course[i+1].Busy
				sum.Waiting += g.Course[i+1].Waiting
				sum.Blocked += g.Course[i+1].Blocked
			}
			half = append(half, Moment{sum.Busy / 2, sum.Waiting / 2, sum.Blocked / 2})
		}
		g.Course = half
	}
}

// stop ends the measurement and returns what it was.
func (m *meter) stop() *Course {
	m.mu.Lock()
	defer m.mu.Unlock()
	end := m.now()
	for _, g := range m.stages {
		g.account(end)
	}
	c := &Course{Began: m.began, Took: end.Sub(m.began), Step: m.step}
	for _, g := range m.stages {
		a := g.Activity
		if g.prev != nil && c.Took > 0 {
			a.Depth, a.MaxDepth = float64(g.prev.depth)/float64(c.Took), g.prev.most
		}
		if a.Stage == leaseStage { // all that it does is to wait for memory
			a.Waiting, a.Busy = a.Waiting+a.Busy, 0
			for i, m := range a.Course {
				a.Course[i] = Moment{Waiting: m.Waiting + m.Busy, Blocked: m.Blocked}
			}
		}
		c.Stages = append(c.Stages, a)
	}
	return c
}

// A Course is how the tiles of a slide went through the graph.
type Course struct {
	Began  time.Time
	Took   time.Duration
	Step   time.Duration    // between two moments of a stage's course
	Stages []Activity       // in the order of the graph
	Phases []sink.PhaseTime // of the slide, so far

	Budget   int64 // bytes that tiles in flight may have
	High     int64 // the most that they had
	Decoded  int64 // bytes of pixels, those of the search for tissue and of the small picture included
	Needed   int64 // bytes of the pixels that were labelled, at the level that they come from
	Seen     int64 // pixels that the network was shown, halos included
	Labelled int64 // pixels that it labelled
}

// times returns how long the workers of each stage were in which state.
func (c *Course) times() []sink.StageTime {
	var times []sink.StageTime
	for _, a := range c.Stages {
		times = append(times, sink.StageTime{
			Stage: a.Stage, Seconds: a.Busy.Seconds(), Workers: a.Workers, Starved: a.Starved.Seconds(), Blocked: a.Blocked.Seconds(),
			Waiting: a.Waiting.Seconds(), Depth: a.Depth, MaxDepth: a.MaxDepth,
		})
	}
	return times
}
