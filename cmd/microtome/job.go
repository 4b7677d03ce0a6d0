package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// A job tells a person, or a log, how one long piece of work goes on, such as training: on a terminal it shows a bar with
// messages above it, elsewhere it writes JSON lines. It writes to standard error.
type job struct {
	log     *zerolog.Logger // nil on a terminal
	display *display
	quiet   func() bool

	text atomic.Pointer[string] // behind the bar; it is read by the display's own goroutine
	said time.Time              // when the log got its last line of progress
}

// fields are what a line of a log holds beside its message.
type fields = map[string]any

// logEvery is how often a log hears of progress.
const logEvery = 30 * time.Second

// newJob says stopping when ctx is interrupted.
func newJob(ctx context.Context, w io.Writer, stopping string) *job {
	j := &job{display: newDisplay(w)}
	j.text.Store(new(string))
	if !isTerminal(w) {
		l := zerolog.New(w).With().Timestamp().Logger()
		j.log = &l
	}
	j.quiet = onInterrupt(ctx, func() {
		if j.log == nil {
			j.display.say("%s", stopping)
			return
		}
		j.log.Info().Msg(stopping)
	})
	return j
}

// begin tells of the start of all that is to be done, which counts units.
func (j *job) begin(unit string, done, all int) {
	j.said = time.Now()
	if j.log != nil {
		return
	}
	j.display.show(row{total: int64(all), current: int64(done), options: []mpb.BarOption{
		mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string { return fmt.Sprintf("%s %d / %d", unit, s.Current, all) })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + *j.text.Load() })),
	}})
}

// progress tells how much is done, and what of it is to be seen: as text, or as a line of the log now and then.
func (j *job) progress(done int, text string, f fields) {
	if j.log == nil {
		j.text.Store(&text)
		j.display.set(0, int64(done))
		return
	}
	if now := time.Now(); now.Sub(j.said) >= logEvery {
		j.said = now
		j.log.Info().Fields(f).Msg("progress")
	}
}

// say tells a person the text, or a log the message with its fields.
func (j *job) say(text, message string, f fields) {
	if j.log == nil {
		j.display.say("%s", text)
		return
	}
	j.log.Info().Fields(f).Msg(message)
}

// warn says what the user must know.
func (j *job) warn(text string) {
	if j.log == nil {
		j.display.say("%s", text)
		return
	}
	j.log.Warn().Msg(text)
}

// close takes the bar away: what follows is the result.
func (j *job) close() {
	j.quiet()
	j.display.show()
}
