package sink

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"
)

// quick is the disk without waiting for it: no test can tell what a sync did.
type quick struct{ disk }

type quickFile struct{ file }

func (quickFile) Sync() error { return nil }

func (quick) SyncDir(string) error { return nil }

func (q quick) Create(path string) (file, error) {
	f, err := q.disk.Create(path)
	return quickFile{f}, err
}

func (q quick) Open(path string) (file, error) {
	f, err := q.disk.Open(path)
	return quickFile{f}, err
}

// A faultFS is the disk, but the operations whose numbers are in fail go wrong, the first being 0.
type faultFS struct {
	quick
	fail   map[int]bool
	kind   fault
	ops    []string
	failed []string // operations that went wrong
	closed map[*faultFile]int
}

// A fault is how an operation goes wrong: with err, and where short is set writes do half of their work
// before that.
type fault struct {
	err   error
	short bool
}

var faults = map[string]fault{
	"disk full":                  {err: syscall.ENOSPC},
	"disk full halfway":          {err: syscall.ENOSPC, short: true},
	"input/output error":         {err: syscall.EIO},
	"short write without errors": {short: true},
}

func newFaultFS(kind fault, fail ...int) *faultFS {
	f := &faultFS{kind: kind, fail: map[int]bool{}, closed: map[*faultFile]int{}}
	for _, i := range fail {
		f.fail[i] = true
	}
	return f
}

// next counts an operation, and returns the error it fails with.
func (f *faultFS) next(op, path string) error {
	i := len(f.ops)
	f.ops = append(f.ops, op)
	if !f.fail[i] {
		return nil
	}
	if f.kind.err == nil && op != "Write" && op != "WriteAt" {
		return nil // cannot be short
	}
	f.failed = append(f.failed, op)
	if f.kind.err == nil {
		return errShort
	}
	return &fs.PathError{Op: strings.ToLower(op), Path: path, Err: f.kind.err}
}

// errShort asks a write to stop halfway and say nothing.
var errShort = errors.New("short")

func (f *faultFS) MkdirAll(dir string) error {
	if err := f.next("MkdirAll", dir); err != nil {
		return err
	}
	return f.quick.MkdirAll(dir)
}

func (f *faultFS) Create(path string) (file, error) {
	if err := f.next("Create", path); err != nil {
		return nil, err
	}
	inner, err := f.quick.Create(path)
	if err != nil {
		return nil, err
	}
	ff := &faultFile{inner, f, path}
	f.closed[ff] = 0
	return ff, nil
}

func (f *faultFS) Open(path string) (file, error) {
	if err := f.next("Open", path); err != nil {
		return nil, err
	}
	inner, err := f.quick.Open(path)
	if err != nil {
		return nil, err
	}
	ff := &faultFile{inner, f, path}
	f.closed[ff] = 0
	return ff, nil
}

func (f *faultFS) Rename(from, to string) error {
	if err := f.next("Rename", from); err != nil {
		return err
	}
	return f.quick.Rename(from, to)
}

func (f *faultFS) Remove(path string) error {
	if err := f.next("Remove", path); err != nil {
		return err
	}
	return f.quick.Remove(path)
}

func (f *faultFS) SyncDir(dir string) error {
	if err := f.next("SyncDir", dir); err != nil {
		return err
	}
	return f.quick.SyncDir(dir)
}

type faultFile struct {
	file
	fs   *faultFS
	path string
}

func (f *faultFile) Write(p []byte) (int, error) {
	return f.write("Write", p, f.file.Write)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	return f.write("WriteAt", p, func(p []byte) (int, error) { return f.file.WriteAt(p, off) })
}

func (f *faultFile) write(op string, p []byte, write func([]byte) (int, error)) (n int, err error) {
	err = f.fs.next(op, f.path)
	if err == nil {
		return write(p)
	}
	if f.fs.kind.short {
		n, _ = write(p[:len(p)/2])
	}
	if errors.Is(err, errShort) {
		err = nil
	}
	return n, err
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.next("ReadAt", f.path); err != nil {
		return 0, err
	}
	return f.file.ReadAt(p, off)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fs.next("Truncate", f.path); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.fs.next("Sync", f.path); err != nil {
		return err
	}
	return f.file.Sync()
}

// Close closes the file also when it fails, as the operating system does.
func (f *faultFile) Close() error {
	f.fs.closed[f]++
	return errors.Join(f.fs.next("Close", f.path), f.file.Close())
}

// A fileJob writes a file under a path of fsys and gives up as its callers do.
type fileJob func(fsys fileSystem, path string) error

var fileJobs = map[string]fileJob{
	"summary.json": func(fsys fileSystem, path string) error {
		return writeFile(fsys, path, bytes.Repeat([]byte("a line\n"), 1000))
	},
	"mask.tif": func(fsys fileSystem, path string) error {
		size := image.Pt(700, 600)
		t, err := createTIFF(fsys, path, TIFFConfig{Size: size, Tile: 256, Compression: "none", MPP: 0.5, Software: "a program of some name"})
		if err != nil {
			return err
		}
		p := NewPyramid(size, 256, Majority, t)
		if err := p.Write(image.Rectangle{Max: size}, size.X, noise(size.X*size.Y)); err != nil {
			return also(err, p.Abort())
		}
		return p.Commit()
	},
}

