package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"microtome/sink"
	"microtome/sink/sinktest"
	"microtome/slide"
	"microtome/unet"
)

// The tests here interrupt a slide in all ways that can be told apart within a process, and go on with it. What a kill
// from outside does, cmd/microtome's TestKill shows.

// An interruptible is a slide, and the files that an uninterrupted run makes of it.
type interruptible struct {
	path   string
	tissue string
	out    string
	asked  int // tiles
	want   map[string][]byte
}

// newInterruptible makes a slide with glass around, so that there are tiles that the network is not asked about.
func newInterruptible(t *testing.T) *interruptible {
	t.Helper()
	s := &interruptible{path: syntheticSlide(t, 560), tissue: filepath.Join(t.TempDir(), "tissue.geojson"), out: t.TempDir()}
	const left = `{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[[[9,9],[250,9],[250,550],[9,550],[9,9]]]}}`
	if err := os.WriteFile(s.tissue, []byte(left), 0o666); err != nil {
		t.Fatal(err)
	}
	a := s.run(t, nil)
	if a.err != nil {
		t.Fatal(a.err)
	}
	s.asked, s.want = a.begin.Plan.Asked, s.results(t)
	if s.asked < 15 || s.asked == a.begin.Plan.Tiles {
		t.Fatalf("the network is asked about %d of %d tiles", s.asked, a.begin.Plan.Tiles)
	}
	s.out = ""
	return s
}

// fresh gives the slide another, empty folder.
func (s *interruptible) fresh(t *testing.T) {
	t.Helper()
	if s.out != "" {
		if err := os.RemoveAll(s.out); err != nil {
			t.Fatal(err)
		}
	}
	s.out = t.TempDir()
}

// An attempt is what a run did.
type attempt struct {
	err         error
	begin       SlideBegin
	end         SlideEnd
	done        []image.Rectangle // tiles that were committed
	warnings    []string
	predictions int
}

// run is one attempt at the slide. set changes the run before, where it is not nil.
func (s *interruptible) run(t *testing.T, set func(*Pipeline, *fakeModel)) (a attempt) {
	t.Helper()
	return s.runIn(t.Context(), set)
}

func (s *interruptible) runIn(ctx context.Context, set func(*Pipeline, *fakeModel)) (a attempt) {
	m := &fakeModel{}
	p := &Pipeline{Model: m, Config: NewDefaultConfig()}
	p.Config.Out, p.Config.Tile, p.Config.Workers, p.Config.Version = s.out, 96, 2, "test"
	p.Config.Tissue = s.tissue
	p.Config.Files = sinktest.NewFaulty() // does not wait for the disk
	if set != nil {
		set(p, m)
	}
	p.Events = Tee(Events{
		Warning:    func(_, text string) { a.warnings = append(a.warnings, text) },
		SlideBegin: func(e SlideBegin) { a.begin = e },
		TileDone:   func(e TileDone) { a.done = append(a.done, e.Core) },
		SlideEnd:   func(e SlideEnd) { a.end = e },
	}, p.Events)
	a.err = p.Run(ctx, Items(func(yield func(string, error) bool) { yield(s.path, nil) }))
	a.predictions = int(m.predictions.Load())
	return a
}

