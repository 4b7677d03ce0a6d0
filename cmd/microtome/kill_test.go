package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"microtome/bench/synthetic"
	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

// A logLine is a line of what segment --verbose says.
type logLine struct {
	Level, Message, Slide, Error string
	Tile                         [4]int
	Resumed                      int

	at time.Duration // since the start of the process
}

// A moment is a time in the life of a process, told by what it has said by then: so it means the same on a machine that
// is busy.
type moment struct {
	lines int
	wait  time.Duration
}

// A process is a run of the command that has ended.
type process struct {
	exit  int // -1: killed
	lines []logLine
	said  string
}

// of returns the lines of a message about a slide.
func (p process) of(message, slide string) (all []logLine) {
	for _, l := range p.lines {
		if l.Message == message && l.Slide == slide {
			all = append(all, l)
		}
	}
	return all
}

// runUntil runs the command, and sends it a signal at a moment, unless it is nil.
func runUntil(t *testing.T, args []string, at *moment, signal os.Signal) (p process) {
	t.Helper()
	cmd := exec.Command("microtome", args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	send := func() {
		if at != nil && at.lines == len(p.lines) {
			time.AfterFunc(at.wait, func() { _ = cmd.Process.Signal(signal) }) // it may have ended
		}
	}
	send()
	var said strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said.Write(append(lines.Bytes(), '\n'))
		l := logLine{at: time.Since(begin)}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			l.Message = lines.Text()
		}
		p.lines = append(p.lines, l)
		send()
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	p.exit, p.said = cmd.ProcessState.ExitCode(), said.String()
	return p
}

// A cohortOnDisk is a folder of slides, what a command makes of it, and how that goes when nothing stops it.
type cohortOnDisk struct {
	args   []string // but for -o
	slides []string // paths
	want   map[string][]byte
	whole  process
}

// dataFiles are those of a slide that do not depend on when it was made.
var dataFiles = []string{"mask.tif", "overlay.png"}

func (c *cohortOnDisk) command(out string) []string { return append(slices.Clone(c.args), "-o", out) }

// folder is that of a slide's results.
func folder(out, slide string) string {
	name := filepath.Base(slide)
	return filepath.Join(out, strings.TrimSuffix(name, filepath.Ext(name)))
}

// begin runs the command to its end for the first time.
func (c *cohortOnDisk) begin(t *testing.T) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	c.whole = runUntil(t, c.command(out), nil, nil)
	if c.whole.exit != 0 {
		t.Fatalf("exit code %d; it said:\n%s", c.whole.exit, c.whole.said)
	}
	c.want = map[string][]byte{}
	for _, s := range c.slides {
		for _, name := range dataFiles {
			data, err := os.ReadFile(filepath.Join(folder(out, s), name))
			if err != nil {
				t.Fatal(err)
			}
			c.want[folder("", s)+"/"+name] = data
		}
	}
}

