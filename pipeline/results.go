package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"microtome/sink"
)

// Names of the files in a slide's result folder. summary.json is written last: its presence means
// that the others are whole.
const (
	maskFile    = "mask.tif"
	overlayFile = "overlay.png"
	summaryFile = "summary.json"
)

// results hands out a folder for each slide of a run.
type results struct {
	out     string
	force   bool
	claimed map[string]bool // folders, by this run
}

// claim returns the folder of a slide's results: OUT/NAME, or OUT/NAME-2 and so on when that belongs
// to another slide of the same name. kept is the summary of results that are there already and stay.
func (r *results) claim(path, fingerprint string) (dir string, kept *sink.Summary, err error) {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	for i := 1; ; i++ {
		dir := filepath.Join(r.out, name)
		if i > 1 {
			dir = fmt.Sprintf("%s-%d", dir, i)
		}
		if r.claimed[dir] {
			continue
		}
		old, err := sink.ReadSummary(filepath.Join(dir, summaryFile))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.claimed[dir] = true
			return dir, nil, nil
		case err != nil && !r.force:
			return "", nil, fmt.Errorf("%w: remove it or give --force", err)
		case err == nil && old.Slide.Fingerprint != fingerprint && old.Slide.Path != path:
			continue // another slide of this name
		}
		r.claimed[dir] = true
		switch {
		case r.force:
			return dir, nil, nil
		case old.Slide.Fingerprint != fingerprint:
			return "", nil, fmt.Errorf("%s holds results of an earlier version of this file: give --force to replace them", dir)
		}
		return dir, old, nil
	}
}

// discard removes the files of a slide that failed while they got their final names.
func discard(dir string) error {
	var errs []error
	for _, name := range []string{summaryFile, overlayFile, maskFile} {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, removeEmpty(dir))...)
}

// removeEmpty removes the folder of a slide that failed, unless something is in it.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	return errors.Join(err, os.Remove(dir))
}
