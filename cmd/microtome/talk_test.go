package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"microtome/pipeline"
	"microtome/sink"
)

// A terminal is 80 columns wide and keeps all that was ever drawn on it.
type terminal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *terminal) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// lines returns the last n lines.
func (s *terminal) lines(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Split(strings.TrimSuffix(s.text.String(), "\n"), "\n")
	return all[max(0, len(all)-n):]
}

// String returns all that was written.
func (s *terminal) String() string { return strings.Join(s.lines(1<<30), "\n") }

// redraw waits until bars have been drawn: a third request is taken when the first has been fulfilled.
func (d *display) redraw() {
	for range 3 {
		d.refresh <- nil
	}
}

// expect compares the last lines, spaces aside, with what should be there.
func (s *terminal) expect(t *testing.T, want ...string) {
	t.Helper()
	for i, line := range s.lines(len(want)) {
		if squeeze(line) != squeeze(want[i]) {
			t.Errorf("line %d of %d is\n%s, want\n%s", i+1, len(want), line, want[i])
		}
	}
}

// squeeze makes one space of several, and of a bar.
func squeeze(line string) string {
	return strings.Join(strings.Fields(drawn.ReplaceAllString(line, "")), " ")
}

var drawn = regexp.MustCompile(`\[[=>-]+\]`)

// newTerminal returns bars for a run on a terminal whose clock the test sets.
func newTerminal(o talkOptions) (*bars, *terminal, *clock) {
	s, c := &terminal{}, &clock{}
	o.now = c.now
	b := newBars(s, o)
	b.quiet = func() bool { return true }
	return b, s, c
}

// TestBars shows three slides whose events mix.
func TestBars(t *testing.T) {
	b, s, c := newTerminal(talkOptions{total: 5, out: "out"})
	e := pipeline.Tee(b.events(), printResults(b.aside(s), false))
	long := "cohort/TCGA-A1-A0SB-01Z-00-DX1.B34C267B.svs"

	e.SlideBegin(begins("a.svs", 0, 4))
	b.redraw()
	s.expect(t, "a.svs 0 / 4 tiles 0.0 Mpx/s", "0 / 5 slides")

	c.advance(10 * time.Second)
	e.TileDone(tileOf("a.svs"))
	e.SlideBegin(begins(long, 90, 10))
	e.TileDone(tileOf(long))
	c.advance(10 * time.Second)
	e.TileDone(tileOf("a.svs"))
	e.SlideBegin(begins("c.svs", 0, 3))
	b.redraw()
	s.expect(t,
		"a.svs 2 / 4 tiles 0.1 Mpx/s 20 s left",
		"TCGA-A1-A…267B.svs 91 / 100 tiles 0.1 Mpx/s 1 min 30 s left",
		"c.svs 0 / 3 tiles 0.0 Mpx/s",
		"0 / 5 slides · 92 slides/h · 367 mm²/h · 2 min 21 s left")

	e.TileDone(tileOf("a.svs"))
	e.TileDone(tileOf("a.svs"))
	b.redraw()
	s.expect(t,
		"a.svs finishing 0.2 Mpx/s",
		"TCGA-A1-A…267B.svs 91 / 100 tiles 0.1 Mpx/s 1 min 30 s left",
		"c.svs 0 / 3 tiles 0.0 Mpx/s",
		"0 / 5 slides · 182 slides/h · 727 mm²/h · 1 min 1 s left")

	e.SlideEnd(ends("a.svs"))
	b.redraw()
	s.expect(t,
		"TCGA-A1-A…267B.svs 91 / 100 tiles 0.1 Mpx/s 1 min 30 s left",
		"c.svs 0 / 3 tiles 0.0 Mpx/s",
		"1 / 5 slides · 182 slides/h · 727 mm²/h · 1 min 1 s left")
	e.SlideBegin(begins("c.svs", 0, 30)) // with smaller tiles
	e.SlideEnd(pipeline.SlideEnd{Slide: "d.svs", Kept: true, Dir: "out/d", Summary: &sink.Summary{}})
	e.SlideEnd(pipeline.SlideEnd{Slide: "e.svs", Err: errors.New("open e.svs: the file is empty")})
	e.Warning("c.svs", "it is pale")
	for range 9 {
		c.advance(10 * time.Second)
		e.TileDone(tileOf(long))
	}
	e.SlideEnd(ends(long))
	b.redraw()
	s.expect(t, "c.svs 0 / 30 tiles 0.0 Mpx/s", "4 / 5 slides · 1 failed · 36 slides/h · 144 mm²/h · 1 min 40 s left")
	broken := &pipeline.StageError{Slide: "c.svs", Stage: "read", Tile: tileOf("").Core, Err: errors.New("damaged\ntwice")}
	e.SlideEnd(pipeline.SlideEnd{Slide: "c.svs", Err: broken})
	b.close()
	s.expect(t,
		"done  2", "kept  1", "failed  2", "area  4.4 mm²", "wall time  1 min 50 s", "slides/h  36", "mm²/h  144",
		"failed:",
		"  e.svs  open  the file is empty",
		"  c.svs  read tile (1024,2048)-(2024,3048)  damaged; twice")

	// Each slide has left one line behind, and its path came after it.
	said := s.String()
	at := 0
	for _, want := range []string{
		"microtome: a.svs: done in 20s, 0.2 Mpx/s, peak memory 1.0 GiB\n", "out/a.svs\n",
		"microtome: d.svs: results in out/d kept: give --force to replace them\n", "out/d\n",
		"microtome: failed: open e.svs: the file is empty\n",
		"microtome: c.svs: it is pale\n",
		"microtome: TCGA-A1-A0SB-01Z-00-DX1.B34C267B.svs: done in 1m40s (resumed at tile 90 of 100), 0.1 Mpx/s, peak memory 1.0 GiB\n", "out/" + long + "\n",
		"microtome: failed: c.svs: read tile (1024,2048)-(2024,3048): damaged; twice\n",
	} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q stands there %d times", want, strings.Count(said, want))
		}
		i := strings.Index(said, want)
		if i < at {
			t.Errorf("%q comes too early", want)
		}
		at = i
	}
}