// expectWhole fails the test when the data files are not those of the first run, or there are others than a run leaves.
func (c *cohortOnDisk) expectWhole(t *testing.T, out string) {
	t.Helper()
	known := map[string]bool{"cohort.csv": true, "failures.csv": true, "run.json": true}
	for _, s := range c.slides {
		known[folder("", s)+"/summary.json"] = true
	}
	for name, want := range c.want {
		known[name] = true
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not that of an uninterrupted run: %v", name, err)
		}
	}
	// A process that was killed while it wrote a table of the run, which others may write at the same time, leaves that.
	table := regexp.MustCompile(`^\.partial/(cohort\.csv|failures\.csv|run\.json)\.[A-Z0-9]+$`)
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(out, path)
		inner := strings.Contains(name, "/"+sink.PartialDir) // of a slide
		if err == nil && (inner || !d.IsDir() && !known[name] && !table.MatchString(name)) {
			t.Errorf("%s was left behind", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	rows, err := os.ReadFile(filepath.Join(out, "cohort.csv"))
	if err != nil || bytes.Count(rows, []byte{'\n'}) != 1+len(c.slides) {
		t.Errorf("cohort.csv: %v\n%s", err, rows)
	}
}

// finished returns summary.json of the slides that have one.
func (c *cohortOnDisk) finished(out string) map[string][]byte {
	all := map[string][]byte{}
	for _, s := range c.slides {
		if data, err := os.ReadFile(filepath.Join(folder(out, s), "summary.json")); err == nil {
			all[s] = data
		}
	}
	return all
}

// makeCohort makes slides of some sizes with glass around the tissue. One is a picture that is not square, nearly half
// of it white.
func makeCohort(t *testing.T, sizes ...int) (dir string, slides []string) {
	t.Helper()
	dir = t.TempDir()
	for i, size := range sizes {
		path := filepath.Join(dir, fmt.Sprintf("%c.svs", 'a'+i))
		if err := synthetic.WriteSlide(t.Context(), path, filepath.Join(t.TempDir(), "truth.tif"), synthetic.Config{Size: size, Seed: uint64(i)}); err != nil {
			t.Fatal(err)
		}
		slides = append(slides, path)
	}
	s, err := slide.Open(slides[len(slides)-1], slide.NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tissue, err := s.Thumbnail(t.Context(), sizes[len(sizes)-1])
	if err != nil {
		t.Fatal(err)
	}
	wide := image.NewRGBA(image.Rect(0, 0, tissue.Rect.Dx()*9/5, tissue.Rect.Dy()))
	draw.Draw(wide, wide.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(wide, tissue.Rect, tissue, image.Point{}, draw.Src)
	path := filepath.Join(dir, "wide.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(f, wide), f.Close(), os.Remove(slides[len(slides)-1])); err != nil {
		t.Fatal(err)
	}
	return dir, append(slides[:len(slides)-1], path)
}

// TestKill kills a run over three slides, at any moment, from before its first tile to while it gives its files their
// final names, goes on with it, sometimes is killed again, and in the end has the files of a run that nobody stopped. No tile is
// asked about twice that was committed, and no slide that was finished is done again.
func TestKill(t *testing.T) {
	needRuntime(t)
	dir, slides := makeCohort(t, 1500, 1200, 600)
	model := makeModel(t, unet.Architecture{Depth: 2, Base: 6, Classes: 2, Seed: 4, Card: unet.Card{MPP: 0.5}})
	c := &cohortOnDisk{
		args:   []string{"segment", dir, "--model", model, "--mpp", "0.5", "--tile", "192", "--workers", "1", "--slides", "2", "--tissue-margin", "0", "--verbose"},
		slides: slides,
	}
	c.begin(t)
	k := &killing{cohortOnDisk: c, rng: rand.New(rand.NewPCG(5, 50))}
	rounds := map[os.Signal]int{syscall.SIGKILL: 5, syscall.SIGTERM: 2, os.Interrupt: 2}
	if os.Getenv("MICROTOME_LONG") != "" {
		rounds = map[os.Signal]int{syscall.SIGKILL: 50, syscall.SIGTERM: 10, os.Interrupt: 10}
	}
	for _, signal := range []os.Signal{syscall.SIGKILL, syscall.SIGTERM, os.Interrupt} {
		n := rounds[signal]
		before := k.kills
		for i := 0; k.kills-before < n && !t.Failed(); i++ {
			if i > 2*n {
				t.Fatalf("%v: only %d of %d runs had not ended before", signal, k.kills-before, n)
			}
			k.round(t, signal, (float64(i%n)+k.rng.Float64())/float64(n))
		}
	}
	t.Logf("%d kills: %d before the first tile, %d with a slide half done, %d after a slide's last tile; %d tiles were resumed, %d finished slides kept", k.kills, k.early, k.half, k.late, k.resumed, k.kept)
	if k.half == 0 || k.resumed == 0 || k.kept == 0 {
		t.Error("the kills came at the wrong moments")
	}
}

// A killing is a cohort in the hands of a killer.
type killing struct {
	*cohortOnDisk
	rng *rand.Rand

	kills, early, half, late int // runs that were ended, and when
	resumed, kept            int
}

// moment returns when to kill: a share of the way through an uninterrupted run, or, one time in three, between the last
// tile of a slide and its end, when its files are finished and get their names.
func (k *killing) moment(share float64) moment {
	lines := k.whole.lines
	at := time.Duration(share * float64(lines[len(lines)-1].at))
	if k.rng.IntN(3) == 0 {
		s := k.slides[k.rng.IntN(len(k.slides))]
		tiles := k.whole.of("tile", s)
		last, done := tiles[len(tiles)-1].at, k.whole.of("done", s)[0].at
		at = last + time.Duration(k.rng.Float64()*float64(done-last))
	}
	var m moment
	var said time.Duration
	for _, l := range lines {
		if l.at > at {
			break
		}
		m.lines, said = m.lines+1, l.at
	}
	m.wait = at - said
	return m
}

// round runs the command until it ends by itself, after it has been killed once or more often.
func (k *killing) round(t *testing.T, signal os.Signal, share float64) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	var all []process
	seen := map[string]map[[4]int]bool{} // tiles by slide
	for _, s := range k.slides {
		seen[s] = map[[4]int]bool{}
	}
	killed := 0
	finished := map[string][]byte{}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%v, killed %d times, process %d: %s", signal, killed, len(all), fmt.Sprintf(format, args...))
	}
	for again := 0; ; again++ {
		var at *moment
		if again == 0 || again < 4 && k.rng.IntN(2) == 0 {
			m := k.moment(share)
			at, share = &m, k.rng.Float64()
		}
		p := runUntil(t, k.command(out), at, signal)
		all = append(all, p)
		for _, s := range k.slides {
			if began := p.of("segmenting", s); len(began) > 0 && (began[0].Resumed < len(seen[s]) || began[0].Resumed > len(seen[s])+killed) {
				fail("%s: %d tiles are resumed, %d were committed", s, began[0].Resumed, len(seen[s]))
			}
			tiles := p.of("tile", s)
			for _, l := range tiles {
				if seen[s][l.Tile] {
					fail("%s: tile %v was committed before", s, l.Tile)
				}
				seen[s][l.Tile] = true
			}
			if len(tiles) > 0 && finished[s] != nil {
				fail("%s: was finished before", s)
			}
		}
		now := k.finished(out)
		for s, before := range finished {
			if !bytes.Equal(now[s], before) {
				fail("%s: its summary.json was written again", s)
			}
		}
		for s := range now {
			if finished[s] == nil {
				k.audit(t, s, now[s], p, len(seen[s]), killed)
			} else if len(p.of("results kept: give --force to replace them", s)) > 0 {
				k.kept++
			}
		}
		finished = now
		for _, l := range p.lines {
			if l.Level == "warn" && !slices.ContainsFunc(k.whole.lines, func(w logLine) bool { return w.Message == l.Message }) || l.Level == "error" {
				fail("it said %q %s", l.Message, l.Error)
			}
		}
		switch p.exit {
		case 0:
			k.expectWhole(t, out)
			return
		case -1, exitInterrupted:
			early := len(p.lines) == 0 // before the program listens to signals
			if at == nil || !early && (p.exit == -1) != (signal == syscall.SIGKILL) {
				fail("exit code %d; it said:\n%s", p.exit, p.said)
				return
			}
			killed++
			k.count(p, seen, finished)
			if signal != syscall.SIGKILL {
				k.expectOrder(t, out, finished)
			}
		default:
			fail("exit code %d; it said:\n%s", p.exit, p.said)
			return
		}
	}
}

// audit compares what the summary of a slide says with the tiles that processes told of, of which the last finished it.
func (k *killing) audit(t *testing.T, slide string, summary []byte, last process, told, killed int) {
	t.Helper()
	var s sink.Summary
	if err := json.Unmarshal(summary, &s); err != nil {
		t.Fatal(err)
	}
	k.resumed += s.Resumed
	if own := len(last.of("tile", slide)); s.Resumed+own != s.Mask.Inferred {
		t.Errorf("%s: %d tiles resumed and %d done, of %d", slide, s.Resumed, own, s.Mask.Inferred)
	}
	if told > s.Mask.Inferred || told+killed < s.Mask.Inferred { // killed with a tile in the journal that it had not told of
		t.Errorf("%s: %d tiles were told of by all processes, of %d; %d were killed", slide, told, s.Mask.Inferred, killed)
	}
	if s.Mask.Inferred < 15 || s.Mask.Inferred == s.Mask.Tiles || s.Classes[1].Pixels == 0 {
		t.Errorf("%s: %d of %d tiles, %+v: this shows little", slide, s.Mask.Inferred, s.Mask.Tiles, s.Classes)
	}
}

// count counts a kill by when it came.
func (k *killing) count(p process, seen map[string]map[[4]int]bool, finished map[string][]byte) {
	k.kills++
	half, late := false, false
	for _, s := range k.slides {
		done := len(seen[s])
		all := len(k.whole.of("tile", s))
		half = half || done > 0 && done < all
		late = late || done == all && finished[s] == nil
	}
	switch {
	case late:
		k.late++
	case half:
		k.half++
	case len(p.lines) == 0 || len(seen[k.slides[0]]) == 0:
		k.early++
	}
}

// expectOrder fails the test when a run that was asked to stop left more than finished slides, journals and tables.
func (k *killing) expectOrder(t *testing.T, out string, finished map[string][]byte) {
	t.Helper()
	for _, s := range k.slides {
		entries, err := os.ReadDir(folder(out, s))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		for _, e := range entries {
			journals, _ := filepath.Glob(filepath.Join(folder(out, s), sink.PartialDir, "*"))
			if finished[s] == nil && (e.Name() != sink.PartialDir || len(journals) != 1 || filepath.Base(journals[0]) != "journal") {
				t.Errorf("%s: %s with %q was left behind", s, e.Name(), journals)
			}
		}
	}
	if left, err := os.ReadDir(filepath.Join(out, sink.PartialDir)); err == nil {
		t.Errorf("%v was left behind", left)
	}
}

// TestTwoProcessesOneCohort: two processes that were given the same folder share its slides out, or one is told that the
// other has them. Each slide comes out whole, and a third process has nothing to do.
func TestTwoProcessesOneCohort(t *testing.T) {
	needRuntime(t)
	dir, slides := makeCohort(t, 700, 500, 600, 400, 800, 450)
	c := &cohortOnDisk{args: []string{"segment", dir, "--model", "haematoxylin", "--mpp", "0.5", "--tile", "64", "--workers", "1", "--verbose"}, slides: slides}
	c.begin(t)
	for _, atATime := range []string{"1", "3"} {
		t.Run(atATime+" slides at a time", func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			args := append(c.command(out), "--slides", atATime)
			both := make(chan process)
			go func() { both <- runUntil(t, args, nil, nil) }()
			go func() { both <- runUntil(t, args, nil, nil) }()
			told := 0
			tiles := map[string]int{}
			for range 2 {
				p := <-both
				failed := 0
				for _, l := range p.lines {
					switch {
					case l.Message == "tile":
						tiles[fmt.Sprint(l.Slide, l.Tile)]++
					case l.Level == "error":
						failed++
						if !strings.Contains(l.Error, "another microtome is writing here: wait for it, or choose another folder with -o") && !strings.Contains(l.Error, "another microtome has just written") {
							t.Errorf("it said: %s", l.Error)
						}
					}
				}
				told += failed
				if want := map[bool]int{true: 0, false: exitSomeFailed}[failed == 0]; p.exit != want && (failed < len(slides) || p.exit != exitFailed) {
					t.Errorf("exit code %d with %d failures; it said:\n%s", p.exit, failed, p.said)
				}
			}
			for tile, n := range tiles {
				if n > 1 {
					t.Errorf("%s was done %d times", tile, n)
				}
			}
			finished := c.finished(out)
			if len(finished) != len(slides) {
				t.Errorf("%d of %d slides are finished", len(finished), len(slides))
			}
			p := runUntil(t, args, nil, nil)
			if p.exit != 0 {
				t.Errorf("the third: exit code %d; it said:\n%s", p.exit, p.said)
			}
			for _, s := range slides {
				if len(p.of("results kept: give --force to replace them", s)) != 1 {
					t.Errorf("%s was not kept", s)
				}
			}
			for s, was := range finished {
				if !bytes.Equal(c.finished(out)[s], was) {
					t.Errorf("%s was done again", s)
				}
			}
			c.expectWhole(t, out)
			t.Logf("the two were in each other's way %d times", told)
		})
	}
}
