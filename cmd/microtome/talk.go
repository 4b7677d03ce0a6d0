package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"microtome/pipeline"
)

// A talker tells a person, or a log, how a run goes on. It writes to standard error.
type talker interface {
	events() pipeline.Events
	note(text string)             // tells what is asked for
	stdout(w io.Writer) io.Writer // writes to standard output, aside from bars on the same terminal
	close()                       // writes out what is pending, and how the run ended
}

type talkOptions struct {
	total   int    // slides of the run; 0: unknown
	out     string // folder of the results
	verbose bool   // tell of each tile
	now     func() time.Time
}

// newTalker returns progress bars where w is a terminal, and JSON lines elsewhere. It says so when ctx is
// interrupted.
func newTalker(ctx context.Context, w io.Writer, o talkOptions) talker {
	if o.now == nil {
		o.now = time.Now
	}
	if isTerminal(w) {
		b := newBars(w, o)
		b.quiet = onInterrupt(ctx, func() { b.say("%s", stopping) })
		return b
	}
	l := newLogger(w, o)
	l.quiet = onInterrupt(ctx, func() { l.Info().Msg(stopping) })
	return l
}

// isTerminal reports whether a person looks at what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const stopping = "stopping; press Ctrl-C again to stop at once"

// onInterrupt calls say when a signal ends ctx, until quiet is called.
func onInterrupt(ctx context.Context, say func()) (quiet func() bool) {
	return context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), errInterrupted) {
			say()
		}
	})
}

// A logger writes a JSON line for each event, for single tiles only where it is verbose, and now and then one of progress.
type logger struct {
	zerolog.Logger
	tally   *tally
	verbose bool
	quiet   func() bool
	said    time.Time // when it last told of progress
}

// progressEvery is how often a log hears of the progress of a run, where there are events.
const progressEvery = time.Minute

func newLogger(w io.Writer, o talkOptions) *logger {
	return &logger{
		Logger: zerolog.New(w).With().Timestamp().Logger(), tally: newTally(o.total, o.now), verbose: o.verbose, said: o.now(),
	}
}

func (l *logger) note(text string) { l.Info().Msg(text) }

func (l *logger) stdout(w io.Writer) io.Writer { return w }

func (l *logger) close() {
	l.quiet()
	sum := l.tally.account()
	if !sum.several() || sum.all() == 0 {
		return
	}
	ev := rates(counted(l.Info(), sum), sum).Float64("seconds", sum.wall.Seconds())
	if sum.mm2 > 0 {
		ev.Float64("mm2", sum.mm2)
	}
	ev.Msg("finished")
}

func (l *logger) events() pipeline.Events {
	return pipeline.Events{
		Warning: func(slide, text string) {
			ev := l.Warn()
			if slide != "" {
				ev.Str("slide", slide)
			}
			ev.Msg(text)
		},
		SlideBegin: func(e pipeline.SlideBegin) {
			l.tally.begin(e)
			l.Info().Str("slide", e.Slide).Int("width", e.Plan.Size.X).Int("height", e.Plan.Size.Y).Float64("mpp", e.Plan.MPP).
				Int("tiles", e.Plan.Tiles).Int("todo", e.Todo).Int("resumed", e.Resumed).
				Int("core", e.Plan.Core).Int("workers", e.Plan.Workers).Int64("memory", e.Plan.Sum()).Msg("segmenting")
			l.progress()
		},
		TileDone: func(e pipeline.TileDone) {
			l.tally.tile(e)
			if l.verbose {
				l.Debug().Str("slide", e.Slide).Ints("tile", []int{e.Core.Min.X, e.Core.Min.Y, e.Core.Dx(), e.Core.Dy()}).Msg("tile")
			}
			l.progress()
		},
		SlideEnd: func(e pipeline.SlideEnd) {
			l.tally.end(e)
			l.end(e)
			l.progress()
		},
	}
}

func (l *logger) end(e pipeline.SlideEnd) {
	sum := l.tally.account()
	switch {
	case errors.Is(e.Err, errInterrupted): // said already
	case e.Err != nil:
		ev := l.Error().Str("slide", e.Slide)
		var se *pipeline.StageError
		if errors.As(e.Err, &se) {
			ev.Str("stage", se.Stage)
		}
		counted(ev, sum).Err(oneLine(e.Err)).Msg("failed")
	case e.Kept:
		counted(l.Info().Str("slide", e.Slide).Str("dir", e.Dir), sum).Msg("results kept: give --force to replace them")
	default:
		counted(l.Info().Str("slide", e.Slide).Str("dir", e.Dir), sum).Float64("seconds", e.Summary.Seconds).
			Float64("mpx_per_s", float64(e.Summary.Coverage.Written)/1e6/e.Summary.Seconds).Int64("peak", e.Summary.Memory.Peak).Msg("done")
	}
}

// progress writes a line once a minute.
func (l *logger) progress() {
	now := l.tally.now()
	if now.Sub(l.said) < progressEvery {
		return
	}
	l.said = now
	sum := l.tally.account()
	ev := rates(counted(l.Info(), sum), sum)
	if sum.left > 0 {
		ev.Float64("eta_s", math.Round(sum.left.Seconds()))
	}
	ev.Msg("progress")
}

// counted adds the slides that ended, and the total where it is known.
func counted(ev *zerolog.Event, sum account) *zerolog.Event {
	ev.Int("done", sum.done).Int("kept", sum.kept).Int("failed", sum.failed)
	if sum.total > 0 {
		ev.Int("total", sum.total)
	}
	return ev
}

// rates adds those that are known.
func rates(ev *zerolog.Event, sum account) *zerolog.Event {
	if sum.slidesPerH > 0 {
		ev.Float64("slides_per_h", sum.slidesPerH)
	}
	if sum.mm2PerH > 0 {
		ev.Float64("mm2_per_h", sum.mm2PerH)
	}
	return ev
}
