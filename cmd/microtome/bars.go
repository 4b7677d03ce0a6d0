package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"microtome/pipeline"
)

// bars shows a progress bar for each slide at work, and below them one for the run where it has several slides. It leaves one
// line behind for each slide that ended, and a table for the run.
type bars struct {
	*display
	tally *tally
	opts  talkOptions
	quiet func() bool

	slides []string // of the rows shown
}

func newBars(w io.Writer, o talkOptions) *bars {
	return &bars{display: newDisplay(w), tally: newTally(o.total, o.now), opts: o}
}

func (b *bars) note(text string) { b.say("%s", text) }

func (b *bars) stdout(w io.Writer) io.Writer {
	if isTerminal(w) {
		return b.aside(w)
	}
	return w
}

func (b *bars) close() {
	b.quiet()
	b.show()
	if sum := b.tally.account(); sum.several() && sum.all() > 0 {
		printTable(b.w, sum, b.opts.out)
	}
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
		SlideBegin: func(e pipeline.SlideBegin) {
			b.tally.begin(e)
			b.layOut()
		},
		TileDone: func(e pipeline.TileDone) {
			b.tally.tile(e)
			if b.opts.verbose {
				b.say("%s: tile %v", filepath.Base(e.Slide), e.Core)
			}
			b.advance(e.Slide)
		},
		SlideEnd: func(e pipeline.SlideEnd) {
			a := b.tally.end(e)
			b.sayEnd(e, a)
			b.layOut()
		},
	}
}

// sayEnd leaves a line behind for a slide.
func (b *bars) sayEnd(e pipeline.SlideEnd, a atWork) {
	name := filepath.Base(e.Slide)
	switch {
	case errors.Is(e.Err, errInterrupted): // said already
	case e.Err != nil:
		b.say("failed: %v", oneLine(e.Err))
	case e.Kept:
		b.say("%s: results in %s kept: give --force to replace them", name, e.Dir)
	default:
		resumed := ""
		if a.resumed > 0 {
			resumed = fmt.Sprintf(" (resumed at tile %d of %d)", a.resumed, a.tiles())
		}
		b.say("%s: done in %s%s, %.1f Mpx/s, peak memory %s", name, b.tally.now().Sub(a.began).Round(100*time.Millisecond), resumed,
			b.tally.perSecond(a), size(e.Summary.Memory.Peak))
	}
}

// layOut shows the rows that there are now to show.
func (b *bars) layOut() {
	var rows []row
	b.slides = b.tally.slides()
	for _, slide := range b.slides {
		rows = append(rows, b.slideRow(slide))
	}
	if sum := b.tally.account(); sum.several() {
		rows = append(rows, b.runRow(sum))
	}
	b.show(rows...)
}

// advance moves the bar of a slide, and that of the run.
func (b *bars) advance(slide string) {
	for i, s := range b.slides {
		if s == slide {
			a := b.tally.at(slide)
			b.set(i, int64(a.resumed+a.done))
		}
	}
	if sum := b.tally.account(); sum.several() && sum.total > 0 {
		b.set(len(b.slides), thousandths(sum.part))
	}
}

// slideRow shows a slide's tiles, those of an interrupted run included.
func (b *bars) slideRow(slide string) row {
	text := func(f func(a atWork) string) decor.DecorFunc {
		return func(decor.Statistics) string { return f(b.tally.at(slide)) }
	}
	a := b.tally.at(slide)
	return row{total: int64(max(1, a.tiles())), current: int64(a.resumed + a.done), options: []mpb.BarOption{
		mpb.PrependDecorators(
			decor.Any(func(s decor.Statistics) string { return shorten(filepath.Base(slide), nameWidth(s.AvailableWidth)) }, decor.WCSyncWidthR),
			decor.Any(text(func(a atWork) string {
				if a.done == a.todo {
					return "finishing"
				}
				return fmt.Sprintf("%d / %d tiles", a.resumed+a.done, a.tiles())
			}), decor.WCSyncSpace),
		),
		mpb.AppendDecorators(
			decor.Any(text(func(a atWork) string { return fmt.Sprintf("%.1f Mpx/s", b.tally.perSecond(a)) }), decor.WC{W: 12}),
			decor.Any(text(func(a atWork) string {
				if a.done == 0 || a.done == a.todo {
					return ""
				}
				return left(float64(a.todo-a.done), b.tally.now().Sub(a.began).Seconds()/float64(a.done))
			}), decor.WC{W: 16}),
		),
	}}
}

// nameWidth is what the name of a slide may take of a line: what the tiles, a short bar, the speed and the time leave.
func nameWidth(line int) int { return max(12, min(line/3, line-62)) }

// runRow shows the whole run.
func (b *bars) runRow(sum account) row {
	return row{total: thousandths(float64(sum.total)), current: thousandths(sum.part), options: []mpb.BarOption{
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			return overall(b.tally.account(), s.AvailableWidth-12) // the rest is for the bar
		})),
	}}
}

// thousandths are what the bar of a run counts.
func thousandths(slides float64) int64 { return int64(1000 * slides) }

// overall says how a run stands, in no more than so many columns where that can be: the time left is dearest.
func overall(sum account, width int) string {
	slides := fmt.Sprintf("%d slides", sum.all())
	if sum.total > 0 {
		slides = fmt.Sprintf("%d / %d slides", sum.all(), sum.total)
	}
	said := []string{slides}
	if sum.failed > 0 {
		said = append(said, fmt.Sprintf("%d failed", sum.failed))
	}
	keep := len(said)
	if sum.slidesPerH > 0 {
		said = append(said, number(sum.slidesPerH)+" slides/h")
	}
	if sum.mm2PerH > 0 {
		said = append(said, number(sum.mm2PerH)+" mm²/h")
	}
	last := ""
	if sum.left > 0 {
		last = " · " + span(sum.left) + " left"
	}
	for {
		line := strings.Join(said, " · ") + last
		if len(said) == keep || utf8.RuneCountInString(line) <= width {
			return line
		}
		said = said[:len(said)-1]
	}
}
