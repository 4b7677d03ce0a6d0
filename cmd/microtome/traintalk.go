package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"microtome/unet/train"
)

// A trainTalk tells a person, or a log, how training goes on.
type trainTalk struct{ close func() }

// newTrainTalk shows a progress bar where w is a terminal, and JSON lines elsewhere. It listens to r.
func newTrainTalk(ctx context.Context, w io.Writer, r *train.Run) trainTalk {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return trainBar(ctx, w, r)
	}
	l := zerolog.New(w).With().Timestamp().Logger()
	quiet := onInterrupt(ctx, func() { l.Info().Msg(stoppingTraining) })
	r.Begun = func(b train.Begun) {
		l.Info().Int("training", b.Training).Int("validation", b.Validation).Int("step", b.Step).Int("steps", b.Steps).
			Int("parameters", b.Parameters).Int("tile", b.Tile).Msg("training")
	}
	r.Validated = func(v train.Validated) {
		l.Info().Int("step", v.Step).Float64("loss", v.Loss).Float64("iou", v.IoU).Float64("seconds", v.Seconds).
			Float64("f1_50", v.Scores.F1At50).Float64("validation_iou", v.Scores.IoU).Bool("best", v.Best).Msg("validated")
	}
	return trainTalk{func() { quiet() }}
}

const stoppingTraining = "writing a checkpoint; press Ctrl-C again to stop at once, without"

func trainBar(ctx context.Context, w io.Writer, r *train.Run) trainTalk {
	display := mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithAutoRefresh())
	say := func(format string, args ...any) { fmt.Fprintf(display, "microtome: "+format+"\n", args...) }
	quiet := onInterrupt(ctx, func() { say("%s", stoppingTraining) })
	var bar *mpb.Bar
	loss, iou, seconds := 0.0, 0.0, 0.0 // running means over some 20 steps
	r.Begun = func(b train.Begun) {
		say("%d images to train on, %d to validate with, %d parameters, tiles of %d px", b.Training, b.Validation, b.Parameters, b.Tile)
		var text atomic.Pointer[string] // the display reads it from its own goroutine
		text.Store(new(string))
		bar = display.AddBar(int64(b.Steps),
			mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string { return fmt.Sprintf("step %d / %d", s.Current, s.Total) })),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *text.Load() })))
		bar.SetCurrent(int64(b.Step))
		r.Step = func(s train.Step) {
			if seconds == 0 {
				loss, iou, seconds = s.Loss, s.IoU, s.Seconds
			}
			const k = 0.05
			loss, iou, seconds = loss+k*(s.Loss-loss), iou+k*(s.IoU-iou), seconds+k*(s.Seconds-seconds)
			left := time.Duration(float64(s.Steps-s.Step) * seconds * float64(time.Second)).Round(time.Second)
			line := fmt.Sprintf(" loss %.3f  IoU %.3f  %.2f s a step  %s left", loss, iou, seconds, left)
			text.Store(&line)
			bar.SetCurrent(int64(s.Step))
		}
	}
	r.Validated = func(v train.Validated) {
		best := ""
		if v.Best {
			best = ", the best so far"
		}
		say("step %d: validation F1 %.3f, IoU %.3f%s", v.Step, v.Scores.F1At50, v.Scores.IoU, best)
	}
	return trainTalk{func() {
		quiet()
		if bar != nil {
			bar.Abort(false)
		}
		display.Wait()
	}}
}