// TestBarsMove: a tile moves the bar of its slide and that of the run.
func TestBarsMove(t *testing.T) {
	b, s, _ := newTerminal(talkOptions{total: 2})
	e := b.events()
	e.SlideBegin(begins("a.svs", 0, 10))
	e.SlideBegin(begins("b.svs", 5, 5))
	for range 4 {
		e.TileDone(tileOf("b.svs"))
	}
	b.redraw()
	for i, line := range s.lines(3) {
		bar := drawn.FindString(line)
		full := 1 - float64(strings.Count(bar, "-"))/float64(max(1, len(bar)-2))
		if want := []float64{0, 9. / 11, 0.45}[i]; math.Abs(full-want) > 0.05 {
			t.Errorf("%s is full to %.2f, want %.2f", bar, full, want)
		}
	}
	b.close()
}

// TestOneSlide: a run over one slide has one bar and no table.
func TestOneSlide(t *testing.T) {
	b, s, c := newTerminal(talkOptions{total: 1})
	e := b.events()
	e.SlideBegin(begins("a.svs", 0, 2))
	c.advance(time.Second)
	e.TileDone(tileOf("a.svs"))
	b.redraw()
	s.expect(t, "a.svs 1 / 2 tiles 1.0 Mpx/s 1 s left")
	e.TileDone(tileOf("a.svs"))
	e.SlideEnd(ends("a.svs"))
	b.close()
	if want := "microtome: a.svs: done in 1s, 2.0 Mpx/s, peak memory 1.0 GiB\n"; strings.Count(s.String(), want) != 1 {
		t.Errorf("it does not say %q:\n%s", want, s)
	}
	if strings.Contains(s.String(), "slides") {
		t.Errorf("it speaks of slides:\n%s", s)
	}
}

// TestStoppingIsSaid by signals, each from a goroutine of its own, while slides come and go.
func TestStoppingIsSaid(t *testing.T) {
	b, s, _ := newTerminal(talkOptions{total: 100, verbose: true})
	e := pipeline.Tee(b.events(), printResults(b.aside(s), false))
	var signal sync.WaitGroup
	for i := range 100 {
		name := fmt.Sprintf("%d.svs", i)
		e.SlideBegin(begins(name, 0, 1))
		signal.Go(func() { b.say("%s", stopping) })
		e.TileDone(tileOf(name))
		e.SlideEnd(ends(name))
	}
	signal.Wait()
	b.close()
	for what, want := range map[string]int{
		"microtome: " + stopping + "\n": 100, ": tile (1024,2048)-(2024,3048)\n": 100, ": done in 0s, ": 100, "\nout/": 100, "done       100\n": 1,
	} {
		if got := strings.Count(s.String(), what); got != want {
			t.Errorf("%q was written %d times, not %d", what, got, want)
		}
	}
}

