package main

import (
	"errors"
	"fmt"
	"image"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"microtome/pipeline"
	"microtome/sink"
)

// A clock is set by a test; a display reads it meanwhile.
type clock struct{ passed atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(c.passed.Load()))
}

func (c *clock) advance(d time.Duration) { c.passed.Add(int64(d)) }

// begins is the begin of a slide of 4 mm² with so many tiles.
func begins(slide string, resumed, todo int) pipeline.SlideBegin {
	return pipeline.SlideBegin{Slide: slide, Resumed: resumed, Todo: todo, Plan: pipeline.Plan{
		Size: image.Pt(4000, 4000), Region: image.Rect(0, 0, 4000, 4000), MPP: 0.5, Tiles: resumed + todo,
	}}
}

func tileOf(slide string) pipeline.TileDone {
	return pipeline.TileDone{Slide: slide, Core: image.Rect(1024, 2048, 1024+1000, 2048+1000)}
}

// ends is the end of a slide that went well.
func ends(slide string) pipeline.SlideEnd {
	return pipeline.SlideEnd{Slide: slide, Dir: "out/" + slide, Summary: &sink.Summary{
		Seconds: 2, Coverage: sink.CoverageSummary{Written: 16e6}, Memory: sink.MemorySummary{Peak: 1 << 30},
	}}
}

