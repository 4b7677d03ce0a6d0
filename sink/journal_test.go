package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func free() error { return nil }

func open(t testing.TB, path string, h JournalHeader) *Journal {
	t.Helper()
	j, err := openJournal(quick{}, path, h, free)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// kept returns what a journal replays.
func kept(t testing.TB, j *Journal) []Record {
	t.Helper()
	var all []Record
	for rec, err := range j.Replay() {
		if err != nil {
			t.Fatal(err)
		}
		rec.Labels, rec.Extra = bytes.Clone(rec.Labels), bytes.Clone(rec.Extra)
		all = append(all, rec)
	}
	if len(all) != j.Resumed() {
		t.Fatalf("%d tiles were replayed, want %d", len(all), j.Resumed())
	}
	return all
}

// plain is a record as a replay gives it.
func (r Record) plain() Record {
	w, h := r.Rect.Dx(), r.Rect.Dy()
	var labels []byte
	for y := range h {
		labels = append(labels, r.Labels[y*r.Stride:][:w]...)
	}
	return Record{r.Index, r.Rect, w, labels, r.Extra}
}

func alike(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(a, b Record) bool {
		return a.Index == b.Index && a.Rect == b.Rect && a.Stride == b.Stride && bytes.Equal(a.Labels, b.Labels) && bytes.Equal(a.Extra, b.Extra)
	})
}

// drawRecords draws tiles of a mask, as a grid of cores gives them or with some left out.
func drawRecords(t *rapid.T) (JournalHeader, []Record) {
	core := rapid.IntRange(1, 40).Draw(t, "core")
	size := drawSize(t, 4*core)
	h := header(size, core)
	n := image.Pt((size.X+core-1)/core, (size.Y+core-1)/core)
	var recs []Record
	for i := range n.X * n.Y {
		if rapid.IntRange(0, 4).Draw(t, "left out") == 0 {
			continue
		}
		at := image.Pt(i%n.X, i/n.X).Mul(core)
		r := image.Rect(0, 0, core, core).Add(at).Intersect(image.Rectangle{Max: size})
		stride := r.Dx() + rapid.IntRange(0, 2).Draw(t, "gap")
		extra := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "extra")
		recs = append(recs, Record{i, r, stride, drawImage(t, image.Pt(stride, r.Dy()))[:(r.Dy()-1)*stride+r.Dx()], extra})
	}
	return h, recs
}

func header(size image.Point, core int) JournalHeader {
	return JournalHeader{
		Version: "1.0", Slide: "5a1d", Model: "90de", Engine: "cpu", Stride: 16, Before: 92, After: 92, Level: 1, Scale: 1.25, MPP: 0.5,
		Region: image.Rectangle{Max: size}.Add(image.Pt(300, 40)), Core: core, Panel: 2, Arguments: []string{"tissue=auto"},
	}
}

