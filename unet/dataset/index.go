package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An entry is what index.json says of an image. Other fields are passed over.
type entry struct {
	Image       string   `json:"image"`     // from the index's folder, with slashes
	Instances   string   `json:"instances"` // the same; "": found by its name
	Group       string   `json:"group"`
	Class       string   `json:"class"` // of all instances
	Stain       string   `json:"stain"`
	Split       string   `json:"split"`
	MPP         *float64 `json:"mpp"`
	MinInstance *int     `json:"min_instance"`
	Weight      *float64 `json:"weight"`
}

const indexName = "index.json"

// readIndex returns the entries of the folder's index.json by what they call their image. Where there is
// none it takes, from that of the parent folder, the entries that point into dir. given, if not "", is read instead.
func readIndex(dir, given string) (file string, entries map[string]entry, err error) {
	if given != "" {
		entries, err = parseIndex(given, "")
		return given, entries, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	file = filepath.Join(dir, indexName)
	entries, err = parseIndex(file, "")
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return file, entries, err
	}
	file = filepath.Join(filepath.Dir(abs), indexName)
	prefix := filepath.Base(abs) + "/"
	all, err := parseIndex(file, prefix)
	var other *json.UnmarshalTypeError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &other): // nothing, or something else of that name
		return "", nil, nil
	case err != nil:
		return file, nil, err
	}
	entries = map[string]entry{}
	for name, e := range all {
		if e.Instances != "" {
			e.Instances = strings.TrimPrefix(path.Clean(e.Instances), prefix)
		}
		entries[strings.TrimPrefix(name, prefix)] = e
	}
	return file, entries, nil
}

// parseIndex reads an index: a list of entries, or an object of entries by the names of their images. It passes over images
// whose paths do not begin with prefix.
func parseIndex(file, prefix string) (map[string]entry, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	entries := map[string]entry{}
	var list []entry
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		err = json.Unmarshal(text, &entries)
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			e := entries[name]
			if e.Image == "" {
				e.Image = name
			}
			list = append(list, e)
		}
	} else {
		err = json.Unmarshal(text, &list)
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("%s: byte %d: %w: mend it, or remove the file", file, syntax.Offset, err)
	case errors.As(err, &kind):
		return nil, fmt.Errorf("%s: byte %d: %w: give a list of {\"image\": …} or an object of {name: {…}}", file, kind.Offset, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	clear(entries)
	for n, e := range list {
		if !strings.HasPrefix(path.Clean(e.Image), prefix) {
			continue
		}
		if err := e.validate(); err != nil {
			return nil, fmt.Errorf("%s: entry %d %q: %w", file, n+1, e.Image, err)
		}
		name := path.Clean(e.Image)
		if _, twice := entries[name]; twice {
			return nil, fmt.Errorf("%s: entry %d: image %q is listed twice: remove one", file, n+1, e.Image)
		}
		entries[name] = e
	}
	return entries, nil
}

func (e entry) validate() error {
	switch {
	case e.Image == "":
		return errors.New("no image: give its path from the index's folder")
	case !filepath.IsLocal(filepath.FromSlash(e.Image)), e.Instances != "" && !filepath.IsLocal(filepath.FromSlash(e.Instances)):
		return errors.New("path leaves the folder of the index: give one inside it")
	case e.MPP != nil && !validMPP(*e.MPP):
		return fmt.Errorf("mpp %g: give µm a pixel above 0, or leave it out", *e.MPP)
	case e.Weight != nil && !(*e.Weight > 0 && *e.Weight < 1e6):
		return fmt.Errorf("weight %g: give more than 0, 1 is that of other images, or leave it out", *e.Weight)
	case e.MinInstance != nil && *e.MinInstance < 0:
		return fmt.Errorf("min_instance %d: give 0 or more pixels", *e.MinInstance)
	case !slices.Contains([]string{"", train, validation, test}, e.Split):
		return fmt.Errorf("split %q: give train, validation or test", e.Split)
	}
	return nil
}
