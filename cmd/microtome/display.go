package main

import (
	"fmt"
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
)

// A display shows one bar at a time on a terminal, and lines above it. The bar is taken down before anything else is written:
// what goes to standard output stays readable, and the last message is not lost with the display.
type display struct {
	w io.Writer

	mu       sync.Mutex // a signal speaks from its own goroutine
	progress *mpb.Progress
	bar      *mpb.Bar
}

// up shows a bar.
func (d *display) up(total int64, options ...mpb.BarOption) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.progress = mpb.New(mpb.WithOutput(d.w), mpb.WithWidth(40), mpb.WithAutoRefresh())
	d.bar = d.progress.AddBar(total, options...)
}

// down takes the bar away, if there is one.
func (d *display) down() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.progress == nil {
		return
	}
	d.bar.Abort(true)
	d.progress.Wait() // writes what is pending
	d.progress, d.bar = nil, nil
}

// say writes a line, above the bar where there is one.
func (d *display) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.progress == nil {
		fmt.Fprintf(d.w, "microtome: "+format+"\n", args...)
		return
	}
	fmt.Fprintf(d.progress, "\rmicrotome: "+format+"\n", args...) // \r: the terminal may have shown ^C
}
