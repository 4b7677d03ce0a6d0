package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Sizes of a timeline, px.
const (
	laneWidth  = 900
	laneHeight = 46
	laneGap    = 14
	laneLeft   = 110
	laneTop    = 84
)

// Colours of states, which people who do not see red and green apart can tell apart (Okabe and Ito).
var (
	busyColour    = "#0072b2"
	waitingColour = "#cc79a7"
	blockedColour = "#e69f00"
	starvedColour = "#e8e8e8"
)

// Timeline draws, as SVG, how many workers of each stage were busy, waiting, blocked and starved over the time of the run, all slides
// together, below what limits the run.
func (w *Watch) Timeline(out io.Writer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	lanes, from, step := w.lanes()
	why := w.explain()
	var b strings.Builder
	height := laneTop + len(lanes)*(laneHeight+laneGap) + 40
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", laneLeft+laneWidth+150, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="20" font-weight="bold">%s</text><text x="%[1]d" y="38">%[3]s</text>`+"\n",
		laneLeft, html.EscapeString(why.Reason), html.EscapeString(why.Advice))
	x := laneLeft
	for _, key := range [][2]string{{busyColour, "busy"}, {waitingColour, "waiting for memory or a turn"}, {blockedColour, "blocked: nobody takes what is done"}, {starvedColour, "starved: nothing to do"}} {
		fmt.Fprintf(&b, `<rect x="%d" y="52" width="12" height="12" fill="%s"/><text x="%d" y="62">%s</text>`+"\n", x, key[0], x+17, key[1])
		x += 40 + 7*len(key[1])
	}
	var seconds float64
	for i, l := range lanes {
		y := laneTop + i*(laneHeight+laneGap)
		seconds = float64(len(l.moments)) * step.Seconds()
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><text x="%d" y="%d" text-anchor="end" fill="#666">× %d</text>`+"\n",
			laneLeft-8, y+laneHeight/2, html.EscapeString(l.stage), laneLeft-8, y+laneHeight/2+15, l.workers)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", laneLeft, y, laneWidth, laneHeight, starvedColour)
		below := make([]float64, len(l.moments))
		var sums [3]float64
		for k, colour := range []string{busyColour, waitingColour, blockedColour} {
			top := slices.Clone(below)
			for j, m := range l.moments {
				sums[k] += m[k]
				top[j] = math.Min(1, below[j]+m[k]/float64(l.workers))
			}
			if sums[k] > 0 {
				fmt.Fprintf(&b, `<path fill="%s" d="%s"/>`+"\n", colour, band(below, top, y))
			}
			below = top
		}
		n := float64(len(l.moments) * l.workers)
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s busy</text><text x="%d" y="%d" fill="#666">%s wait, %s blocked</text>`+"\n", laneLeft+laneWidth+8, y+laneHeight/2-2, percent(sums[0]/n),
			laneLeft+laneWidth+8, y+laneHeight/2+14, percent(sums[1]/n), percent(sums[2]/n))
	}
	axis(&b, laneTop+len(lanes)*(laneHeight+laneGap), seconds)
	fmt.Fprintf(&b, "<!-- from %s, steps of %v -->\n</svg>\n", from.Format(time.RFC3339Nano), step)
	_, err := io.WriteString(out, b.String())
	return err
}

// A lane is a stage over time.
type lane struct {
	stage   string
	workers int          // of all slides, the most at a time
	moments [][3]float64 // mean numbers of workers that are busy, waiting, blocked
}

// columns is how many moments a timeline has at most.
const columns = 600

// lanes lays the courses of all slides on one axis of time.
func (w *Watch) lanes() (lanes []lane, from time.Time, step time.Duration) {
	var to time.Time
	for _, c := range w.courses {
		if from.IsZero() || c.Began.Before(from) {
			from = c.Began
		}
		if end := c.Began.Add(c.Took); end.After(to) {
			to = end
		}
		step = max(step, c.Step)
	}
	step = max(step, to.Sub(from)/columns, 1)
	n := int(to.Sub(from)/step) + 1
	at := map[string]int{}
	for _, c := range w.courses {
		for _, s := range c.Stages {
			i, ok := at[s.Stage]
			if !ok {
				i = len(lanes)
				at[s.Stage] = i
				lanes = append(lanes, lane{stage: s.Stage, moments: make([][3]float64, n)})
			}
			l := &lanes[i]
			l.workers = max(l.workers, s.Workers)
			for k, m := range s.Course {
				begin := c.Began.Sub(from) + time.Duration(k)*c.Step
				spread(l.moments, begin, c.Step, step, [3]float64{m.Busy, m.Waiting, m.Blocked})
			}
		}
	}
	for i := range lanes { // slides at work side by side
		for _, m := range lanes[i].moments {
			lanes[i].workers = max(lanes[i].workers, int(math.Round(m[0]+m[1]+m[2])))
		}
	}
	return lanes, from, step
}

// spread adds a state that lasted from begin on to the steps that it covers.
func spread(moments [][3]float64, begin, took, step time.Duration, state [3]float64) {
	for at := begin; at < begin+took; {
		i := int(at / step)
		if i >= len(moments) {
			return
		}
		until := min(time.Duration(i+1)*step, begin+took)
		for k := range state {
			moments[i][k] += state[k] * float64(until-at) / float64(step)
		}
		at = until
	}
}

// band is the path between two lines, in shares of a lane's height at y.
func band(below, top []float64, y int) string {
	var b strings.Builder
	px := func(i int) float64 { return laneLeft + float64(i)*laneWidth/float64(len(top)) }
	py := func(v float64) float64 { return float64(y+laneHeight) - v*laneHeight }
	for i, v := range top {
		op := "L"
		if i == 0 {
			op = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1fH%.1f", op, px(i), py(v), px(i+1))
	}
	for i := len(below) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "L%.1f %.1fH%.1f", px(i+1), py(below[i]), px(i))
	}
	return b.String() + "Z"
}

// axis draws a scale of seconds.
func axis(b *strings.Builder, y int, seconds float64) {
	if seconds <= 0 {
		return
	}
	every := math.Pow(10, math.Floor(math.Log10(seconds/4)))
	for _, factor := range []float64{5, 2} {
		if seconds/(every*factor) >= 4 {
			every *= factor
			break
		}
	}
	for t := 0.0; t <= seconds*1.0001; t += every {
		x := laneLeft + t/seconds*laneWidth
		fmt.Fprintf(b, `<line x1="%.1[1]f" x2="%.1[1]f" y1="%[2]d" y2="%[3]d" stroke="#999"/><text x="%.1[1]f" y="%[4]d" text-anchor="middle">%[5]g s</text>`+"\n", x, y-laneGap/2, y, y+14, math.Round(t*1e6)/1e6)
	}
}