var noise = func() func(n int) []byte {
	rng := rand.NewChaCha8([32]byte{})
	var pix []byte
	return func(n int) []byte {
		if len(pix) < n {
			pix = make([]byte, n)
			_, _ = rng.Read(pix)
		}
		return pix[:n]
	}
}()

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
		fsys := newFaultFS(fault{})
		path := filepath.Join(t.TempDir(), name)
		if err := job(fsys, path); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(fsys.ops, operations(name)) {
			t.Errorf("%s: operations\n%v, want\n%v", name, fsys.ops, operations(name))
		}
		if got := left(t, filepath.Dir(path)); !slices.Equal(got, []string{name}) {
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
					fsys := newFaultFS(kind, i)
					testFault(t, job, name, fsys)
					if i >= len(fsys.ops) {
						break
					}
					for j := i + 1; j < len(fsys.ops) && !testing.Short(); j++ {
						testFault(t, job, name, newFaultFS(kind, i, j))
					}
					if t.Failed() {
						break
					}
				}
			})
		}
	}
}

// TestDiskFull lets every operation fail from one on that needs room: unlike Remove and Close.
func TestDiskFull(t *testing.T) {
	for name, job := range fileJobs {
		ops := operations(name)
		for i := range ops {
			fsys := newFaultFS(fault{err: syscall.ENOSPC, short: true})
			for j, op := range ops {
				fsys.fail[j] = j >= i && (op == "Write" || op == "WriteAt")
			}
			testFault(t, job, name, fsys)
		}
	}
}

func testFault(t *testing.T, job fileJob, name string, fsys *faultFS) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	err := job(fsys, path)
	at := fmt.Sprintf("faults at %v of %v", slices.Sorted(maps.Keys(fsys.fail)), fsys.ops)
	for _, n := range fsys.closed {
		if n != 1 {
			t.Errorf("%s: closed %d times", at, n)
		}
	}
	if len(fsys.failed) == 0 {
		if err != nil {
			t.Errorf("%s: %v without a fault", at, err)
		}
		return
	}
	if err == nil {
		t.Errorf("%s: no error", at)
		return
	}
	checkText(t, err)
	if errors.Is(fsys.kind.err, syscall.ENOSPC) && !strings.Contains(err.Error(), "no space left on device: free some space") {
		t.Errorf("%s: the error does not say what to do: %v", at, err)
	}
	if want := fsys.kind.err; want != nil && !errors.Is(err, want) {
		t.Errorf("%s: the error hides its cause: %v", at, err)
	} else if want == nil && !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%s: %v, want a short write", at, err)
	}
	if slices.Contains(fsys.failed, "Remove") {
		return
	}
	if got := left(t, dir); len(got) > 0 {
		t.Errorf("%s: %v was left", at, got)
	}
}

// checkText checks that an error reads like one of ours.
func checkText(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if strings.Contains(text, "\n") || !unicode.IsLower([]rune(text)[0]) || strings.HasSuffix(text, ".") {
		t.Errorf("error %q: want one line, in lower case, without a full stop", text)
	}
}

// left returns what is in a folder and its subfolders.
func left(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			all = append(all, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFileAdvice lets the real operating system say no.
func TestFileAdvice(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "file")
	if err := os.WriteFile(inTheWay, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	err := writeFile(disk{}, filepath.Join(inTheWay, "summary.json"), nil)
	if err == nil || !strings.HasSuffix(err.Error(), "not a directory: choose another folder with -o") {
		t.Errorf("error %v", err)
	}
	checkText(t, err)

	taken := filepath.Join(dir, "mask.tif")
	if err := os.MkdirAll(filepath.Join(taken, "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(disk{}, taken, nil); err == nil {
		t.Error("a folder was replaced by a file")
	} else {
		checkText(t, err)
	}
	if got := left(t, dir); !slices.Equal(got, []string{"file", "mask.tif", "mask.tif/full"}) {
		t.Errorf("left %v", got)
	}
}

// TestFilePermissions: a result can be read and replaced by whom the user's umask says.
func TestFilePermissions(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	dir := filepath.Join(t.TempDir(), "new", "out")
	path := filepath.Join(dir, "summary.json")
	if err := writeFile(disk{}, path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{path: 0o640, dir: 0o750 | fs.ModeDir} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}

// TestPartialDirIsShared: a file that ends leaves the folder to one that does not yet.
func TestPartialDirIsShared(t *testing.T) {
	dir := t.TempDir()
	p, err := createPartial(disk{}, filepath.Join(dir, "mask.tif"))
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(disk{}, filepath.Join(dir, "overlay.png"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, want := left(t, dir), []string{".partial", ".partial/mask.tif", "overlay.png"}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	if err := p.commit(); err != nil {
		t.Fatal(err)
	}
	if got, want := left(t, dir), []string{"mask.tif", "overlay.png"}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}
