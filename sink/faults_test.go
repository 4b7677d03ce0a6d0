package sink_test

import (
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"microtome/sink"
	"microtome/sink/sinktest"
)

var faults = map[string]sinktest.Fault{
	"disk full":                  {Err: syscall.ENOSPC},
	"disk full halfway":          {Err: syscall.ENOSPC, Half: true},
	"input/output error":         {Err: syscall.EIO},
	"short write without errors": {},
}

// at returns a fault of a kind at each of some operations.
func at(kind sinktest.Fault, ops ...int) (all []sinktest.Fault) {
	for _, i := range ops {
		kind.At = i
		all = append(all, kind)
	}
	return all
}

func kinds(ops []sinktest.Operation) (all []string) {
	for _, op := range ops {
		all = append(all, op.Kind)
	}
	return all
}

// A fileJob writes a file under a path of fsys and gives up as its callers do.
type fileJob func(fsys sink.FileSystem, path string) error

var fileJobs = map[string]fileJob{
	"summary.json": func(fsys sink.FileSystem, path string) error {
		return sink.WriteSummary(fsys, path, &sink.Summary{Arguments: slices.Repeat([]string{"an argument"}, 1000)})
	},
	"cohort.csv": func(fsys sink.FileSystem, path string) error {
		return sink.WriteCohort(fsys, path, make([]sink.CohortRow, 100))
	},
	"failures.csv": func(fsys sink.FileSystem, path string) error {
		return sink.WriteFailures(fsys, path, make([]sink.Failure, 100))
	},
	"run.json": func(fsys sink.FileSystem, path string) error {
		return sink.WriteRun(fsys, path, sink.Run{Status: "done"})
	},
	"overlay.png": func(fsys sink.FileSystem, path string) error {
		size := image.Pt(40, 30)
		return sink.WriteOverlay(fsys, path, image.NewRGBA(image.Rectangle{Max: size}), sink.NewOverview(size, 256, 100), nil)
	},
	"mask.tif": func(fsys sink.FileSystem, path string) error {
		size := image.Pt(700, 600)
		t, err := sink.CreateTIFF(fsys, path, sink.TIFFConfig{Size: size, Tile: 256, Compression: "none", MPP: 0.5, Software: "a program of some name"})
		if err != nil {
			return err
		}
		p := sink.NewPyramid(size, 256, sink.Majority, t)
		if err := p.Write(image.Rectangle{Max: size}, size.X, sink.Noise(size.X*size.Y)); err != nil {
			return sink.Also(err, p.Abort())
		}
		return p.Commit()
	},
}

// operations returns what a job does when nothing goes wrong. Each operation is a place to fail.
func operations(name string) []string {
	ops := []string{"MkdirAll", "Create", "Write", "Sync", "Close", "Rename", "Remove", "SyncDir"}
	if name == "mask.tif" { // three buffers of 256 KiB, the rest, and the header last
		ops = slices.Concat(ops[:2], slices.Repeat([]string{"Write"}, 4), []string{"Sync", "WriteAt"}, ops[3:])
	}
	return ops
}

func TestFileOperations(t *testing.T) {
	for name, job := range fileJobs {
		fsys := sinktest.NewFaulty()
		path := filepath.Join(t.TempDir(), name)
		if err := job(fsys, path); err != nil {
			t.Fatal(err)
		}
		if got := kinds(fsys.Done()); !slices.Equal(got, operations(name)) {
			t.Errorf("%s: operations\n%v, want\n%v", name, got, operations(name))
		}
		if got := sink.Left(t, filepath.Dir(path)); !slices.Equal(got, []string{name}) {
			t.Errorf("%v was left, want %s alone", got, name)
		}
	}
}

// TestFileFaults lets each operation fail in each way, and each two of them.
func TestFileFaults(t *testing.T) {
	for name, job := range fileJobs {
		for kindName, kind := range faults {
			t.Run(name+"/"+kindName, func(t *testing.T) {
				for i := 0; ; i++ {
					n := testFault(t, job, name, at(kind, i))
					if i >= n {
						break
					}
					for j := i + 1; j < n && !testing.Short(); j++ {
						testFault(t, job, name, at(kind, i, j))
					}
					if t.Failed() {
						break
					}
				}
			})
		}
	}
}

// TestDiskFull lets every write fail from one on: unlike Remove and Close they need room.
func TestDiskFull(t *testing.T) {
	for name, job := range fileJobs {
		for _, need := range [][]string{{"Write", "WriteAt"}, sinktest.NeedRoom} {
			for i := range operations(name) {
				testFault(t, job, name, []sinktest.Fault{{At: i, Kinds: need, Forever: true, Err: syscall.ENOSPC, Half: true}})
			}
		}
	}
}

