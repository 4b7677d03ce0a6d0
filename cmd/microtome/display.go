package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
)

// A display shows bars at the bottom of a terminal, and lines above them. The bars are taken down before anything else is
// written: what goes to standard output stays readable, and the last message is not lost with the display.
type display struct {
	w       io.Writer
	refresh chan any // makes the bars be drawn anew

	mu       sync.Mutex // a signal speaks from its own goroutine
	rows     []row      // what is shown, from top to bottom
	bars     []*mpb.Bar // of them, while they are up
	progress *mpb.Progress
	still    chan struct{} // closed: bars are drawn no more
}

// A row is a bar of a display, with what stands before and behind it.
type row struct {
	total, current int64 // total 0: there is text only
	options        []mpb.BarOption
}

// redraw is how often bars are drawn.
const redraw = 150 * time.Millisecond

func newDisplay(w io.Writer) *display { return &display{w: w, refresh: make(chan any)} }

// show replaces the bars by others, or by none.
func (d *display) show(rows ...row) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down()
	d.rows = rows
	d.up()
}

// set says how far a row is.
func (d *display) set(i int, current int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows[i].current = current
	d.bars[i].SetCurrent(current)
}

// say writes a line above the bars.
func (d *display) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.progress == nil {
		fmt.Fprintf(d.w, "microtome: "+format+"\n", args...)
		return
	}
	fmt.Fprintf(d.progress, "\rmicrotome: "+format+"\n", args...) // \r: the terminal may have shown ^C
}

// up puts the rows on the terminal, at once.
func (d *display) up() {
	if len(d.rows) == 0 {
		return
	}
	d.progress = mpb.New(mpb.WithOutput(d.w), mpb.WithManualRefresh(d.refresh))
	for _, r := range d.rows {
		style, total := mpb.BarFillerBuilder(mpb.BarStyle()), r.total+1 // a display with a full bar shows no more messages
		if r.total == 0 {
			style = mpb.NopStyle()
		}
		bar := d.progress.New(total, style, append(r.options, mpb.BarWidth(40))...)
		bar.SetCurrent(r.current)
		d.bars = append(d.bars, bar)
	}
	d.still = make(chan struct{})
	go animate(d.refresh, d.still)
}

// animate makes the bars be drawn now and then, until they stand still.
func animate(refresh chan<- any, still <-chan struct{}) {
	ticks := time.NewTicker(redraw)
	defer ticks.Stop()
	for {
		select {
		case refresh <- nil:
		case <-still:
			return
		}
		select {
		case <-ticks.C:
		case <-still:
			return
		}
	}
}

// down takes the bars away, if there are any.
func (d *display) down() {
	if d.progress == nil {
		return
	}
	close(d.still)
	for _, bar := range d.bars {
		bar.Abort(true)
	}
	d.progress.Wait() // writes what is pending
	d.progress, d.bars = nil, nil
}

// aside returns a writer to w, a terminal: the bars are down while it is written to.
func (d *display) aside(w io.Writer) io.Writer { return aside{d, w} }

type aside struct {
	display *display
	w       io.Writer
}

func (a aside) Write(b []byte) (int, error) {
	a.display.mu.Lock()
	defer a.display.mu.Unlock()
	a.display.down()
	defer a.display.up()
	return a.w.Write(b)
}
