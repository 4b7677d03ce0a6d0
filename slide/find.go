package slide

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
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

var errNoSlides = errors.New("no slides in this folder: name a slide, or a folder with files such as .svs, .ndpi, .mrxs or .tif")

// Find gives the paths of slides: files as they are given, and the slides in folders and their
// subfolders in sorted order. Hidden files and folders are passed over, and so are the data folders
// that belong to MRXS files and those that hold microtome's own results. A path that does not exist,
// and a folder without slides, come with an error.
func Find(paths ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, path := range paths {
			info, err := os.Stat(path)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				err = &Error{Op: "open", Path: path, Err: errNowhere}
			case err != nil:
				err = &Error{Op: "open", Path: path, Err: err}
			}
			if err != nil || !info.IsDir() {
				if !yield(path, err) {
					return
				}
				continue
			}
			found := false
			walk := path
			if link, err := os.Lstat(path); err == nil && link.Mode()&fs.ModeSymlink != 0 {
				walk += string(filepath.Separator) // the folder, not the link
			}
			err = filepath.WalkDir(walk, func(p string, d fs.DirEntry, err error) error {
				switch {
				case err != nil: // a folder that cannot be read: the others can
					found = true
					if !yield(p, &Error{Op: "open", Path: p, Err: err}) {
						return errStopped
					}
					return filepath.SkipDir
				case d.IsDir() && p != path && (hidden(d.Name()) || companion(p) || results(p)):
					return filepath.SkipDir
				case d.IsDir() || hidden(d.Name()) || !slices.Contains(extensions, strings.ToLower(filepath.Ext(p))):
					return nil
				}
				found = true
				if !yield(p, nil) {
					return errStopped
				}
				return nil
			})
			if err == nil && !found {
				err = &Error{Op: "open", Path: path, Err: errNoSlides}
			}
			if errors.Is(err, errStopped) || err != nil && !yield(path, err) {
				return
			}
		}
	}
}

var errNowhere = fmt.Errorf("%w: check the path", fs.ErrNotExist)

var errStopped = errors.New("stopped")

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// results reports whether a folder holds results of microtome: an output folder may lie among slides.
func results(dir string) bool {
	for _, name := range []string{"mask.tif", "summary.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// companion reports whether a folder holds the data of an MRXS file beside it.
func companion(dir string) bool {
	_, err := os.Stat(dir + ".mrxs")
	return err == nil
}
