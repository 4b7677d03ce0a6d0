package sink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Stage is where the files of one folder of results are made before they take the place of earlier
// ones: DIR/.partial, which no other process can have at the same time. Results that are there stay as
// they are until Publish.
type Stage struct {
	dir  string
	fs   fileSystem
	lock *os.File
}

// lockFile stands in the stage while a process works there. It is locked, not merely there: what a
// killed process leaves behind holds nobody up.
const lockFile = "lock"

// OpenStage makes the stage of a folder, which need not exist. What an interrupted run left in it is
// removed. It fails while another process has the stage.
func OpenStage(dir string) (*Stage, error) {
	s := &Stage{dir: dir, fs: disk{}}
	for s.lock == nil {
		if err := s.fs.MkdirAll(s.Path("")); err != nil {
			return nil, advise(err)
		}
		f, err := os.OpenFile(s.Path(lockFile), os.O_CREATE|os.O_RDWR, 0o666)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process has just taken its stage down
		}
		if err != nil {
			return nil, advise(err)
		}
		if err := lock(f); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, also(err, f.Close()))
		}
		if same(f, s.Path(lockFile)) {
			s.lock = f
		} else if err := f.Close(); err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(s.Path(""))
	for _, e := range entries {
		if e.Name() != lockFile {
			err = also(err, os.RemoveAll(s.Path(e.Name())))
		}
	}
	if err != nil {
		return nil, also(advise(err), s.Close())
	}
	return s, nil
}

// same reports whether an open file is still the one under a name.
func same(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// Path returns where a file of the stage is.
func (s *Stage) Path(name string) string { return filepath.Join(s.dir, PartialDir, name) }

// Publish gives files of the stage, all of them whole, their final names. The last one says that the
// others are there: the earlier file of that name goes first. After an error none of them is left under
// its final name.
func (s *Stage) Publish(names ...string) error {
	last := filepath.Join(s.dir, names[len(names)-1])
	if err := s.fs.Remove(last); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return advise(err)
	}
	for i, name := range names {
		if err := s.fs.Rename(s.Path(name), filepath.Join(s.dir, name)); err != nil {
			return also(advise(err), s.withdraw(names[:i]))
		}
	}
	if err := s.fs.SyncDir(s.dir); err != nil { // the names may not survive a power cut
		return also(advise(err), s.withdraw(names))
	}
	return nil
}

func (s *Stage) withdraw(names []string) (err error) {
	for _, name := range names {
		err = also(err, s.fs.Remove(filepath.Join(s.dir, name)))
	}
	return err
}

// Close removes the stage with what is left in it, and the folder if nothing else is in it.
func (s *Stage) Close() error {
	err := os.RemoveAll(s.Path("")) // with the lock held: who waits for it sees that it is gone
	err = also(err, s.lock.Close())
	if entries, _ := os.ReadDir(s.dir); len(entries) == 0 {
		if e := s.fs.Remove(s.dir); !errors.Is(e, fs.ErrNotExist) && !errors.Is(e, fs.ErrExist) {
			err = also(err, e)
		}
	}
	return err
}
