package slide

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// openSlideOnly are the extensions of formats that only OpenSlide reads right; a file of these that
// libvips opens in another way is damaged.
var openSlideOnly = []string{".svs", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide"}

// extensions are those that Find takes for slides in a folder.
var extensions = append(slices.Clone(openSlideOnly), ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".btf", ".dcm")

// Extensions lists the extensions of the files that Find takes for slides.
func Extensions() []string { return slices.Clone(extensions) }

// Find gives the paths of slides: files as they are given, whatever cfg says, and the slides in folders
// and their subfolders in sorted order, while it walks. It remembers what it gave, so that each slide
// comes once.
//
// Passed over are hidden files and folders, the data folder beside an MRXS file, the images that a
// Hamamatsu key file (.vms, .vmu) names, folders that hold microtome's own results, and what is no file,
// such as a pipe.
//
// Links to files and folders are followed. Of several ways to one slide the first is given, and a folder
// is not walked again inside itself.
//
// A path that does not exist, a link that leads nowhere, a folder that cannot be read and a given folder
// without slides come with an error, an [*Error], and the rest goes on. Malformed patterns match nothing:
// see [FindConfig.Validate].
func Find(cfg FindConfig, paths ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		w := walk{include: compile(cfg.Include), exclude: compile(cfg.Exclude), given: map[string]bool{}, yield: yield}
		for _, p := range paths {
			info, err := os.Stat(p)
			if errors.Is(err, fs.ErrNotExist) {
				err = errNowhere
			}
			if err == nil && info.IsDir() {
				if !w.top(p, RealPath(p)) {
					return
				}
			} else if !w.give(p, RealPath(p), err) {
				return
			}
		}
	}
}

var (
	errNowhere  = fmt.Errorf("%w: check the path", fs.ErrNotExist)
	errDangling = fmt.Errorf("a link to what is not there: mend or remove it (%w)", fs.ErrNotExist)
	errNoSlides = errors.New("no slides in this folder: name a slide, or a folder with files such as .svs, .ndpi, .mrxs or .tif")
	errNoMatch  = errors.New("no slides in this folder that --include and --exclude let through: check the patterns")
)

// A walk gives the slides of folders. Its methods report whether to go on.
type walk struct {
	include, exclude []glob
	given            map[string]bool // what was yielded, by real path
	entered          map[string]bool // folders, by real path, since the top
	found            bool            // something, since the top
	yield            func(string, error) bool
}

// give yields a slide, or what is wrong with a path, unless that was done by another way to it.
func (w *walk) give(p, full string, err error) bool {
	w.found = true
	if w.given[full] {
		return true
	}
	w.given[full] = true
	if err != nil {
		err = &Error{Op: "open", Path: p, Err: err}
	}
	return w.yield(p, err)
}

// top walks a folder that was named.
func (w *walk) top(dir, full string) bool {
	w.found, w.entered = false, map[string]bool{}
	if !w.folder(dir, full, "") {
		return false
	}
	switch {
	case w.found:
		return true
	case len(w.include)+len(w.exclude) > 0:
		return w.give(dir, full, errNoMatch)
	}
	return w.give(dir, full, errNoSlides)
}

// folder walks a folder; rel is its path below the top.
func (w *walk) folder(dir, full, rel string) bool {
	if w.entered[full] {
		return true
	}
	w.entered[full] = true
	if anchored(w.include) || anchored(w.exclude) {
		defer delete(w.entered, full) // by another way other patterns may match; only loops are cut
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return w.give(dir, full, err)
	}
	if rel != "" && results(entries) {
		return true
	}
	parts := partsOfSets(dir, entries)
	for _, e := range entries {
		name := e.Name()
		p, full, rel := filepath.Join(dir, name), filepath.Join(full, name), path.Join(rel, name)
		if hidden(name) || matches(w.exclude, rel) {
			continue
		}
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := os.Stat(p)
			if errors.Is(err, fs.ErrNotExist) {
				err = errDangling
			}
			if err != nil {
				if !w.give(p, full, err) {
					return false
				}
				continue
			}
			mode, full = info.Mode().Type(), RealPath(p)
		}
		more := true
		switch {
		case parts[folded(name)]:
		case mode.IsDir():
			more = w.folder(p, full, rel)
		case mode.IsRegular() && w.wanted(rel):
			more = w.give(p, full, nil)
		}
		if !more {
			return false
		}
	}
	return true
}

// wanted reports whether a file is a slide to take.
func (w *walk) wanted(rel string) bool {
	known := slices.Contains(extensions, strings.ToLower(path.Ext(rel)))
	if len(w.include) == 0 {
		return known
	}
	return slices.ContainsFunc(w.include, func(g glob) bool { return (known || g.closed) && g.match(rel) })
}

// RealPath returns the one path that names a file from anywhere: absolute, and without links as far as they can be followed.
func RealPath(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	if followed, err := filepath.EvalSymlinks(path); err == nil {
		path = followed
	}
	return path
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// folded is a name as file systems that do not tell capitals apart see it.
func folded(name string) string { return strings.ToLower(name) }

// results reports whether a folder holds results of microtome: an output folder may lie among slides.
func results(entries []fs.DirEntry) bool {
	for _, name := range []string{"mask.tif", "summary.json"} {
		if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name }) {
			return false
		}
	}
	return true
}

// partsOfSets returns what in a folder belongs to a slide of several files, by folded name: the data
// folder of an MRXS file, and the files that a Hamamatsu key file names.
func partsOfSets(dir string, entries []fs.DirEntry) map[string]bool {
	parts := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() || hidden(e.Name()) {
			continue
		}
		switch name := folded(e.Name()); path.Ext(name) {
		case ".mrxs":
			parts[strings.TrimSuffix(name, ".mrxs")] = true
		case ".vms", ".vmu":
			for _, part := range readKeyFile(filepath.Join(dir, e.Name())) {
				if part = folded(part); part != name {
					parts[part] = true
				}
			}
		}
	}
	return parts
}
