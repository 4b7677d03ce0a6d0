package main

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"microtome/pipeline"
)

// A tally counts a run as its events come, and estimates what is left of it. It may be read by a display's goroutine.
type tally struct {
	now   func() time.Time
	total int // slides of the run; 0: unknown

	mu       sync.Mutex
	started  time.Time
	began    time.Time // the first slide: what is kept or fails before costs next to nothing
	work     []atWork  // in the order they began
	ended    counts
	worked   worked
	failures []failure
}

// counts are slides that ended.
type counts struct{ done, kept, failed int }

func (c counts) all() int { return c.done + c.kept + c.failed }

// worked is what a run has done, parts of slides included.
type worked struct {
	slides  float64
	mm2     float64
	unsized bool // the resolution of one of them is unknown, and so are the mm²
}

func (w *worked) add(a atWork, part float64) {
	w.slides += part
	w.mm2 += part * a.mm2
	w.unsized = w.unsized || part > 0 && a.mm2 == 0
}

// atWork is a slide between its begin and its end.
type atWork struct {
	slide         string
	began         time.Time
	resumed, todo int // tiles
	done          int // tiles of todo
	pixels        int64
	mm2           float64 // of its mask; 0: unknown
}

// tiles returns how many the slide has, those of an interrupted run included.
func (a atWork) tiles() int { return a.resumed + a.todo }

// share returns which part of the slide n tiles are.
func (a atWork) share(n int) float64 {
	if a.tiles() == 0 {
		return 0
	}
	return float64(n) / float64(a.tiles())
}

// A failure is a line of the table of a run.
type failure struct{ slide, stage, why string }

// failuresKept is how many failures a table lists.
const failuresKept = 10

func newTally(total int, now func() time.Time) *tally {
	return &tally{now: now, total: total, started: now()}
}

// begin counts a slide as one at work, from its first tile, also where it was at work before.
func (t *tally) begin(e pipeline.SlideBegin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if t.began.IsZero() {
		t.began = now
	}
	size := e.Plan.Region.Size()
	a := atWork{
		slide: e.Slide, began: now, resumed: e.Resumed, todo: e.Todo,
		mm2: float64(size.X) * float64(size.Y) * e.Plan.MPP * e.Plan.MPP / 1e6,
	}
	if i := t.index(e.Slide); i >= 0 {
		a.began = t.work[i].began
		t.work[i] = a
		return
	}
	t.work = append(t.work, a)
}

func (t *tally) tile(e pipeline.TileDone) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.index(e.Slide); i >= 0 {
		t.work[i].done++
		t.work[i].pixels += int64(e.Core.Dx()) * int64(e.Core.Dy())
	}
}

// end counts a slide as one that ended, unless the run was interrupted. It returns what was known of it.
func (t *tally) end(e pipeline.SlideEnd) atWork {
	t.mu.Lock()
	defer t.mu.Unlock()
	var a atWork
	if i := t.index(e.Slide); i >= 0 {
		a = t.work[i]
		t.work = slices.Delete(t.work, i, i+1)
	}
	switch {
	case errors.Is(e.Err, errInterrupted):
		t.worked.add(a, a.share(a.done))
	case e.Err != nil:
		t.ended.failed++
		if len(t.failures) < failuresKept {
			t.failures = append(t.failures, newFailure(e))
		}
	case e.Kept:
		t.ended.kept++
	default:
		t.ended.done++
		done := 1.0
		if a.tiles() > 0 {
			done = a.share(a.todo)
		}
		t.worked.add(a, done)
	}
	return a
}

// index returns where a slide stands among those at work, or -1.
func (t *tally) index(slide string) int {
	return slices.IndexFunc(t.work, func(a atWork) bool { return a.slide == slide })
}

// at returns what is known of a slide at work.
func (t *tally) at(slide string) atWork {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.index(slide); i >= 0 {
		return t.work[i]
	}
	return atWork{}
}

// slides returns those at work, in the order they began.
func (t *tally) slides() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for _, a := range t.work {
		all = append(all, a.slide)
	}
	return all
}

// perSecond returns the Mpx a second of a slide that began then.
func (t *tally) perSecond(a atWork) float64 {
	return float64(a.pixels) / 1e6 / max(t.now().Sub(a.began).Seconds(), 1e-3)
}

// An account is how a run stands.
type account struct {
	counts
	total    int           // slides; 0: unknown
	atWork   int           // slides
	part     float64       // slides that ended, and the parts done of those at work
	wall     time.Duration // since the start of the run
	failures []failure     // the first of them

	mm2                 float64       // that this run has done; 0: not known
	slidesPerH, mm2PerH float64       // 0: not known, or not yet
	left                time.Duration // 0: not known, or not yet
}

// account returns how the run stands now. Slides that are kept, and what an interrupted run had done, tell nothing of the speed of
// this one. A slide that is left is taken to need as much time as those done so far did, failed ones to have needed none.
func (t *tally) account() account {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	worked, ended := t.worked, t.ended.all()
	part, left := float64(ended), float64(max(0, t.total-ended-len(t.work)))
	for _, a := range t.work {
		worked.add(a, a.share(a.done))
		part += a.share(a.resumed + a.done)
		left += a.share(a.todo - a.done)
	}
	sum := account{
		counts: t.ended, total: t.total, atWork: len(t.work), part: part,
		wall: now.Sub(t.started), failures: slices.Clone(t.failures),
	}
	spent := now.Sub(t.began).Seconds()
	if worked.slides == 0 || spent <= 0 {
		return sum
	}
	sum.slidesPerH = 3600 * worked.slides / spent
	if !worked.unsized {
		sum.mm2, sum.mm2PerH = worked.mm2, 3600*worked.mm2/spent
	}
	if t.total > 0 {
		sum.left = seconds(spent * left / worked.slides)
	}
	return sum
}

// several reports whether the run is one of more than one slide.
func (a account) several() bool { return a.total > 1 || a.total == 0 && a.all()+a.atWork > 1 }

// seconds is a duration, the longest there is for a number beyond it.
func seconds(s float64) time.Duration {
	if s >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(s * float64(time.Second))
}

// newFailure says in which stage a slide failed, and why, without its path.
func newFailure(e pipeline.SlideEnd) failure {
	f := failure{slide: filepath.Base(e.Slide), stage: "open", why: oneLine(e.Err).Error()}
	var se *pipeline.StageError
	if errors.As(e.Err, &se) {
		f.stage, f.why = se.Stage, oneLine(se.Err).Error()
		if !se.Tile.Empty() {
			f.stage += " tile " + se.Tile.String()
		}
	}
	f.why = strings.TrimPrefix(f.why, "open "+e.Slide+": ") // as package slide says it
	return f
}
