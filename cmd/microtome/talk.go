package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"microtome/pipeline"
)

// A talker tells a person, or a log, how a run goes on. It writes to standard error.
type talker interface {
	events() pipeline.Events
	close() // writes out what is pending
}

// newTalker returns progress bars where w is a terminal, and JSON lines elsewhere. It says so when ctx is
// interrupted.
func newTalker(ctx context.Context, w io.Writer) talker {
	if isTerminal(w) {
		b := newBars(w)
		b.quiet = onInterrupt(ctx, func() { b.say("%s", stopping) })
		return b
	}
	l := logger{Logger: zerolog.New(w).With().Timestamp().Logger()}
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

// A logger writes a JSON line for each event but single tiles.
type logger struct {
	zerolog.Logger
	quiet func() bool
}

func (l logger) close() { l.quiet() }

func (l logger) events() pipeline.Events {
	return pipeline.Events{
		Warning: func(slide, text string) {
			ev := l.Warn()
			if slide != "" {
				ev.Str("slide", slide)
			}
			ev.Msg(text)
		},
		SlideBegin: func(e pipeline.SlideBegin) {
			l.Info().Str("slide", e.Slide).Int("width", e.Plan.Size.X).Int("height", e.Plan.Size.Y).Float64("mpp", e.Plan.MPP).
				Int("tiles", e.Plan.Tiles).Int("core", e.Plan.Core).Int("workers", e.Plan.Workers).Int64("memory", e.Plan.Sum()).Msg("segmenting")
		},
		SlideEnd: func(e pipeline.SlideEnd) {
			switch {
			case errors.Is(e.Err, errInterrupted): // said already
			case e.Err != nil:
				ev := l.Error().Str("slide", e.Slide)
				var se *pipeline.StageError
				if errors.As(e.Err, &se) {
					ev.Str("stage", se.Stage)
				}
				ev.Err(oneLine(e.Err)).Msg("failed")
			case e.Kept:
				l.Info().Str("slide", e.Slide).Str("dir", e.Dir).Msg("results kept: give --force to replace them")
			default:
				l.Info().Str("slide", e.Slide).Str("dir", e.Dir).Float64("seconds", e.Summary.Seconds).
					Float64("mpx_per_s", float64(e.Summary.Coverage.Written)/1e6/e.Summary.Seconds).Int64("peak", e.Summary.Memory.Peak).Msg("done")
			}
		},
	}
}