// TestJournal: what is replayed is what was appended, whoever appended it in how many runs.
func TestJournal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "journal")
		h, recs := drawRecords(t)
		var want []Record
		for i := 0; i <= len(recs); {
			j, err := openJournal(quick{}, path, h, free)
			if err != nil {
				t.Fatal(err)
			}
			if j.Restart() != nil || j.dropped != 0 || j.Resumed() != i {
				t.Fatalf("%d tiles were found, want %d; restart %v, %d bytes dropped", j.Resumed(), i, j.Restart(), j.dropped)
			}
			var got []Record
			for rec, err := range j.Replay() {
				if err != nil {
					t.Fatal(err)
				}
				rec.Labels, rec.Extra = bytes.Clone(rec.Labels), bytes.Clone(rec.Extra)
				got = append(got, rec)
			}
			if !alike(got, want) {
				t.Fatalf("%v\nwas replayed, want\n%v", got, want)
			}
			if i == len(recs) {
				break
			}
			for n := rapid.IntRange(1, len(recs)-i).Draw(t, "in this run"); n > 0; n-- {
				if err := j.Append(recs[i]); err != nil {
					t.Fatal(err)
				}
				want = append(want, recs[i].plain())
				i++
			}
			if err := j.file.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// threeTiles writes a journal of three tiles and returns where each frame ends.
func threeTiles(t testing.TB, path string) (JournalHeader, []Record, []int64) {
	t.Helper()
	size := image.Pt(20, 3)
	h := header(size, 8)
	j := open(t, path, h)
	ends := []int64{j.pos}
	var recs []Record
	for i := range 3 {
		r := image.Rect(8*i, 0, min(8*i+8, size.X), size.Y)
		recs = append(recs, Record{i, r, r.Dx(), noise(r.Dx() * r.Dy()), []byte("extra")})
		if err := j.Append(recs[i]); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.pos)
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	return h, recs, ends
}

// TestJournalDamaged cuts a journal at every byte, and changes every byte of it. The tiles before are
// there, no other is, and the journal goes on from there.
func TestJournalDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	h, recs, ends := threeTiles(t, path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, at int, damaged []byte) {
		if err := os.WriteFile(path, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		whole := 0 // tiles before the damage
		for whole < 3 && ends[whole+1] <= int64(at) {
			whole++
		}
		j := open(t, path, h)
		if int64(at) < ends[0] { // the header itself
			begun := name == "cut" // killed before there was a tile
			if (j.Restart() == nil) != begun || j.Resumed() > 0 {
				t.Errorf("%s at %d: restart %v, %d tiles", name, at, j.Restart(), j.Resumed())
			}
		} else if j.Restart() != nil || j.dropped != int64(len(damaged))-ends[whole] {
			t.Errorf("%s at %d: restart %v, %d bytes dropped, want %d", name, at, j.Restart(), j.dropped, int64(len(damaged))-ends[whole])
		}
		if got := kept(t, j); !alike(got, recs[:whole]) {
			t.Errorf("%s at %d: %d tiles, want the first %d", name, at, len(got), whole)
		}
		for _, rec := range recs[whole:] {
			if err := j.Append(rec); err != nil {
				t.Fatal(err)
			}
		}
		j.file.Close()
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s at %d: the completed journal differs from one that was not interrupted: %v", name, at, err)
		}
	}
	for at := range data {
		check("cut", at, data[:at])
		changed := bytes.Clone(data)
		changed[at] ^= byte(1 + at%255)
		check("change", at, changed)
		if !testing.Short() {
			check("zeros", at, append(bytes.Clone(data[:at]), make([]byte, 5000)...))
		}
	}
	for i := range 3 { // frames that are right by themselves, at the wrong place
		rest := data[ends[i+1]:]
		check(fmt.Sprintf("tile %d missing", i), int(ends[i]), append(bytes.Clone(data[:ends[i]]), rest...))
		check(fmt.Sprintf("tile %d doubled", i), int(ends[i+1]), append(bytes.Clone(data[:ends[i+1]]), data[ends[i]:]...))
	}
	check("long", len(data), append(bytes.Clone(data), data...))
}

// TestJournalRestarts: a run that differs in anything that a header pins does not use the tiles, and says
// in what.
func TestJournalRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	kind := reflect.TypeFor[JournalHeader]()
	for i := range kind.NumField() {
		os.Remove(path)
		h, _, _ := threeTiles(t, path)
		switch f := reflect.ValueOf(&h).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString(f.String() + "x")
		case reflect.Int:
			f.SetInt(f.Int() + 1)
		case reflect.Float64:
			f.SetFloat(f.Float() * (1 + 1e-15))
		case reflect.Slice:
			h.Arguments = []string{"tissue=off"}
		case reflect.Struct:
			h.Region.Min.X--
		default:
			t.Fatalf("%s is new to this test", kind.Field(i).Name)
		}
		j := open(t, path, h)
		field := kind.Field(i).Tag.Get("json")
		if r := j.Restart(); r == nil || r.Field != field || r.Was == r.Is || !strings.Contains(r.String(), field) {
			t.Errorf("%s differs: restart %v", field, r)
		}
		if j.Resumed() != 0 || len(kept(t, j)) != 0 {
			t.Errorf("%s differs: %d tiles are used", field, j.Resumed())
		}
		if r := j.Restart(); field == "arguments" && strings.ContainsAny(r.String(), "[]") {
			t.Errorf("%v: more than the argument that differs", r)
		}
		j.file.Close()
		if j := open(t, path, h); j.Restart() != nil {
			t.Errorf("%s differs: the new journal is not that of this run: %v", field, j.Restart())
		}
	}
	h, _, _ := threeTiles(t, path)
	data, _ := os.ReadFile(path)
	for text, want := range map[string]Restart{
		strings.Replace(string(data), "journal 1\n", "journal 2\n", 1): {"format", "2", "1"},
		"\x00\x00\x00":     {},
		"microtomes":       {},
		journalLine + "\n": {},
	} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if j := open(t, path, h); j.Restart() == nil || *j.Restart() != want {
			t.Errorf("%.20q: restart %v, want %v", text, j.Restart(), want)
		}
	}
}

