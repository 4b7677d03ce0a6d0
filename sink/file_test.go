package sink

import (
	"io/fs"
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

type quickFile struct{ File }

func (quickFile) Sync() error { return nil }

func (quick) SyncDir(string) error { return nil }

func (q quick) Create(path string) (File, error) {
	f, err := q.disk.Create(path)
	return quickFile{f}, err
}

func (q quick) Open(path string) (File, error) {
	f, err := q.disk.Open(path)
	return quickFile{f}, err
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