// testFault returns how many operations the job did.
func testFault(t *testing.T, job fileJob, name string, faults []sinktest.Fault) int {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	fsys := sinktest.NewFaulty(faults...)
	err := job(fsys, path)
	done, failed := kinds(fsys.Done()), kinds(fsys.Failed())
	at := fmt.Sprintf("%s: faults %v of %v", name, faults, done)
	if err := fsys.Closed(); err != nil {
		t.Errorf("%s: %v", at, err)
	}
	if len(failed) == 0 {
		if err != nil {
			t.Errorf("%s: %v without a fault", at, err)
		}
		return len(done)
	}
	if err == nil {
		t.Errorf("%s: no error", at)
		return len(done)
	}
	sink.CheckText(t, err)
	want := faults[0].Err
	if errors.Is(want, syscall.ENOSPC) && !strings.Contains(err.Error(), "no space left on device: free some space") {
		t.Errorf("%s: the error does not say what to do: %v", at, err)
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("%s: the error hides its cause: %v", at, err)
	} else if want == nil && !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%s: %v, want a short write", at, err)
	}
	if slices.Contains(failed, "Remove") {
		return len(done)
	}
	if got := sink.Left(t, dir); len(got) > 0 {
		t.Errorf("%s: %v was left", at, got)
	}
	return len(done)
}

// TestRunFaults lets each operation of a resumed run fail in each way: of journal, mask, summary and
// stage. No half a file is under a final name; the journal keeps tiles from the first on, as they were
// appended; the error says what was done to which file; and the next run writes the right bytes.
func TestRunFaults(t *testing.T) {
	size := image.Pt(300, 200)
	w := sink.NewWork(size, 128, 2, 64, "none", sink.Noise(size.X*size.Y))
	want := w.Whole(t)
	start := func(t *testing.T, fresh bool) string { // with two tiles and a bit of the third, or without
		dir := t.TempDir()
		if fresh {
			return dir
		}
		if err := w.Run(sinktest.NewFaulty(), dir, sink.StopAfter(2)); !errors.Is(err, sink.ErrStop) {
			t.Fatal(err)
		}
		path := filepath.Join(dir, sink.PartialDir, "journal")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()-9); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, kind := range faults {
		t.Run(name, func(t *testing.T) {
			reached := map[string]int{}
			fresh, first := true, 0
			for k := 0; ; k++ {
				i := k - first
				dir := start(t, fresh)
				fsys := sinktest.NewFaulty(at(kind, i)...)
				err := w.Run(fsys, dir, sink.Always)
				failed := kinds(fsys.Failed())
				for _, op := range failed {
					reached[op]++
				}
				where := fmt.Sprintf("%s fails as number %d", failed, i)
				if i >= fsys.Count("") {
					if err != nil {
						t.Errorf("without a fault: %v", err)
					}
					if !fresh {
						break
					}
					fresh, first = false, k+1
					continue
				}
				if len(failed) > 0 {
					if err == nil {
						t.Errorf("%s: no error", where)
					} else if sink.CheckText(t, err); !strings.Contains(err.Error(), dir) || kind.Err != nil && !errors.Is(err, kind.Err) {
						t.Errorf("%s: the error hides its cause or the file: %v", where, err)
					}
				}
				got := sink.Result(t, dir)
				delete(got, sink.PartialDir)
				for file, text := range got {
					if text != want[file] {
						t.Errorf("%s: half of %s is under its final name", where, file)
					}
				}
				journal := filepath.Join(dir, sink.PartialDir, "journal")
				if _, err := os.Stat(journal); err == nil {
					j := sink.Reopen(t, journal, w)
					if j.Restart() != nil || j.Resumed() < 2 && !fresh {
						t.Errorf("%s: %d tiles are left of 2 at least: %v", where, j.Resumed(), j.Restart())
					}
					for i, rec := range sink.Kept(t, j) {
						if !sink.Alike([]sink.Record{rec}, []sink.Record{w.Plain(i)}) {
							t.Errorf("%s: tile %d of the journal is not what was appended", where, i)
						}
					}
					sink.Close(j)
				} else if got["summary.json"] == "" && err != nil && !fresh {
					t.Errorf("%s: neither results nor a journal are left", where)
				}
				if err := w.Run(sinktest.NewFaulty(), dir, sink.Always); err != nil {
					t.Errorf("%s: the next run: %v", where, err)
				}
				if got := sink.Result(t, dir); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: the next run wrote other bytes", where)
				}
				if t.Failed() {
					break
				}
			}
			for _, seam := range []reflect.Type{reflect.TypeFor[sink.FileSystem](), reflect.TypeFor[sink.File]()} {
				for i := range seam.NumMethod() {
					if op := seam.Method(i).Name; reached[op] == 0 && kind.Err != nil {
						t.Errorf("%s never failed", op)
					}
				}
			}
		})
	}
}

// TestJournalOnAFullDisk: errors say what to do.
func TestJournalOnAFullDisk(t *testing.T) {
	fsys := sinktest.NewFaulty()
	size := image.Pt(9, 9)
	s, err := sink.ResumeStage(fsys, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	j, err := s.Journal(sink.Header(size, 9))
	if err != nil {
		t.Fatal(err)
	}
	fsys.Add(sinktest.Fault{Err: syscall.ENOSPC, Half: true})
	err = j.Append(sink.Record{Rect: image.Rectangle{Max: size}, Stride: 9, Labels: make([]byte, 81)})
	if err == nil || !strings.Contains(err.Error(), s.Path("journal")) || !strings.HasSuffix(err.Error(), "no space left on device: free some space, or write elsewhere with -o") {
		t.Errorf("error %v", err)
	}
	if again := j.Sync(); !errors.Is(again, syscall.ENOSPC) {
		t.Errorf("then Sync: %v", again)
	}
}