// results returns the files of the slide. Of summary.json that is what does not depend on the run.
func (s *interruptible) results(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(s.out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == s.out || d.IsDir() && d.Name() != sink.PartialDir {
			return err
		}
		name, err := filepath.Rel(s.out, path)
		if err != nil || d.IsDir() {
			files[name] = nil
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const name = "synthetic/" + summaryFile
	if files[name] != nil {
		sum, err := sink.ReadSummary(filepath.Join(s.out, name))
		if err != nil {
			t.Fatal(err)
		}
		sum.Started, sum.Seconds, sum.Phases, sum.Stages, sum.Resumed = time.Time{}, 0, nil, nil, 0
		sum.Reading, sum.Memory.Peak, sum.Memory.High = sink.ReadingSummary{}, 0, 0
		file := filepath.Join(t.TempDir(), summaryFile)
		if err := sink.WriteSummary(sinktest.NewFaulty(), file, sum); err != nil {
			t.Fatal(err)
		}
		if files[name], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// expectWhole fails the test when the files differ from those of an uninterrupted run.
func (s *interruptible) expectWhole(t *testing.T, where string) {
	t.Helper()
	got := s.results(t)
	for name := range got {
		if _, ok := s.want[name]; !ok {
			t.Errorf("%s: %s was left behind", where, name)
		}
	}
	for name, want := range s.want {
		if !bytes.Equal(got[name], want) {
			t.Errorf("%s: %s differs from that of an uninterrupted run", where, name)
		}
	}
}

// finish runs the slide to its end after attempts that ended early. No tile that one of them committed may be asked about
// again.
func (s *interruptible) finish(t *testing.T, where string, before ...attempt) attempt {
	t.Helper()
	a := s.run(t, nil)
	if a.err != nil {
		t.Fatalf("%s: %v", where, a.err)
	}
	if len(a.warnings) > 0 {
		t.Errorf("%s: warnings %q", where, a.warnings)
	}
	s.expectWhole(t, where)
	s.expectOnce(t, where, append(before, a)...)
	return a
}

// expectOnce fails the test when a tile was committed in two of the attempts, of which the last went to the end, or when
// the last asked about other tiles than those that were left.
func (s *interruptible) expectOnce(t *testing.T, where string, all ...attempt) {
	t.Helper()
	seen := map[image.Rectangle]bool{}
	for _, a := range all {
		for _, r := range a.done {
			if seen[r] {
				t.Errorf("%s: tile %v was committed twice", where, r)
			}
			seen[r] = true
		}
	}
	last := all[len(all)-1]
	switch resumed := last.begin.Resumed; {
	case last.end.Kept:
		if last.predictions > 0 {
			t.Errorf("%s: %d predictions for a slide that is kept", where, last.predictions)
		}
	case resumed+last.predictions != s.asked || last.predictions != len(last.done) || last.end.Summary.Resumed != resumed:
		t.Errorf("%s: of %d tiles %d were resumed, %d predicted and %d committed; the summary says %d", where, s.asked, resumed, last.predictions, len(last.done), last.end.Summary.Resumed)
	case resumed < len(seen)-len(last.done) || resumed > len(seen)-len(last.done)+len(all)-1: // one may be in the journal, and no more
		t.Errorf("%s: %d tiles were resumed, %d had been committed", where, resumed, len(seen)-len(last.done))
	}
}

// stopAfter interrupts a run when n tiles are committed.
func (s *interruptible) stopAfter(t *testing.T, n int, set func(*Pipeline, *fakeModel)) attempt {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	left := n
	a := s.runIn(ctx, func(p *Pipeline, m *fakeModel) {
		p.Events.TileDone = func(TileDone) {
			if left--; left == 0 {
				cancel(errInjected)
			}
		}
		if set != nil {
			set(p, m)
		}
	})
	if !errors.Is(a.err, errInjected) || len(a.done) < n {
		t.Fatalf("stopped after %d of %d tiles: %v", len(a.done), n, a.err)
	}
	return a
}

// short returns every kth of n positions where tests are to be short, else all.
func short(n, k int) (all []int) {
	if os.Getenv("MICROTOME_LONG") != "" {
		k = 1
	} else if !testing.Short() {
		k = max(k/3, 1)
	}
	for i := 0; i < n; i += k {
		all = append(all, i)
	}
	return all
}

// TestDiskFaultAtEveryOperation: whichever operation on the disk fails, once or from then on, of a whole run or of one that
// goes on, nothing is under a final name that is not whole, and the next run goes on to the same bytes.
func TestDiskFaultAtEveryOperation(t *testing.T) {
	s := newInterruptible(t)
	for name, half := range map[string]int{"from the start": 0, "going on": s.asked / 2} {
		prepare := func(t *testing.T) (before []attempt) {
			s.fresh(t)
			if half > 0 {
				before = append(before, s.stopAfter(t, half, nil))
			}
			return before
		}
		prepare(t)
		disk := sinktest.NewFaulty()
		if a := s.run(t, func(p *Pipeline, _ *fakeModel) { p.Config.Files = disk }); a.err != nil {
			t.Fatal(a.err)
		}
		operations := disk.Done()
		for kind, fault := range map[string]sinktest.Fault{
			"disk full":           {Err: syscall.ENOSPC},
			"disk full for ever":  {Err: syscall.ENOSPC, Half: true, Kinds: sinktest.NeedRoom, Forever: true},
			"disk error":          {Err: syscall.EIO},
			"disk error for ever": {Err: syscall.EIO, Forever: true},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				n := len(operations)
				if len(fault.Kinds) > 0 {
					n = len(slices.DeleteFunc(slices.Clone(operations), func(op sinktest.Operation) bool { return !slices.Contains(fault.Kinds, op.Kind) }))
				}
				resumed := 0
				for _, i := range short(n, 9) {
					before := prepare(t)
					fault.At = i
					disk := sinktest.NewFaulty(fault)
					a := s.run(t, func(p *Pipeline, _ *fakeModel) { p.Config.Files = disk })
					hit := disk.Failed()
					if len(hit) == 0 && len(before) > 0 && i > n-9 {
						break // the attempt before had committed some more tiles
					}
					if len(hit) == 0 {
						t.Fatalf("operation %d of %d: no fault", i, n)
					}
					where := hit[0].Kind + " " + hit[0].Path
					if err := disk.Closed(); err != nil {
						t.Errorf("%s: %v", where, err)
					}
					if a.err == nil {
						t.Errorf("%s: no error", where)
					} else if !errors.Is(a.err, fault.Err) {
						t.Errorf("%s: error %v", where, a.err)
					}
					// All is there, or nothing says that it is.
					if got := s.results(t); got["synthetic/"+summaryFile] != nil {
						for _, name := range []string{maskFile, overlayFile} {
							if !bytes.Equal(got["synthetic/"+name], s.want["synthetic/"+name]) {
								t.Errorf("%s: there is a %s, and %s is not whole", where, summaryFile, name)
							}
						}
					}
					last := s.finish(t, where, append(before, a)...)
					resumed += last.begin.Resumed
				}
				if resumed == 0 {
					t.Error("nothing was ever resumed")
				}
			})
		}
	}
}

// TestDeathAtEveryOperation goes on from the files as they are before each operation on the disk, as a process leaves them
// that is killed there; and from what one leaves that goes on and is killed again.
func TestDeathAtEveryOperation(t *testing.T) {
	s := newInterruptible(t)
	type death struct {
		folder string
		before attempt
	}
	// deaths runs the slide and returns what is there before some operations, the last ones among them.
	deaths := func(t *testing.T, last, step int) (all []death) {
		t.Helper()
		start := t.TempDir()
		if s.out != "" {
			if err := os.CopyFS(start, os.DirFS(s.out)); err != nil {
				t.Fatal(err)
			}
		}
		disk := sinktest.NewFaulty()
		s.run(t, func(p *Pipeline, _ *fakeModel) { p.Config.Files = disk })
		n := len(disk.Done())
		s.out = start
		disk = sinktest.NewFaulty()
		var err error
		var done []image.Rectangle
		i := 0
		disk.Before = func() {
			if i++; n-i <= last || i%step == 0 {
				d := death{t.TempDir(), attempt{done: slices.Clone(done)}}
				err = errors.Join(err, os.CopyFS(d.folder, os.DirFS(s.out)))
				all = append(all, d)
			}
		}
		a := s.run(t, func(p *Pipeline, _ *fakeModel) {
			p.Config.Files = disk
			p.Events.TileDone = func(e TileDone) { done = append(done, e.Core) }
		})
		if err := errors.Join(err, a.err); err != nil {
			t.Fatal(err)
		}
		return all
	}
	step, deep := 7, 4
	switch {
	case os.Getenv("MICROTOME_LONG") != "":
		step, deep = 1, 100
	case !testing.Short():
		step, deep = 2, 8
	}
	s.fresh(t)
	first := deaths(t, 12, step)
	most := 0
	for i, d := range first {
		s.out = d.folder
		if len(first)-i > deep { // killed once
			most = max(most, s.finish(t, "killed once", d.before).begin.Resumed)
			continue
		}
		second := deaths(t, 12, 3)
		for _, again := range second {
			s.out = again.folder
			most = max(most, s.finish(t, "killed twice", d.before, again.before).begin.Resumed)
		}
	}
	if most != s.asked {
		t.Errorf("at most %d of %d tiles were resumed", most, s.asked)
	}
}

// TestInterruptAtEveryTile ends a run when a tile is committed, whichever it is, and again and again.
func TestInterruptAtEveryTile(t *testing.T) {
	s := newInterruptible(t)
	for _, i := range short(s.asked, 4) {
		s.fresh(t)
		a := s.stopAfter(t, i+1, nil)
		if last := s.finish(t, "stopped once", a); last.begin.Resumed != len(a.done) {
			t.Errorf("%d tiles were resumed of %d", last.begin.Resumed, len(a.done))
		}
	}
	s.fresh(t)
	var all []attempt
	one := func(p *Pipeline, _ *fakeModel) { p.Config.Workers = 1 } // with more, tiles that wait for one another are committed together
	for i := 1; i+1 < s.asked; i += len(all[len(all)-1].done) {
		all = append(all, s.stopAfter(t, 1, one))
	}
	s.finish(t, "stopped at each tile", all...)
	if len(all) != s.asked-2 {
		t.Errorf("%d interruptions in %d tiles", len(all), s.asked)
	}
}

// TestInterruptBesideTheWork: a run that ends while a block is read, the network is at work, or before the first tile, keeps
// what is done.
func TestInterruptBesideTheWork(t *testing.T) {
	for name, set := range map[string]func(p *Pipeline, m *fakeModel, n int64, stop func()){
		"reading": func(p *Pipeline, _ *fakeModel, n int64, stop func()) {
			p.OpenSlide = func(string, slide.Config) (*slide.Slide, error) {
				return slide.New(&stopReader{fakeReader: fakeReader{size: image.Pt(500, 400), block: 64}, stopAt: n, stop: stop}, slide.Config{}), nil
			}
		},
		"predicting": func(p *Pipeline, m *fakeModel, n int64, stop func()) {
			p.Model = &stopModel{fakeModel: m, stopAt: n, stop: stop}
			p.OpenSlide = openFake(0, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeInterruptible(t)
			stopped, resumed := 0, 0
			for _, n := range short(120, 10) {
				s.fresh(t)
				ctx, cancel := context.WithCancelCause(t.Context())
				a := s.runIn(ctx, func(p *Pipeline, m *fakeModel) { set(p, m, int64(n+1), func() { cancel(errInjected) }) })
				cancel(nil)
				if a.err == nil {
					continue // it ended before
				}
				stopped++
				if !errors.Is(a.err, errInjected) {
					t.Fatalf("stopped at %d: %v", n, a.err)
				}
				last := s.run(t, s.fake)
				if last.err != nil {
					t.Fatal(last.err)
				}
				s.expectWhole(t, name)
				s.expectOnce(t, name, a, last)
				resumed += last.begin.Resumed
			}
			if stopped < 3 || resumed == 0 {
				t.Errorf("%d interruptions, %d tiles resumed", stopped, resumed)
			}
		})
	}
}

// A stopReader ends the run at its nth block.
type stopReader struct {
	fakeReader
	stopAt int64
	stop   func()
}

func (r *stopReader) ReadBlock(ctx context.Context, level, bx, by int, dst []byte) error {
	if r.reads.Load()+1 == r.stopAt {
		r.stop()
	}
	return r.fakeReader.ReadBlock(ctx, level, bx, by, dst)
}

// A stopModel ends the run at its nth prediction.
type stopModel struct {
	*fakeModel
	stopAt int64
	stop   func()
}

func (m *stopModel) Predict(ctx context.Context, n int, in, out []byte) error {
	if m.predictions.Load()+1 == m.stopAt {
		m.stop()
		m.predictions.Add(1)
		return context.Cause(ctx)
	}
	return m.fakeModel.Predict(ctx, n, in, out)
}

// openFake opens a slide of a fake reader that keeps no block, whose nth decode fails.
func openFake(n int64, err error) openSlideFunc {
	return func(string, slide.Config) (*slide.Slide, error) {
		return slide.New(&fakeReader{size: image.Pt(500, 400), block: 64, failAt: n, err: err}, slide.Config{}), nil
	}
}

// fake lets a run read from a fake reader.
func (*interruptible) fake(p *Pipeline, _ *fakeModel) {
	p.OpenSlide = openFake(0, nil)
}

// newFakeInterruptible is a slide whose pixels come from a fake reader.
func newFakeInterruptible(t *testing.T) *interruptible {
	t.Helper()
	s := &interruptible{path: filepath.Join(t.TempDir(), "synthetic.svs"), tissue: TissueOff, out: t.TempDir()}
	if err := os.WriteFile(s.path, []byte("a file that tells whether the slide is the same"), 0o666); err != nil {
		t.Fatal(err)
	}
	a := s.run(t, s.fake)
	if a.err != nil {
		t.Fatal(a.err)
	}
	s.asked, s.want = a.begin.Plan.Asked, s.results(t)
	s.out = ""
	return s
}

// TestFaultOfTheSlideKeepsNothing: of a slide that cannot be read nothing is kept, as its next copy may be another; of one
// that does not answer, all is.
func TestFaultOfTheSlideKeepsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		keeps bool
	}{
		"decode error": {errors.New("not a JPEG"), false},
		"no answer":    {slide.ErrTimeout, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeInterruptible(t)
			failed, committed, resumed := 0, 0, 0
			for _, n := range short(200, 15) {
				s.fresh(t)
				a := s.run(t, func(p *Pipeline, m *fakeModel) {
					s.fake(p, m)
					p.OpenSlide = openFake(int64(n+1), c.err)
				})
				if a.err == nil {
					break // it has fewer blocks
				}
				failed++
				committed += len(a.done)
				if !errors.Is(a.err, c.err) {
					t.Fatalf("block %d: %v", n, a.err)
				}
				if got := s.results(t); !c.keeps && len(got) > 0 {
					t.Errorf("block %d: %d files were left", n, len(got))
				}
				last := s.run(t, s.fake)
				if last.err != nil {
					t.Fatal(last.err)
				}
				resumed += last.begin.Resumed
				s.expectWhole(t, name)
				if c.keeps {
					s.expectOnce(t, name, a, last)
				}
			}
			if failed < 5 || committed == 0 || (resumed > 0) != c.keeps {
				t.Errorf("%d faults after %d tiles in all, of which %d were resumed", failed, committed, resumed)
			}
		})
	}
}