// TestTableNamesTenFailures and where the others are.
func TestTableNamesTenFailures(t *testing.T) {
	b, s, _ := newTerminal(talkOptions{total: 14, out: "out"})
	for i := range 13 {
		b.events().SlideEnd(pipeline.SlideEnd{Slide: fmt.Sprintf("in/%d.svs", i), Err: io.ErrUnexpectedEOF})
	}
	b.close()
	s.expect(t, "done 0", "kept 0", "failed 13", "not done 1", "wall time 0 s", "failed:",
		"0.svs open unexpected EOF", "1.svs open unexpected EOF", "2.svs open unexpected EOF", "3.svs open unexpected EOF",
		"4.svs open unexpected EOF", "5.svs open unexpected EOF", "6.svs open unexpected EOF", "7.svs open unexpected EOF",
		"8.svs open unexpected EOF", "9.svs open unexpected EOF", "and 3 more: see out/failures.csv")
}

// TestResultsOnAPipe are written as they are: bars stand elsewhere.
func TestResultsOnAPipe(t *testing.T) {
	b, _, _ := newTerminal(talkOptions{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if b.stdout(w) != io.Writer(w) {
		t.Error("bars are taken down for a pipe")
	}
}

// TestLog: lines of a run over three slides whose events mix.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	c := &clock{}
	talk := newTalker(t.Context(), &log, talkOptions{total: 4, verbose: true, now: c.now})
	e := talk.events()
	e.SlideBegin(begins("a", 0, 4))
	e.SlideBegin(begins("b", 6, 2))
	for range 4 {
		c.advance(20 * time.Second)
		e.TileDone(tileOf("a"))
	}
	e.SlideEnd(ends("a"))
	e.SlideEnd(pipeline.SlideEnd{Slide: "c", Err: &pipeline.StageError{Slide: "c", Stage: "open", Err: io.ErrUnexpectedEOF}})
	c.advance(30 * time.Second) // longer than a minute ago when the next tile comes
	e.TileDone(tileOf("b"))
	c.advance(10 * time.Second)
	e.TileDone(tileOf("b"))
	e.SlideEnd(ends("b"))
	e.SlideEnd(pipeline.SlideEnd{Slide: "d", Kept: true, Dir: "out/d"})
	talk.close()

	var got []string
	for line := range strings.Lines(log.String()) {
		var f map[string]any
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, key := range []string{"level", "message", "slide", "todo", "resumed", "tile", "done", "kept", "failed", "total", "slides_per_h", "mm2", "mm2_per_h", "eta_s"} {
			if v, ok := f[key]; ok {
				fmt.Fprintf(&b, " %s %v", key, v)
			}
		}
		got = append(got, b.String()[1:])
	}
	tile := "level debug message tile slide %s tile [1024 2048 1000 1000]"
	a, b := fmt.Sprintf(tile, "a"), fmt.Sprintf(tile, "b")
	want := []string{
		"level info message segmenting slide a todo 4 resumed 0",
		"level info message segmenting slide b todo 2 resumed 6",
		a, a, a,
		// 3/4 of a slide in a minute; a quarter, a quarter and two are left
		"level info message progress done 0 kept 0 failed 0 total 4 slides_per_h 45 mm2_per_h 180 eta_s 200",
		a,
		"level info message done slide a done 1 kept 0 failed 0 total 4",
		"level error message failed slide c done 1 kept 0 failed 1 total 4",
		b,
		b,
		// 1 1/4 slides in two minutes; one is left
		"level info message progress done 1 kept 0 failed 1 total 4 slides_per_h 37.5 mm2_per_h 150 eta_s 96",
		"level info message done slide b done 2 kept 0 failed 1 total 4",
		"level info message results kept: give --force to replace them slide d done 2 kept 1 failed 1 total 4",
		"level info message finished done 2 kept 1 failed 1 total 4 slides_per_h 37.5 mm2 5 mm2_per_h 150",
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d:\n%s\nwant:\n%s", i+1, strings.Join(got[min(i, len(got)):], "\n"), strings.Join(want[min(i, len(want)):], "\n"))
		}
	}
}

// TestQuietLog: without being asked to, a log tells of no tile, and of one slide without a last line.
func TestQuietLog(t *testing.T) {
	var log bytes.Buffer
	talk := newTalker(t.Context(), &log, talkOptions{total: 1})
	e := talk.events()
	e.SlideBegin(begins("a", 0, 1))
	e.TileDone(tileOf("a"))
	e.SlideEnd(ends("a"))
	talk.close()
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, log.String())
	}
}
