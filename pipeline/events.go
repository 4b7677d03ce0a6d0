package pipeline

import (
	"image"

	"microtome/sink"
)

// Events are called as a run goes on. Logs, progress bars and measurements are listeners; the
// pipeline itself writes to no terminal. A nil field is skipped. Several slides may be at work, and their events
// mix; but calls come one at a time, whatever goroutine they come from: a listener must return quickly.
type Events struct {
	Warning    func(slide, text string) // slide is empty where all are concerned
	SlideBegin func(SlideBegin)
	TileDone   func(TileDone)
	SlideEnd   func(SlideEnd)
}

// SlideBegin is sent when a slide is open and its plan is made, before its first tile.
type SlideBegin struct {
	Slide   string // path
	Plan    Plan
	Todo    int // tiles that TileDone will tell of: those that touch tissue and are not done yet
	Resumed int // tiles that an interrupted run had done
}

// TileDone is sent when a tile's labels are in the pyramid.
type TileDone struct {
	Slide string
	Core  image.Rectangle // in pixels of the working resolution
}

// SlideEnd is sent once for each slide, also for those that never began.
type SlideEnd struct {
	Slide   string
	Dir     string        // folder of the results; empty when it failed
	Kept    bool          // results were there already
	Summary *sink.Summary // of a slide that succeeded or was kept
	Course  *Course       // of a slide whose tiles were done in this run, or some of them
	Err     error

	Interrupted bool // Err is the cause of the run's end, and no fault of the slide
}

// Tee returns Events that call each of several listeners in turn.
func Tee(listeners ...Events) Events {
	return Events{
		Warning: func(slide, text string) {
			for _, l := range listeners {
				l.warn(slide, text)
			}
		},
		SlideBegin: func(e SlideBegin) {
			for _, l := range listeners {
				l.slideBegin(e)
			}
		},
		TileDone: func(e TileDone) {
			for _, l := range listeners {
				l.tileDone(e)
			}
		},
		SlideEnd: func(e SlideEnd) {
			for _, l := range listeners {
				l.slideEnd(e)
			}
		},
	}
}

func (e Events) warn(slide, text string) {
	if e.Warning != nil {
		e.Warning(slide, text)
	}
}

func (e Events) slideBegin(b SlideBegin) {
	if e.SlideBegin != nil {
		e.SlideBegin(b)
	}
}

func (e Events) tileDone(t TileDone) {
	if e.TileDone != nil {
		e.TileDone(t)
	}
}

func (e Events) slideEnd(s SlideEnd) {
	if e.SlideEnd != nil {
		e.SlideEnd(s)
	}
}
