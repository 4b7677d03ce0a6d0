package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"microtome/pipeline"
)

// bars shows a progress bar for the slide at work, and leaves one line behind for each that ended.
type bars struct {
	display
	quiet func() bool

	began  time.Time
	total  float64      // Mpx of the current slide
	pixels atomic.Int64 // of it that are done; the display's goroutine reads it
}

func newBars(w io.Writer) *bars { return &bars{display: display{w: w}} }

func (b *bars) close() {
	b.quiet()
	b.down()
}

// begin shows a bar for a slide.
func (b *bars) begin(e pipeline.SlideBegin) {
	b.down() // of a slide that is started again
	b.began = time.Now()
	b.total = float64(e.Plan.Region.Dx()) * float64(e.Plan.Region.Dy()) / 1e6
	b.pixels.Store(0)
	b.up(int64(e.Plan.Tiles)+1, // the last step is the overlay
		mpb.PrependDecorators(
			decor.Name(filepath.Base(e.Slide)),
			decor.Any(func(s decor.Statistics) string {
				if s.Current >= int64(e.Plan.Tiles) {
					return " drawing the overlay"
				}
				return fmt.Sprintf(" %d / %d tiles", s.Current, e.Plan.Tiles)
			}),
		),
		mpb.AppendDecorators(
			decor.Any(func(decor.Statistics) string { return b.rate() }, decor.WC{W: 12}),
			decor.Any(func(decor.Statistics) string { return b.left() }, decor.WC{W: 16}),
		))
}

func (b *bars) events() pipeline.Events {
	return pipeline.Events{
		Warning: func(slide, text string) {
			if slide == "" {
				b.say("%s", text)
				return
			}
			b.say("%s: %s", filepath.Base(slide), text)
		},
		SlideBegin: b.begin,
		TileDone: func(e pipeline.TileDone) {
			b.pixels.Add(int64(e.Core.Dx()) * int64(e.Core.Dy()))
			b.bar.Increment()
		},
		SlideEnd: func(e pipeline.SlideEnd) {
			b.down()
			name := filepath.Base(e.Slide)
			switch {
			case errors.Is(e.Err, errInterrupted): // said already
			case e.Err != nil:
				b.say("failed: %v", oneLine(e.Err))
			case e.Kept:
				b.say("%s: results in %s kept: give --force to replace them", name, e.Dir)
			default:
				b.say("%s: done in %s, %s, peak memory %s", name, time.Since(b.began).Round(100*time.Millisecond), b.rate(), size(e.Summary.Memory.Peak))
			}
		},
	}
}

// done returns the Mpx that are done of the current slide, and how many a second.
func (b *bars) done() (mpx, perSecond float64) {
	mpx = float64(b.pixels.Load()) / 1e6
	return mpx, mpx / max(time.Since(b.began).Seconds(), 1e-3)
}

func (b *bars) rate() string {
	_, perSecond := b.done()
	return fmt.Sprintf("%.1f Mpx/s", perSecond)
}

// left estimates the time that the current slide still takes, once a tile of it is done.
func (b *bars) left() string {
	mpx, perSecond := b.done()
	if mpx == 0 {
		return ""
	}
	return left(b.total-mpx, 1/perSecond)
}