// TestAccount follows runs by events and hours that pass.
func TestAccount(t *testing.T) {
	type step = func(*tally, *clock)
	hours := func(h float64) step {
		return func(_ *tally, c *clock) { c.advance(time.Duration(h * float64(time.Hour))) }
	}
	begin := func(slide string, resumed, todo int) step {
		return func(t *tally, _ *clock) { t.begin(begins(slide, resumed, todo)) }
	}
	tiles := func(slide string, n int) step {
		return func(t *tally, _ *clock) {
			for range n {
				t.tile(tileOf(slide))
			}
		}
	}
	end := func(slide string) step { return func(t *tally, _ *clock) { t.end(ends(slide)) } }
	keep := func(slide string) step {
		return func(t *tally, _ *clock) { t.end(pipeline.SlideEnd{Slide: slide, Kept: true, Summary: &sink.Summary{}}) }
	}
	fail := func(slide string, err error) step {
		return func(t *tally, _ *clock) { t.end(pipeline.SlideEnd{Slide: slide, Err: err}) }
	}
	unsized := func(slide string, todo int) step {
		return func(t *tally, _ *clock) {
			e := begins(slide, 0, todo)
			e.Plan.MPP = 0
			t.begin(e)
		}
	}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		total int
		steps []step
		want  string // slides done, kept, failed, parts of slides, slides/h, mm²/h, hours left
	}{
		"nothing happened":     {3, nil, "0 0 0, 0, 0 0 0"},
		"no tile is done":      {3, []step{begin("a", 0, 10), hours(1)}, "0 0 0, 0, 0 0 0"},
		"no time has passed":   {3, []step{begin("a", 0, 10), tiles("a", 5)}, "0 0 0, 0.5, 0 0 0"},
		"half of the first":    {3, []step{begin("a", 0, 10), hours(1), tiles("a", 5)}, "0 0 0, 0.5, 0.5 2 5"},
		"one of three":         {3, []step{begin("a", 0, 10), tiles("a", 10), hours(2), end("a")}, "1 0 0, 1, 0.5 2 4"},
		"all":                  {2, []step{begin("a", 0, 1), begin("b", 0, 1), hours(1), tiles("a", 1), tiles("b", 1), end("a"), end("b")}, "2 0 0, 2, 2 8 0"},
		"a total is not known": {0, []step{begin("a", 0, 10), hours(1), tiles("a", 5)}, "0 0 0, 0.5, 0.5 2 0"},
		"more than the total":  {1, []step{begin("a", 0, 1), hours(1), tiles("a", 1), end("a"), begin("b", 0, 2), tiles("b", 1)}, "1 0 0, 1.5, 1.5 6 0.3333"},
		"several at work": { // 0.75 slides in an hour; 3.25 are left
			4, []step{begin("a", 0, 4), begin("b", 0, 8), hours(1), tiles("b", 4), tiles("a", 1)}, "0 0 0, 0.75, 0.75 3 4.333",
		},
		"kept slides tell nothing": {
			5, []step{hours(3), keep("a"), keep("b"), keep("c"), begin("d", 0, 2), hours(1), tiles("d", 1), keep("e")}, "0 4 0, 4.5, 0.5 2 1",
		},
		"failed slides are no work": {
			4, []step{fail("a", broken), begin("b", 0, 2), begin("c", 0, 2), tiles("c", 1), hours(1), tiles("b", 2), end("b"), fail("c", broken)}, "1 0 2, 3, 1 4 1",
		},
		"an interrupted slide did not end, its tiles are done": {
			2, []step{begin("a", 0, 2), hours(1), tiles("a", 1), fail("a", errInterrupted)}, "0 0 0, 0, 0.5 2 4",
		},
		"a resumed slide": { // a quarter of a slide in half an hour; a quarter and a whole one are left
			2, []step{begin("a", 4, 4), hours(0.5), tiles("a", 2)}, "0 0 0, 0.75, 0.5 2 2.5",
		},
		"a resumed slide that is done": {
			2, []step{begin("a", 6, 2), hours(0.5), tiles("a", 2), end("a")}, "1 0 0, 1, 0.5 2 2",
		},
		"begun again": {
			2, []step{begin("a", 0, 2), tiles("a", 1), hours(1), begin("a", 0, 8), hours(1), tiles("a", 4)}, "0 0 0, 0.5, 0.25 1 6",
		},
		"only glass": {
			2, []step{begin("a", 0, 0), hours(1), end("a")}, "1 0 0, 1, 1 4 1",
		},
		"a resolution is not known": {
			3, []step{begin("a", 0, 1), hours(1), tiles("a", 1), end("a"), unsized("b", 2), tiles("b", 1)}, "1 0 0, 1.5, 1.5 0 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c0 := &clock{}
			ta := newTally(c.total, c0.now)
			for _, s := range c.steps {
				s(ta, c0)
			}
			a := ta.account()
			got := fmt.Sprintf("%d %d %d, %.4g, %.4g %.4g %.4g", a.done, a.kept, a.failed, a.part, a.slidesPerH, a.mm2PerH, a.left.Hours())
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestAccountOfEqualSlides: where all slides take equally long, the estimate is right at any moment, however many are at work and whatever an
// interrupted run had done of each.
func TestAccountOfEqualSlides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tiles, aTile = 20, 30 * time.Second
		c := &clock{}
		total := rapid.IntRange(1, 12).Draw(t, "slides")
		ta := newTally(total, c.now)
		atOnce := rapid.IntRange(1, 4).Draw(t, "at once")
		todo := map[string]int{}
		all, done, next := 0, 0, 0
		for i := range total {
			n := rapid.IntRange(1, tiles).Draw(t, "todo")
			todo[fmt.Sprint(i)] = n
			all += n
		}
		// The slides that have not begun are estimated as whole ones.
		whole := func() int {
			n := all - done
			for i := next; i < total; i++ {
				n += tiles - todo[fmt.Sprint(i)]
			}
			return n
		}
		for done < all {
			for next < total && len(ta.slides()) < atOnce {
				s := fmt.Sprint(next)
				ta.begin(begins(s, tiles-todo[s], todo[s]))
				next++
			}
			s := rapid.SampledFrom(ta.slides()).Draw(t, "slide")
			c.advance(aTile)
			ta.tile(tileOf(s))
			done++
			if a := ta.at(s); a.done == a.todo {
				ta.end(ends(s))
			}
			want := time.Duration(whole()) * aTile
			if got := ta.account().left; (got - want).Abs() > time.Second {
				t.Fatalf("%v left after %d of %d tiles, want %v", got, done, all, want)
			}
		}
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                       "0 s",
		0:                                  "0 s",
		1400 * time.Millisecond:            "1 s",
		59*time.Second + 600e6:             "1 min 0 s",
		9*time.Minute + 59*time.Second:     "9 min 59 s",
		10*time.Minute + 59*time.Second:    "10 min",
		4*time.Hour + 12*time.Minute + 3e9: "4 h 12 min",
		47*time.Hour + 59*time.Minute:      "47 h 59 min",
		76 * time.Hour:                     "3 d 4 h",
		seconds(math.Inf(1)):               "106,751 d 23 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		name  string
		width int
		want  string
	}{
		{"slide.svs", 20, "slide.svs"},
		{"slide.svs", 9, "slide.svs"},
		{"TCGA-A1-A0SB-01Z-00-DX1.B34C267B.svs", 20, "TCGA-A1-A0…C267B.svs"},
		{"切片切片切片切片.svs", 12, "切片切… .svs"},
	} {
		if got := shorten(c.name, c.width); got != c.want {
			t.Errorf("%s in %d columns: %s, want %s", c.name, c.width, got, c.want)
		}
	}
}

func TestOverall(t *testing.T) {
	sum := account{
		counts: counts{done: 7, kept: 2, failed: 3}, total: 200, slidesPerH: 34.2, mm2PerH: 5210.3,
		left: 4*time.Hour + 12*time.Minute,
	}
	for width, want := range map[int]string{
		100: "12 / 200 slides · 3 failed · 34 slides/h · 5,210 mm²/h · 4 h 12 min left",
		68:  "12 / 200 slides · 3 failed · 34 slides/h · 4 h 12 min left",
		50:  "12 / 200 slides · 3 failed · 4 h 12 min left",
		10:  "12 / 200 slides · 3 failed · 4 h 12 min left",
	} {
		if got := overall(sum, width); got != want {
			t.Errorf("in %d columns: %s, want %s", width, got, want)
		}
	}
	if got, want := overall(account{counts: counts{kept: 1}}, 80), "1 slides"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
