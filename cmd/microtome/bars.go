package main

import (
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"microtome/pipeline"
)

// bars shows a progress bar for the slide at work, with one line left behind for each that ended.
type bars struct {
	*mpb.Progress
	bar    *mpb.Bar
	began  time.Time
	pixels atomic.Int64 // done, of the current slide; the bar's goroutine reads it
}

func newBars(w io.Writer) *bars {
	return &bars{Progress: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithAutoRefresh())}
}

func (b *bars) close() { b.Shutdown() }

func (b *bars) events() pipeline.Events {
	return pipeline.Events{
		Warning: func(slide, text string) { b.say("%s: %s", filepath.Base(slide), text) },
		SlideBegin: func(e pipeline.SlideBegin) {
			b.began = time.Now()
			b.pixels.Store(0)
			b.bar = b.AddBar(int64(e.Plan.Tiles),
				mpb.PrependDecorators(
					decor.Name(filepath.Base(e.Slide), decor.WCSyncSpaceR),
					decor.CountersNoUnit("%d / %d tiles", decor.WCSyncSpace),
				),
				mpb.AppendDecorators(
					decor.Any(func(decor.Statistics) string { return b.rate() }, decor.WC{W: 12}),
					decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 9}),
					decor.Name(" left"),
				))
		},
		TileDone: func(e pipeline.TileDone) {
			b.pixels.Add(int64(e.Core.Dx()) * int64(e.Core.Dy()))
			b.bar.Increment()
		},
		SlideEnd: func(e pipeline.SlideEnd) {
			if b.bar != nil {
				b.bar.Abort(true)
				b.bar.Wait()
				b.bar = nil
			}
			name := filepath.Base(e.Slide)
			switch {
			case e.Err != nil:
				b.say("failed: %v", e.Err)
			case e.Kept:
				b.say("%s: results in %s kept: give --force to replace them", name, e.Dir)
			default:
				b.say("%s: done in %s, %s, peak memory %s", name, time.Since(b.began).Round(100*time.Millisecond), b.rate(), size(e.Summary.Memory.Peak))
			}
		},
	}
}

func (b *bars) rate() string {
	return fmt.Sprintf("%.1f Mpx/s", float64(b.pixels.Load())/1e6/max(time.Since(b.began).Seconds(), 1e-3))
}

// say writes a line above the bars.
func (b *bars) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.Progress, "microtome: "+format+"\n", args...)
}