// TestJournalRefuses what is not a tile of the mask, and goes no further then.
func TestJournalRefuses(t *testing.T) {
	size := image.Pt(70, 20)
	good := Record{1, image.Rect(0, 0, 32, 20), 32, make([]byte, 32*20), nil}
	for name, change := range map[string]func(*Record){
		"index":   func(r *Record) { r.Index = 0 },
		"outside": func(r *Record) { r.Rect = r.Rect.Add(image.Pt(0, 1)) },
		"empty":   func(r *Record) { r.Rect = image.Rectangle{} },
		"large":   func(r *Record) { r.Rect.Max.X++; r.Stride++; r.Labels = make([]byte, 33*20) },
		"short":   func(r *Record) { r.Labels = r.Labels[1:] },
		"stride":  func(r *Record) { r.Stride-- },
		"extra":   func(r *Record) { r.Extra = make([]byte, maxExtra+1) },
	} {
		path := filepath.Join(t.TempDir(), "journal")
		j := open(t, path, header(size, 32))
		if err := j.Append(Record{0, image.Rect(32, 0, 64, 20), 32, make([]byte, 32*20), nil}); err != nil {
			t.Fatal(err)
		}
		bad := good
		change(&bad)
		err := j.Append(bad)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkText(t, err)
		if again := j.Append(good); !errors.Is(again, err) {
			t.Errorf("%s: then %v", name, again)
		}
		j.file.Close()
		if j := open(t, path, header(size, 32)); j.Resumed() != 1 || j.dropped != 0 {
			t.Errorf("%s: %d tiles in the journal, %d bytes dropped", name, j.Resumed(), j.dropped)
		}
	}
}

// A work is a slide to be labelled, as a run does it: core by core, in panels.
type work struct {
	header JournalHeader
	tiff   TIFFConfig
	labels []byte
	tiles  []image.Rectangle
}

func newWork(size image.Point, core, panel, tile int, compression string, labels []byte) *work {
	w := &work{header: header(size, core), labels: labels, tiff: TIFFConfig{Size: size, Tile: tile, Compression: compression, MPP: 0.5}}
	w.header.Panel = panel
	for x0 := 0; x0 < size.X; x0 += core * panel {
		for y := 0; y < size.Y; y += core {
			for x := x0; x < min(x0+core*panel, size.X); x += core {
				w.tiles = append(w.tiles, image.Rect(x, y, x+core, y+core).Intersect(image.Rectangle{Max: size}))
			}
		}
	}
	return w
}

func (w *work) Record(i int) Record {
	r, width := w.tiles[i], w.tiff.Size.X
	labels := w.labels[r.Min.Y*width+r.Min.X:][:(r.Dy()-1)*width+r.Dx()]
	return Record{i, r, width, labels, fmt.Append(nil, "tile ", i)}
}

// run labels the slide into dir as a run does that may have been interrupted: done is called with each
// tile that is committed, after the one it has resumed from, and may end it.
func (w *work) Run(fsys FileSystem, dir string, done func(i int) error) (err error) {
	s, err := ResumeStage(fsys, dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = also(err, s.Suspend())
		} else {
			err = s.Close()
		}
	}()
	j, err := s.Journal(w.header)
	if err != nil {
		return err
	}
	mask, err := CreateTIFF(fsys, s.Path("mask.tif"), w.tiff)
	if err != nil {
		return err
	}
	p := NewPyramid(w.tiff.Size, w.tiff.Tile, Majority, mask)
	if err := w.fill(j, p, done); err != nil {
		return also(err, p.Abort())
	}
	if err := p.Commit(); err != nil {
		return err
	}
	counts, err := json.Marshal(p.Counts())
	if err == nil {
		err = writeFile(fsys, s.Path("summary.json"), counts)
	}
	if err != nil {
		return err
	}
	return s.Publish("mask.tif", "summary.json")
}

func (w *work) fill(j *Journal, p *Pyramid, done func(int) error) error {
	for rec, err := range j.Replay() {
		if err != nil {
			return err
		}
		if err := p.Write(rec.Rect, rec.Stride, rec.Labels); err != nil {
			return err
		}
	}
	for i := j.next; i < len(w.tiles); i++ {
		rec := w.Record(i)
		if err := j.Append(rec); err != nil {
			return err
		}
		if err := p.Write(rec.Rect, rec.Stride, rec.Labels); err != nil {
			return err
		}
		if err := done(i); err != nil {
			return err
		}
	}
	return nil
}

