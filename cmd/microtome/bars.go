package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"microtome/pipeline"
)

// bars shows a progress bar for the slide at work, and leaves one line behind for each that ended.
// Every slide gets a display of its own, which is taken down before anything else is written: what
// goes to standard output stays readable, and the last message is not lost with the display.
type bars struct {
	w     io.Writer
	quiet func() bool

	mu      sync.Mutex // a signal speaks from its own goroutine
	display *mpb.Progress
	bar     *mpb.Bar

	began  time.Time
	total  float64      // Mpx of the current slide
	pixels atomic.Int64 // of it that are done; the display's goroutine reads it
}

func newBars(w io.Writer) *bars { return &bars{w: w} }

func (b *bars) close() {
	b.quiet()
	b.down()
}

// up shows a bar for a slide.
func (b *bars) up(e pipeline.SlideBegin) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began = time.Now()
	b.total = float64(e.Plan.Region.Dx()) * float64(e.Plan.Region.Dy()) / 1e6
	b.pixels.Store(0)
	b.display = mpb.New(mpb.WithOutput(b.w), mpb.WithWidth(40), mpb.WithAutoRefresh())
	b.bar = b.display.AddBar(int64(e.Plan.Tiles)+1, // the last step is the overlay
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

// down takes the bar away, if there is one.
func (b *bars) down() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.display == nil {
		return
	}
	b.bar.Abort(true)
	b.display.Wait() // writes what is pending
	b.display, b.bar = nil, nil
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
		SlideBegin: b.up,
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
	return (time.Duration((b.total-mpx)/perSecond) * time.Second).String() + " left"
}

// say writes a line, above the bar where there is one.
func (b *bars) say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.w
	if b.display != nil {
		w = b.display
	}
	fmt.Fprintf(w, "microtome: "+format+"\n", args...)
}
