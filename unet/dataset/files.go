package dataset

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A pair is an image and the file that says what is in it.
type pair struct {
	name  string // of the image: its path from the folder, with slashes, without extension
	image string // path from the folder, with slashes
	truth string // the same: numbers of instances, a mask, or annotations
	entry entry  // what the index says
}

const suffix = "_instances"

var (
	pictures = []string{".png", ".tif", ".tiff", ".jpg", ".jpeg"}
	lossless = pictures[:3]
	// beside are extensions of files that may lie beside a slide and are not it.
	beside = []string{".json", ".xml", ".txt", ".csv", ".tsv", ".md", ".qpdata"}
)

// A folder is what lies in a data set.
type folder struct {
	dir    string
	files  []string            // paths from dir, with slashes, sorted
	isFile map[string]bool     // the same
	isDir  map[string]bool     // the same of subfolders
	byStem map[string][]string // files by their paths without extension
}

// walk lists a folder and its subfolders, but not what is hidden.
func walk(dir string) (*folder, error) {
	f := &folder{dir: dir, isFile: map[string]bool{}, isDir: map[string]bool{}, byStem: map[string][]string{}}
	root := dir + string(filepath.Separator) // the folder itself where dir is a link
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		switch {
		case err != nil:
			return err
		case rel == ".":
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return filepath.SkipDir
		case strings.HasPrefix(d.Name(), "."):
		case d.IsDir():
			f.isDir[filepath.ToSlash(rel)] = true
		default:
			f.files = append(f.files, filepath.ToSlash(rel))
		}
		return nil
	})
	slices.Sort(f.files)
	for _, name := range f.files {
		f.isFile[name] = true
		f.byStem[stem(name)] = append(f.byStem[stem(name)], name)
	}
	return f, err
}

// stem returns a path without extension.
func stem(name string) string {
	if hasExtension(name, []string{".gz"}) {
		name = strings.TrimSuffix(name, path.Ext(name))
	}
	return strings.TrimSuffix(name, path.Ext(name))
}

func hasExtension(name string, extensions []string) bool {
	return slices.Contains(extensions, strings.ToLower(path.Ext(name)))
}

func isAnnotations(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".geojson") || strings.HasSuffix(name, ".geojson.gz")
}

// twin replaces the last folder of one name in a path by its neighbour of another name.
func (f *folder) twin(name, from, to string) (string, bool) {
	parts := strings.Split(name, "/")
	for i := len(parts) - 2; i >= 0; i-- {
		neighbour := path.Join(append(slices.Clone(parts[:i]), to)...)
		if parts[i] == from && f.isDir[neighbour] {
			return path.Join(append([]string{neighbour}, parts[i+1:]...)...), true
		}
	}
	return "", false
}

// isMask reports whether a file lies in a folder of masks.
func (f *folder) isMask(name string) bool {
	_, ok := f.twin(name, "masks", "images")
	return ok && hasExtension(name, pictures)
}

func (f *folder) isTruth(name string) bool {
	return isAnnotations(name) || f.isMask(name) || hasExtension(name, pictures) && strings.HasSuffix(stem(name), suffix)
}

// slideOf returns the slide that annotations belong to: NAME.svs of NAME.geojson or NAME.svs.geojson.
func (f *folder) slideOf(annotations string) (string, error) {
	base := stem(annotations)
	if f.isFile[base] {
		return base, nil
	}
	var found []string
	for _, name := range f.byStem[base] {
		if !isAnnotations(name) && !hasExtension(name, beside) {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", f.errorf(annotations, "annotations without a slide: put the slide beside them under the same name, or remove them")
	}
	return "", f.errorf(annotations, "may belong to %s: rename it to %s%s", strings.Join(found, " or "), path.Base(found[0]), annotations[len(base):])
}

// truths returns the files that may say what is in an image.
func (f *folder) truths(image string) []string {
	var found []string
	at := []string{stem(image) + suffix}
	if mask, ok := f.twin(image, "images", "masks"); ok {
		at = append(at, stem(mask))
	}
	for _, s := range at {
		for _, name := range f.byStem[s] {
			if hasExtension(name, pictures) {
				found = append(found, name)
			}
		}
	}
	return found
}

// pairs finds each image and what belongs to it, sorted by name.
func (f *folder) pairs(indexFile string, index map[string]entry) ([]pair, error) {
	images := map[string][]string{} // files of what is in an image, by its path
	taken := map[string]bool{}      // those, once the image is found
	for _, e := range index {
		if e.Instances != "" {
			taken[path.Clean(e.Instances)] = true
		}
	}
	for _, name := range f.files {
		switch {
		case taken[name]: // whatever its name
		case isAnnotations(name):
			slide, err := f.slideOf(name)
			if err != nil {
				return nil, err
			}
			images[slide] = append(images[slide], name)
		case !f.isTruth(name) && hasExtension(name, pictures):
			images[name] = append(images[name], f.truths(name)...)
		}
	}
	entries := map[string]entry{} // by the path of the image
	for _, named := range slices.Sorted(maps.Keys(index)) {
		e := index[named]
		image := f.find(named, images)
		if image == "" {
			return nil, fmt.Errorf("%s: image %q is not here: correct the path, or remove the entry", indexFile, e.Image)
		}
		if _, twice := entries[image]; twice {
			return nil, fmt.Errorf("%s: image %s is listed twice: remove one", indexFile, image)
		}
		entries[image] = e
		if e.Instances == "" {
			continue
		}
		truth := path.Clean(e.Instances)
		if !f.isFile[truth] {
			return nil, fmt.Errorf("%s: instances %q of image %q are not here: correct the path", indexFile, e.Instances, e.Image)
		}
		for _, other := range images[image] {
			taken[other] = true
		}
		images[image] = []string{truth}
	}
	var found []pair
	names := map[string]string{}
	for _, image := range slices.Sorted(maps.Keys(images)) {
		name := stem(image)
		if other, twice := names[name]; twice {
			return nil, f.errorf(image, "has the name of %s: rename one of them", other)
		}
		names[name] = image
		truth := images[image]
		switch {
		case len(truth) == 0:
			return nil, f.errorf(image, "image without instances: add %s%s.png, or %s in masks/ where the image is in images/, or remove it", path.Base(name), suffix, path.Base(name)+".png")
		case len(truth) > 1:
			return nil, f.errorf(image, "has %s: keep one", strings.Join(truth, " and "))
		case !isAnnotations(truth[0]) && !hasExtension(truth[0], lossless):
			return nil, f.errorf(truth[0], "instances in a format that changes numbers: save them as 16-bit PNG")
		}
		taken[truth[0]] = true
		found = append(found, pair{name: name, image: image, truth: truth[0], entry: entries[image]})
	}
	for _, name := range f.files {
		if f.isTruth(name) && !taken[name] {
			return nil, f.errorf(name, "instances without an image: add the image, or remove it")
		}
	}
	return found, nil
}

// find returns the image that an index calls by its path, with or without extension, or "".
func (f *folder) find(named string, images map[string][]string) string {
	if f.isFile[named] {
		return named
	}
	var found []string
	for _, name := range f.byStem[named] {
		if _, ok := images[name]; ok {
			return name
		}
		if !f.isTruth(name) && !hasExtension(name, beside) {
			found = append(found, name)
		}
	}
	if len(found) == 1 { // a slide whose annotations have another name
		return found[0]
	}
	return ""
}

// path returns the path of a file as the user would type it.
func (f *folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (f *folder) errorf(name, format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{f.path(name)}, args...)...)
}