var errStop = errors.New("stop")

// stopAfter ends a run when it has committed a tile.
func stopAfter(tile int) func(int) error {
	return func(i int) error {
		if i == tile {
			return errStop
		}
		return nil
	}
}

func always(int) error { return nil }

// result returns the files in dir, by name.
func result(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			data = []byte(err.Error())
		}
		all[e.Name()] = string(data)
	}
	return all
}

// whole returns what an uninterrupted run writes.
func (w *work) Whole(t testing.TB) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := w.Run(quick{}, dir, always); err != nil {
		t.Fatal(err)
	}
	all := result(t, dir)
	if len(all) != 2 || len(all["mask.tif"]) == 0 || len(all["summary.json"]) == 0 {
		t.Fatalf("an uninterrupted run left %d files", len(all))
	}
	return all
}

// TestResumeWritesTheSameBytes: a run that was interrupted after any tile, or whose journal was cut at any
// byte, writes the files of one that was not, and labels no tile twice that it had.
func TestResumeWritesTheSameBytes(t *testing.T) {
	for _, c := range []struct {
		size        image.Point
		core, panel int
		compression string
	}{
		{image.Pt(700, 460), 128, 2, "lzw"},
		{image.Pt(333, 501), 96, 3, "zstd"}, // cores that are no multiple of a tile of the mask
		{image.Pt(130, 70), 48, 1, "none"},
	} {
		edge := max(c.size.X, c.size.Y)
		w := newWork(c.size, c.core, c.panel, 64, c.compression, crop(nuclei(edge), edge, c.size))
		want := w.Whole(t)
		check := func(name string, stop int, damage func(path string)) {
			dir := t.TempDir()
			if err := w.Run(quick{}, dir, stopAfter(stop)); !errors.Is(err, errStop) {
				t.Fatalf("%s: %v", name, err)
			}
			journal := filepath.Join(dir, PartialDir, journalFile)
			if got := left(t, dir); !slices.Equal(got, []string{PartialDir, PartialDir + "/" + journalFile}) {
				t.Errorf("%s: the interrupted run left %v", name, got)
			}
			damage(journal)
			probe := open(t, journal, w.header)
			first := probe.next
			probe.file.Close()
			err := w.Run(quick{}, dir, func(i int) error {
				if i < first {
					t.Errorf("%s: tile %d was labelled again", name, i)
				}
				return nil
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := result(t, dir); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: the resumed run wrote other bytes", name)
			}
		}
		for i := range w.tiles {
			check(fmt.Sprintf("%v after tile %d", c.size, i), i, func(path string) {
				if j := open(t, path, w.header); j.Resumed() != i+1 || j.dropped != 0 {
					t.Errorf("after tile %d the journal has %d, %d bytes dropped", i, j.Resumed(), j.dropped)
				}
			})
		}
		rng := rand.New(rand.NewPCG(1, uint64(edge)))
		for range 20 {
			stop := rng.IntN(len(w.tiles))
			check(fmt.Sprintf("%v cut after tile %d", c.size, stop), stop, func(path string) {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(path, rng.Int64N(info.Size())); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// crop returns the top left of a square.
func crop(pix []byte, edge int, size image.Point) []byte {
	var out []byte
	for y := range size.Y {
		out = append(out, pix[y*edge:][:size.X]...)
	}
	return out
}

// counted counts the syncs of files.
type counted struct {
	quick
	syncs int
}

type countedFile struct {
	File
	fs *counted
}

func (c *counted) Create(path string) (File, error) {
	f, err := c.quick.Create(path)
	return countedFile{f, c}, err
}

func (f countedFile) Sync() error {
	f.fs.syncs++
	return nil
}

// TestJournalSyncs: as often as it says.
func TestJournalSyncs(t *testing.T) {
	fsys := &counted{}
	size := image.Pt(1024, 40*1024)
	j, err := openJournal(fsys, filepath.Join(t.TempDir(), "journal"), header(size, 1024), free)
	if err != nil {
		t.Fatal(err)
	}
	defer j.file.Close()
	before := fsys.syncs
	pix := noise(1 << 20)
	for i := range 40 { // of a MiB that does not compress
		j.synced = j.synced.Add(syncEvery / 100) // the test may be slow, not the rule
		if err := j.Append(Record{Index: i, Rect: image.Rect(0, 0, 1024, 1024).Add(image.Pt(0, 1024*i)), Stride: 1024, Labels: pix}); err != nil {
			t.Fatal(err)
		}
	}
	if got := fsys.syncs - before; got != 2 {
		t.Errorf("40 MiB were synced %d times, want every 16", got)
	}
	before = fsys.syncs
	j.synced = time.Now().Add(-syncEvery)
	j.next = 0
	for i := range 2 {
		if err := j.Append(Record{Index: i, Rect: image.Rect(0, 0, 1, 1), Stride: 1, Labels: pix[:1]}); err != nil {
			t.Fatal(err)
		}
	}
	if got := fsys.syncs - before; got != 1 {
		t.Errorf("ten seconds after the last sync there were %d, want one", got)
	}
}

// FuzzJournal opens any bytes as a journal: they are at most taken for fewer tiles, and it goes on.
func FuzzJournal(f *testing.F) {
	path := filepath.Join(f.TempDir(), "journal")
	h, recs, ends := threeTiles(f, path)
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:ends[1]+3])
	f.Add([]byte(journalLine))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		j := open(t, path, h)
		n := 0
		for rec, err := range j.Replay() {
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			if err == nil && !j.fits(rec.Rect) {
				t.Errorf("tile %v was replayed", rec.Rect)
			}
			n++
		}
		rec := recs[0]
		rec.Index = j.next
		if err := j.Append(rec); err != nil {
			t.Fatal(err)
		}
		j.file.Close()
		if again := open(t, path, h); again.Resumed() != j.Resumed()+1 || again.dropped != 0 || again.Restart() != nil {
			t.Errorf("%d tiles after the next, %d before", again.Resumed(), j.Resumed())
		}
	})
}

// TestJournalAllocatesNothing once its buffers are there.
func TestJournalAllocatesNothing(t *testing.T) {
	size := image.Pt(512, 100*512)
	j := open(t, filepath.Join(t.TempDir(), "journal"), header(size, 512))
	defer j.file.Close()
	pix := nuclei(520)
	i := 0
	write := func() {
		if err := j.Append(Record{Index: i, Rect: image.Rect(0, 0, 512, 512).Add(image.Pt(0, 512*i)), Stride: 520, Labels: pix}); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for range 4 {
		write()
	}
	if n := testing.AllocsPerRun(30, write); n > 0 {
		t.Errorf("%v allocations a tile", n)
	}
	if most, has := JournalBytes(512), int64(cap(j.frame)+cap(j.rows)); has > most {
		t.Errorf("%d bytes of buffers, JournalBytes says %d", has, most)
	}
}

// TestJournalReplayMayStop: tiles are appended behind those that are there, however far a replay went.
func TestJournalReplayMayStop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	h, recs, _ := threeTiles(t, path)
	j := open(t, path, h)
	for range j.Replay() {
		break
	}
	more := recs[0]
	more.Index = 3
	if err := j.Append(more); err != nil {
		t.Fatal(err)
	}
	for _, err := range j.Replay() {
		if err == nil {
			t.Error("a replay after an Append")
		}
	}
	j.file.Close()
	if got := kept(t, open(t, path, h)); !alike(got, append(recs, more)) {
		t.Errorf("%d tiles, want 4", len(got))
	}
}

// TestJournalRestartLeavesTheOldFile to a process that has lost it without knowing.
func TestJournalRestartLeavesTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	h, recs, _ := threeTiles(t, path)
	old := open(t, path, h)
	defer old.file.Close()
	h.Model = "another"
	j := open(t, path, h)
	recs[0].Index = 3
	if err := old.Append(recs[0]); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(recs[1]); err != nil {
		t.Fatal(err)
	}
	j.file.Close()
	if got := kept(t, open(t, path, h)); !alike(got, recs[1:2]) {
		t.Errorf("the old process has written into the new journal: %d tiles", len(got))
	}
}

// TestSuspendWithoutTiles leaves nothing.
func TestSuspendWithoutTiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "slide")
	s, err := ResumeStage(Disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Journal(header(image.Pt(9, 9), 9)); err != nil {
		t.Fatal(err)
	}
	if err := s.Suspend(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("left %v", left(t, dir))
	}
}
