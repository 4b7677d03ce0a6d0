package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"microtome/internal/raster"
)

// truth is what a file says is in an image, before the classes of the whole set are known.
type truth struct {
	file    string
	classes []string // of each instance by its number, "" where nothing is said; nil: nothing is said of any
}

// Load reads the images of a folder and of its subfolders, with all their instances, into memory, where
// they take 7 bytes a pixel. The first thing that is wrong is the error.
func Load(ctx context.Context, dir string, cfg Config) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("%w: give the folder that holds the images", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s: is not a folder: give the folder that holds the images", dir)
	}
	indexFile, index, err := readIndex(dir, cfg.Index)
	if err != nil {
		return nil, err
	}
	f, err := walk(dir)
	if err != nil {
		return nil, err
	}
	pairs, err := f.pairs(indexFile, index)
	if err != nil {
		return nil, err
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("%s: no images: put NAME.png and NAME%s.png, images/ and masks/, or slides with NAME.geojson into it", dir, suffix)
	}
	l := loader{folder: f, Config: cfg}
	for _, p := range pairs {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if p.entry.MinInstance != nil {
			l.MinInstance = *p.entry.MinInstance
		} else {
			l.MinInstance = cfg.MinInstance
		}
		if isAnnotations(p.truth) {
			err = l.slide(ctx, p)
		} else {
			err = l.picture(p)
		}
		if err != nil {
			return nil, err
		}
	}
	return l.set()
}

// A loader collects images.
type loader struct {
	*folder
	Config
	images []Image
	truths []truth // of each image
}

// picture adds an image with a file of its instances.
func (l *loader) picture(p pair) error {
	m, err := decode(l.path(p.image), l.MaxPixels)
	if err != nil {
		return err
	}
	rgb := colours(m)
	found, err := instances(l.path(p.truth), l.isMask(p.truth), l.MaxPixels)
	switch {
	case err != nil:
		return err
	case found.W != rgb.W || found.H != rgb.H:
		return l.errorf(p.truth, "%d×%d pixels, the image has %d×%d: make them of one size", found.W, found.H, rgb.W, rgb.H)
	}
	image := Image{Name: p.name, RGB: rgb}
	if p.entry.MPP != nil {
		image.MPP = *p.entry.MPP
	}
	l.add(p, image, found, nil)
	return nil
}

// add adds an image. classes are the names of the classes of the instances found by their numbers, or
// nil.
func (l *loader) add(p pair, image Image, found raster.Labels, classes []string) {
	old := compact(found, l.MinInstance)
	if p.entry.Weight != nil {
		image.Weight = *p.entry.Weight
	}
	t := truth{file: p.truth}
	if classes != nil || p.entry.Class != "" {
		t.classes = make([]string, len(old))
		for n, o := range old[1:] {
			if classes != nil {
				t.classes[n+1] = classes[o]
			}
			if t.classes[n+1] == "" {
				t.classes[n+1] = p.entry.Class
			}
		}
	}
	image.Instances, image.Count = found, len(old)-1
	image.Group, image.Stain, image.Split = p.entry.Group, p.entry.Stain, p.entry.Split
	if image.Group == "" {
		image.Group = p.name
	}
	l.images = append(l.images, image)
	l.truths = append(l.truths, t)
}

// set gives the instances their labels, now that all classes are known.
func (l *loader) set() (*Set, error) {
	names := slices.Clone(l.Classes)
	if names == nil {
		for _, t := range l.truths {
			for _, class := range t.classes {
				if class != "" {
					names = append(names, class)
				}
			}
		}
		slices.Sort(names)
		names = slices.Compact(names)
	}
	switch {
	case len(names) > 254:
		return nil, fmt.Errorf("%s: %d classes: merge some, labels have 8 bits", l.dir, len(names))
	case len(names) == 0:
		names = []string{"object"}
	}
	s := &Set{Images: l.images, ClassNames: append([]string{"background"}, names...)}
	objects := 0
	for i := range s.Images {
		m := &s.Images[i]
		objects += m.Count
		if len(names) == 1 && l.truths[i].classes == nil {
			continue
		}
		var err error
		if m.Classes, err = labels(l.truths[i].classes, m.Count, names); err != nil {
			return nil, l.errorf(l.truths[i].file, "%w", err)
		}
	}
	if objects == 0 {
		return nil, fmt.Errorf("%s: every mask is empty, so there is nothing to learn: check that masks hold values above 0, and the smallest size of an instance", l.dir)
	}
	slices.SortFunc(s.Images, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	s.SHA256 = s.hash()
	return s, nil
}

// labels returns the labels of instances by the names of their classes; where there is one class only,
// it need not be said.
func labels(classes []string, count int, names []string) ([]uint8, error) {
	out := make([]uint8, count+1)
	for n := 1; n <= count; n++ {
		class := ""
		if classes != nil {
			class = classes[n]
		}
		switch at := slices.Index(names, class); {
		case at >= 0:
			out[n] = uint8(at + 1)
		case class == "" && len(names) == 1:
			out[n] = 1
		case class == "":
			return nil, errors.New("an object without a class, where there are " + strings.Join(names, ", ") + ": classify it")
		default:
			return nil, fmt.Errorf("unknown class %q: it is none of %s", class, strings.Join(names, ", "))
		}
	}
	return out, nil
}