// TestHalfPublishedFolderStaysOurs: a run that was killed while it gave files their final names, and the next one, which fails
// by a fault of the slide, leave no folder that a third takes for somebody else's.
func TestHalfPublishedFolderStaysOurs(t *testing.T) {
	s := newFakeInterruptible(t)
	s.fresh(t)
	if a := s.run(t, s.fake); a.err != nil {
		t.Fatal(a.err)
	}
	dir := filepath.Join(s.out, "synthetic")
	if err := os.Mkdir(filepath.Join(dir, sink.PartialDir), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{overlayFile, summaryFile} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, sink.PartialDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("not a JPEG")
	a := s.run(t, func(p *Pipeline, _ *fakeModel) { p.OpenSlide = openFake(70, broken) })
	if !errors.Is(a.err, broken) {
		t.Fatalf("error %v", a.err)
	}
	if got := s.results(t); len(got) > 0 {
		t.Errorf("%d files were left", len(got))
	}
	if a := s.run(t, s.fake); a.err != nil {
		t.Fatal(a.err)
	}
	s.expectWhole(t, "in the end")
}

// An otherModel is a fake one that says another thing of itself.
type otherModel struct {
	*fakeModel
	change func(*unet.Spec)
}

func (m otherModel) Spec() unet.Spec {
	s := m.fakeModel.Spec()
	m.change(&s)
	return s
}

// TestOtherWorkStartsOver: tiles of another file, model, or setting that changes labels are not used, and a warning says
// which it is.
func TestOtherWorkStartsOver(t *testing.T) {
	model := func(change func(*unet.Spec)) func(*Pipeline, *fakeModel) {
		return func(p *Pipeline, m *fakeModel) { p.Model = otherModel{m, change} }
	}
	s := newInterruptible(t)
	data, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	config := func(change func(*Config)) func(*Pipeline, *fakeModel) {
		return func(p *Pipeline, _ *fakeModel) { change(&p.Config) }
	}
	for name, c := range map[string]struct {
		first func(*Pipeline, *fakeModel) // of the run that is interrupted
		slide func(path string) error
		set   func(*Pipeline, *fakeModel)
		says  string // "": no word, as it was asked for
	}{
		"time of the file": {slide: touch, says: "modified "},
		"other file":       {slide: appendByte, says: "slide "},
		"model file":       {set: model(func(s *unet.Spec) { s.SHA256 = "other" }), says: "model "},
		"model name":       {set: model(func(s *unet.Spec) { s.Name = "other" }), says: "model fake, this one has model other"},
		"form":             {set: model(func(s *unet.Spec) { s.Form = "other" }), says: "form "},
		"engine":           {set: model(func(s *unet.Spec) { s.Engine = "other" }), says: "engine "},
		"stride":           {set: model(func(s *unet.Spec) { s.Stride = 2 }), says: "stride 4, this one has 2"},
		"core":             {set: config(func(c *Config) { c.Tile = 64 }), says: "core 96, this one has 64"},
		"version":          {set: config(func(c *Config) { c.Version = "newer" }), says: "version test, this one has newer"},
		"tissue":           {set: config(func(c *Config) { c.Tissue = TissueOff }), says: ", this one has tissue off"},
		"tissue margin": {
			first: config(func(c *Config) { c.Tissue = TissueAuto }),
			set:   config(func(c *Config) { c.Tissue, c.TissueMargin = TissueAuto, 7 }),
			says:  "this one has tissue auto, recall first, margin 7 µm",
		},
		"mark":  {set: config(func(c *Config) { c.MarkUnread = true }), says: "mark unread false, this one has mark unread true"},
		"level": {set: config(func(c *Config) { c.Level = 1 }), says: "level 0, this one has 1"},
		"force": {set: config(func(c *Config) { c.Force = true })},
	} {
		t.Run(name, func(t *testing.T) {
			s.fresh(t)
			if err := os.WriteFile(s.path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			s.stopAfter(t, s.asked/2, c.first)
			if c.slide != nil {
				if err := c.slide(s.path); err != nil {
					t.Fatal(err)
				}
			}
			a := s.run(t, c.set)
			if a.err != nil {
				t.Fatal(a.err)
			}
			if a.begin.Resumed != 0 || a.end.Summary.Resumed != 0 || a.predictions != a.begin.Plan.Asked {
				t.Errorf("of %d tiles %d were resumed and %d predicted", a.begin.Plan.Asked, a.begin.Resumed, a.predictions)
			}
			switch {
			case c.says == "" && len(a.warnings) > 0:
				t.Errorf("warnings %q", a.warnings)
			case c.says != "" && (len(a.warnings) != 1 || !strings.Contains(a.warnings[0], "started over: the interrupted run had ") || !strings.Contains(a.warnings[0], c.says)):
				t.Errorf("warnings %q, want one with %q", a.warnings, c.says)
			}
			// The same as if there had been no run before.
			got := s.results(t)
			s.fresh(t)
			if a := s.run(t, c.set); a.err != nil {
				t.Fatal(a.err)
			}
			if want := s.results(t); !reflect.DeepEqual(got, want) {
				t.Error("the files differ from those of a run without one before")
			}
		})
	}
}

func touch(path string) error {
	at := time.Now().Add(-time.Hour)
	return os.Chtimes(path, at, at)
}

// appendByte makes another file of a slide that shows the same.
func appendByte(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{0})
	return errors.Join(err, f.Close(), os.Chtimes(path, info.ModTime(), info.ModTime()))
}

// TestTornJournal: a journal that is cut short or damaged anywhere gives the tiles before that, and the run goes on from
// there to the same bytes.
func TestTornJournal(t *testing.T) {
	s := newInterruptible(t)
	s.fresh(t)
	s.stopAfter(t, s.asked*2/3, nil)
	path := filepath.Join("synthetic", sink.PartialDir, "journal")
	whole, err := os.ReadFile(filepath.Join(s.out, path))
	if err != nil {
		t.Fatal(err)
	}
	// A line, then frames with their length before; the first is the header.
	ends := []int{bytes.IndexByte(whole, '\n') + 1}
	for at := ends[0]; at < len(whole); ends = append(ends, at) {
		at += 8 + int(binary.LittleEndian.Uint32(whole[at:]))
	}
	header := ends[1]
	frames := ends[2:]
	if frames[len(frames)-1] != len(whole) || len(frames) < s.asked*2/3 {
		t.Fatalf("frames end at %v, the file has %d bytes", frames, len(whole))
	}
	cuts := []int{0, 5, header / 2, header}
	for i, end := range frames {
		if i%(len(frames)/4) == 0 {
			cuts = append(cuts, end-1, end, end+1, end+7)
		}
	}
	check := func(what string, at, tiles int, journal []byte) {
		s.fresh(t)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(s.out, path)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.out, path), journal, 0o666); err != nil {
			t.Fatal(err)
		}
		a := s.run(t, nil)
		if a.err != nil {
			t.Fatalf("%s at %d: %v", what, at, a.err)
		}
		s.expectWhole(t, what)
		if a.begin.Resumed != tiles || a.begin.Resumed+a.predictions != s.asked {
			t.Errorf("%s at %d of %d: %d tiles were resumed, want %d; %d predicted", what, at, len(whole), a.begin.Resumed, tiles, a.predictions)
		}
		want := 0
		if what == "flipped" && at < header { // one that is cut off there had no tile
			want = 1
		}
		if len(a.warnings) != want || want > 0 && !strings.Contains(a.warnings[0], "started over: what the interrupted run left cannot be read") {
			t.Errorf("%s at %d: warnings %q", what, at, a.warnings)
		}
	}
	for _, at := range cuts {
		if at > len(whole) {
			continue
		}
		tiles := 0
		for _, end := range frames {
			if end <= at {
				tiles++
			}
		}
		check("cut", at, tiles, whole[:at])
		if at < len(whole) {
			flipped := slices.Clone(whole)
			flipped[at] ^= 0x10
			check("flipped", at, tiles, flipped)
		}
	}
}

