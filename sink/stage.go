package sink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A Stage is where the files of one folder of results are made before they take the place of earlier
// ones: DIR/.partial, which no other process can have at the same time. Results that are there stay as
// they are until Publish.
//
// A process that is killed frees its stage: others on the same kernel see that its lock is gone or, where
// the file system knows no locks, the process; a machine that starts anew knows its own. Other hosts wait
// until it has shown no sign of life for two minutes. If it was only stopped that long, it finds
// out before it publishes anything, and fails.
type Stage struct {
	dir     string
	fs      FileSystem
	claim   *claim
	journal *Journal
}

const (
	lockFile    = "lock"
	journalFile = "journal"
)

// OpenStage makes the stage of a folder, which need not exist. What an interrupted run left in it is
// removed, its journal too. It fails while another process has the stage.
func OpenStage(fsys FileSystem, dir string) (*Stage, error) { return openStage(fsys, dir) }

// ResumeStage is OpenStage, but keeps the journal that an interrupted run left.
func ResumeStage(fsys FileSystem, dir string) (*Stage, error) {
	return openStage(fsys, dir, journalFile)
}

// Sweep removes the stage of a folder whose results are published, with all that is in it, a journal too:
// a run that was killed after that has left it. One that another process has stays.
func Sweep(fsys FileSystem, dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, PartialDir)); err != nil {
		return unlessGone(err)
	}
	s, err := OpenStage(fsys, dir)
	if errors.Is(err, errBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Close()
}

func openStage(fsys FileSystem, dir string, keep ...string) (*Stage, error) {
	s := &Stage{dir: dir, fs: fsys}
	for s.claim == nil {
		if err := s.fs.MkdirAll(s.Path("")); err != nil {
			return nil, advise(err)
		}
		var err error
		s.claim, err = take(s.Path(lockFile), self(), lock)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // else another process has just taken its stage down
			return nil, fmt.Errorf("%s: %w", dir, advise(err))
		}
	}
	if err := s.clear(keep...); err != nil {
		return nil, also(advise(err), s.release())
	}
	return s, nil
}

// clear removes what is in the stage, but the lock and files to keep.
func (s *Stage) clear(keep ...string) error {
	entries, err := os.ReadDir(s.Path(""))
	for _, e := range entries {
		if e.Name() != lockFile && !slices.Contains(keep, e.Name()) {
			err = also(err, os.RemoveAll(s.Path(e.Name())))
		}
	}
	return err
}

// Held fails when another process has taken the stage over, after this one was stopped for so long that
// it counted as dead. Publish and the journal's syncs ask by themselves.
func (s *Stage) Held() error {
	if err := s.claim.held(); err != nil {
		return fmt.Errorf("%s: %w", s.dir, err)
	}
	return nil
}

// Journal opens the stage's journal for the tiles that h describes. The tiles of an interrupted run are
// in it if they are of the same work; otherwise they are dropped, and [Journal.Restart] says why. The stage
// closes it.
func (s *Stage) Journal(h JournalHeader) (*Journal, error) {
	j, err := openJournal(s.fs, s.Path(journalFile), h, s.Held)
	if err == nil {
		s.journal = j
	}
	return j, err
}

// Path returns where a file of the stage is.
func (s *Stage) Path(name string) string { return filepath.Join(s.dir, PartialDir, name) }

// Publish gives files of the stage, all of them whole, their final names. The last one says that the
// others are there: the earlier file of that name goes first. After an error none of them is left under
// its final name.
func (s *Stage) Publish(names ...string) error {
	if err := s.Held(); err != nil {
		return err
	}
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
func (s *Stage) Close() error { return s.end(false) }

// Suspend is Close, but leaves the journal, if a tile is in it, for a run that goes on.
func (s *Stage) Suspend() error { return s.end(true) }

func (s *Stage) end(keep bool) (err error) {
	held := s.Held() == nil
	if j := s.journal; j != nil {
		if keep = keep && j.tiles > 0; keep && held && j.err == nil {
			err = j.Sync()
		}
		err = also(err, j.file.Close())
	}
	if held && keep {
		err = also(err, s.clear(journalFile))
	} else if held {
		err = also(err, s.clear())
	}
	return also(err, s.release())
}

// release gives up the lock and removes the folders that are empty then.
func (s *Stage) release() error {
	err := s.claim.release()
	for _, dir := range []string{s.Path(""), s.dir} {
		err = also(err, removeDir(s.fs, dir))
	}
	return err
}
