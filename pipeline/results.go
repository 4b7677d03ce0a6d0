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

// resultName returns the name that a slide's results go by. path has no links.
func resultName(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

// claim returns the folder of a slide's results: OUT/NAME, or OUT/NAME-2 and so on when that belongs
// to another slide of the same name. path is absolute. kept is the summary of results that are there
// already and stay. Files that are not ours are never replaced without --force.
func (r *results) claim(path, fingerprint string) (dir string, kept *sink.Summary, err error) {
	name := resultName(path)
	if name == "" || name == "." || name == ".." || name == sink.PartialDir {
		return "", nil, errors.New("the file's name gives no name for its results: rename it")
	}
	for i := 1; ; i++ {
		dir := filepath.Join(r.out, name)
		if i > 1 {
			dir = fmt.Sprintf("%s-%d", dir, i)
		}
		if r.claimed[dir] {
			continue
		}
		strange := foreign(dir) // before: another process may be just about to publish the summary
		old, err := sink.ReadSummary(filepath.Join(dir, summaryFile))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if !r.force && strange {
				return "", nil, fmt.Errorf("%s holds a %s or %s without a %s: give --force to replace it, or another -o", dir, maskFile, overlayFile, summaryFile)
			}
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
		for file, output := range old.Outputs {
			if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Size() != output.Bytes {
				return "", nil, fmt.Errorf("%s is not what %s says it is: give --force to make it again", filepath.Join(dir, file), summaryFile)
			}
		}
		return dir, old, nil
	}
}

// foreign reports whether a folder without a summary holds files of the names of ours that no run of
// ours has left: a run that was killed while it published, or could not take back what it had, leaves its stage.
func foreign(dir string) bool {
	exists := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	return (exists(maskFile) || exists(overlayFile)) && !exists(sink.PartialDir)
}