// TestSlideChangesWhileRead: the labels would be of two files.
func TestSlideChangesWhileRead(t *testing.T) {
	s := newInterruptible(t)
	data, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(path string) error
		says   string
	}{
		"touched":  {touch, "the file has changed while it was read: run again when it is whole"},
		"grown":    {appendByte, "the file has changed while it was read: run again when it is whole"},
		"replaced": {replace, "the file has changed while it was read: run again when it is whole"},
		"vanished": {os.Remove, "the file has vanished while it was read: run again when it is there"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, at := range []int{1, s.asked / 2, s.asked} {
				s.fresh(t)
				if err := os.WriteFile(s.path, data, 0o666); err != nil {
					t.Fatal(err)
				}
				left := at
				var errChange error
				a := s.run(t, func(p *Pipeline, _ *fakeModel) {
					p.Events.TileDone = func(TileDone) {
						if left--; left == 0 {
							errChange = c.change(s.path)
						}
					}
				})
				if errChange != nil {
					t.Fatal(errChange)
				}
				var bad *slide.Error
				if !errors.As(a.err, &bad) || !strings.Contains(a.err.Error(), c.says) {
					t.Errorf("at tile %d: error %v", at, a.err)
				}
				if got := s.results(t); len(got) > 0 {
					t.Errorf("at tile %d: %d files were left", at, len(got))
				}
			}
			if err := os.WriteFile(s.path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			s.fresh(t)
			s.finish(t, name)
		})
	}
}

// replace puts another file in a slide's place, as copying tools do.
func replace(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)-1]++
	if err := os.WriteFile(path+".new", data, 0o666); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
