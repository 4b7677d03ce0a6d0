package sink

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// stageWith makes a stage with a new and an old version of three files.
func stageWith(t *testing.T) (*Stage, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "results")
	s, err := OpenStage(Disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stageNames {
		for path, text := range map[string]string{s.Path(name): "new", filepath.Join(dir, name): "old"} {
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s, dir
}

var stageNames = []string{"mask.tif", "overlay.png", "summary.json"}

func contents(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	for _, name := range stageNames {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			text = []byte("none")
		}
		all = append(all, string(text))
	}
	return strings.Join(all, " ")
}

func TestStagePublishes(t *testing.T) {
	s, dir := stageWith(t)
	if got := contents(t, dir); got != "old old old" {
		t.Errorf("before Publish: %s", got)
	}
	if err := s.Publish(stageNames...); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); got != "new new new" {
		t.Errorf("after Publish: %s", got)
	}
	if _, err := os.Stat(s.Path("")); !os.IsNotExist(err) {
		t.Errorf("the stage was left behind: %v", err)
	}
}

func TestStageGivenUpChangesNothing(t *testing.T) {
	s, dir := stageWith(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); got != "old old old" {
		t.Errorf("after Close alone: %s", got)
	}
}

func TestStageLeavesNoEmptyFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out", "slide")
	s, err := OpenStage(Disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("an empty folder was left behind: %v", err)
	}
}

// failing is a disk whose nth renaming or folder sync fails.
type failing struct {
	disk
	n *int
}

func (f failing) fail() error {
	*f.n--
	if *f.n == 0 {
		return syscall.EIO
	}
	return nil
}

func (f failing) Rename(from, to string) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.disk.Rename(from, to)
}

func (f failing) SyncDir(dir string) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.disk.SyncDir(dir)
}

// TestStageFaults: whatever fails, no summary is there that speaks for files that are not, and no new
// file is there without it.
func TestStageFaults(t *testing.T) {
	for n, want := range map[int]string{1: "old old none", 2: "none old none", 3: "none none none", 4: "none none none"} {
		s, dir := stageWith(t)
		at := n
		s.fs = failing{n: &at}
		if err := s.Publish(stageNames...); err == nil {
			t.Errorf("fault %d: no error", n)
		}
		if got := contents(t, dir); got != want {
			t.Errorf("fault %d: %s, want %s", n, got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStageIsLocked: a stage has one owner; what a killed one left behind holds nobody up.
func TestStageIsLocked(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenStage(Disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStage(Disk, dir); err == nil || !strings.Contains(err.Error(), "another microtome is writing here") {
		t.Errorf("a second owner: %v", err)
	}
	if err := os.WriteFile(first.Path("mask.tif"), []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := first.claim.file.Close(); err != nil { // as when the process is killed
		t.Fatal(err)
	}
	second, err := OpenStage(Disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(second.Path("mask.tif")); !os.IsNotExist(err) {
		t.Errorf("half a file was left in the stage: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSweep takes away what a killed run left of a finished slide, and nothing that a living one has.
func TestSweep(t *testing.T) {
	s, dir := stageWith(t)
	if err := os.WriteFile(s.Path(journalFile), []byte("tiles"), 0o666); err != nil {
		t.Fatal(err)
	}
	before := left(t, dir)
	if err := Sweep(Disk, dir); err != nil {
		t.Error(err)
	}
	if got := left(t, dir); !slices.Equal(got, before) {
		t.Errorf("of a living process: %v is left of %v", got, before)
	}
	if err := s.claim.file.Close(); err != nil { // as when the process is killed
		t.Fatal(err)
	}
	for range 2 { // the second time nothing is there
		if err := Sweep(Disk, dir); err != nil {
			t.Error(err)
		}
		if got := left(t, dir); !slices.Equal(got, stageNames) || contents(t, dir) != "old old old" {
			t.Errorf("left %v: %s", got, contents(t, dir))
		}
	}
	if err := Sweep(Disk, filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
	if got := left(t, dir); !slices.Equal(got, stageNames) {
		t.Errorf("a folder was made: %v", got)
	}
	if err := os.Mkdir(s.Path(""), 0o777); err != nil { // killed before it had the lock
		t.Fatal(err)
	}
	if err := Sweep(Disk, dir); err != nil {
		t.Error(err)
	}
	if got := left(t, dir); !slices.Equal(got, stageNames) {
		t.Errorf("left %v", got)
	}
}
