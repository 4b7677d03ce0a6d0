package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"microtome/bench/synthetic"
	"microtome/slide"
)

// Prepare makes the slides of a run in c.Dir, unless they are there, and returns their paths.
func (c Config) Prepare(ctx context.Context) (paths []string, err error) {
	if c.Slide != "" {
		for path, err := range slide.Find(slide.FindConfig{}, c.Slide) {
			if err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("%s: no slides in this folder", c.Slide)
		}
		return paths, nil
	}
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return nil, err
	}
	s := c.synthetic()
	name := filepath.Join(c.Dir, fmt.Sprintf("synthetic-%d", c.Size))
	if c.Cache == InMemory { // the file stands for the slide: what is run needs a path
		err := os.WriteFile(name+".recipe", fmt.Appendf(nil, "%+v\n", s), 0o666)
		return []string{name + ".recipe"}, err
	}
	one := name + ".svs"
	if _, err := os.Stat(one); errors.Is(err, fs.ErrNotExist) {
		if err := synthetic.WriteSlide(ctx, one, name+"-truth.tif", s); err != nil {
			return nil, err
		}
	}
	if c.Copies == 1 {
		return []string{one}, nil
	}
	folder := name + "-copies"
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, err
	}
	for i := range c.Copies {
		path := filepath.Join(folder, fmt.Sprintf("%06d.svs", i))
		if err := os.Link(one, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func (c Config) synthetic() synthetic.Config {
	s := synthetic.NewDefaultConfig()
	s.Size = c.Size
	return s
}

// opener returns what opens the slides; nil: as always.
func (c Config) opener() func(string, slide.Config) (*slide.Slide, error) {
	if c.Cache != InMemory {
		return nil
	}
	return func(_ string, cfg slide.Config) (*slide.Slide, error) { return synthetic.Open(c.synthetic(), cfg), nil }
}

// cache takes the files of slides into the system's cache, or out of it.
func (c Config) cache(paths []string) error {
	for _, path := range paths {
		for _, file := range append(slide.Parts(path), path) {
			var err error
			switch c.Cache {
			case Cold:
				err = evict(file)
			case Warm:
				err = readThrough(file)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // a part that is missing is for reading to tell
				return err
			}
		}
	}
	return nil
}

func readThrough(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}
