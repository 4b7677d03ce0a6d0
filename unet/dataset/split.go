package dataset

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Values of Image.Split.
const (
	train      = "train"
	validation = "validation"
	test       = "test"
)

// A group is the images that stay together.
type group struct {
	name   string
	stain  string
	split  string
	images []int
}

// Split parts the images into those to train on and those to validate with, about fraction of the
// groups, and returns their indices in ascending order.
//
// Who goes where is decided by the hashes of the groups' names, so no order of files changes it. Each
// stain is parted by itself: of three groups or more at least one is for validation, and never all. What
// index.json says goes before; images for "test" are on neither side. A fraction of 0 validates with
// nothing but what the index names.
func (s *Set) Split(fraction float64) (trainOn, validateOn []int, err error) {
	if !(fraction >= 0 && fraction < 1) {
		return nil, nil, fmt.Errorf("validation share %g: give 0 or more and less than 1, such as 0.2", fraction)
	}
	groups, err := s.groups()
	if err != nil {
		return nil, nil, err
	}
	want := map[string]int{} // groups still wanted for validation, by stain
	count := map[string]int{}
	for _, g := range groups {
		count[g.stain]++
	}
	for stain, n := range count {
		want[stain] = int(math.Round(fraction * float64(n)))
		if fraction > 0 && n >= 3 {
			want[stain] = max(want[stain], 1)
		}
		want[stain] = min(want[stain], n-1)
	}
	validated := false
	for _, g := range groups {
		if g.split == validation {
			want[g.stain]--
			validated = true
		}
	}
	var rest []*group // chosen for training
	for _, g := range groups {
		if g.split != "" {
			continue
		}
		g.split = train
		if want[g.stain] > 0 {
			g.split = validation
			want[g.stain]--
			validated = true
		} else {
			rest = append(rest, g)
		}
	}
	if fraction > 0 && !validated && len(rest) > 0 && len(groups) > 1 { // few groups of every stain
		rest[0].split = validation
	}
	for _, g := range groups {
		if g.split == train {
			trainOn = append(trainOn, g.images...)
		} else {
			validateOn = append(validateOn, g.images...)
		}
	}
	switch {
	case len(groups) == 1 && fraction > 0:
		return nil, nil, fmt.Errorf("only one group of images, %s, which cannot be split into training and validation: add images, name groups in index.json, or give --validation 0", groups[0].name)
	case len(trainOn) == 0:
		return nil, nil, errors.New("no images to train on: index.json marks them all as validation or test")
	case len(validateOn) == 0 && fraction > 0:
		return nil, nil, errors.New("no images to validate with: index.json marks them all as train or test")
	}
	slices.Sort(trainOn)
	slices.Sort(validateOn)
	return trainOn, validateOn, nil
}

// groups returns the groups, but those for tests, in the order of the hashes of their names.
func (s *Set) groups() ([]*group, error) {
	byName := map[string]*group{}
	var groups []*group
	for i, m := range s.Images {
		g := byName[m.Group]
		if g == nil {
			g = &group{name: m.Group, stain: m.Stain, split: m.Split}
			byName[m.Group] = g
			groups = append(groups, g)
		}
		g.images = append(g.images, i)
		g.stain = min(g.stain, m.Stain) // of a mixed group, whatever the order
		switch {
		case g.split == "":
			g.split = m.Split
		case m.Split != "" && m.Split != g.split:
			return nil, fmt.Errorf("group %s is for %s and for %s: give all its images one split in index.json", g.name, g.split, m.Split)
		}
	}
	groups = slices.DeleteFunc(groups, func(g *group) bool { return g.split == test })
	slices.SortFunc(groups, func(a, b *group) int {
		x, y := sha256.Sum256([]byte(a.name)), sha256.Sum256([]byte(b.name))
		return bytes.Compare(x[:], y[:])
	})
	return groups, nil
}

// Part returns the images on one side of Split: all, train, validation or test.
func (s *Set) Part(which string, fraction float64) ([]Image, error) {
	var chosen []int
	switch which {
	case "all":
		return s.Images, nil
	case train, validation:
		on, held, err := s.Split(fraction)
		if err != nil {
			return nil, err
		}
		chosen = on
		if which == validation {
			chosen = held
		}
	case test:
		for i, m := range s.Images {
			if m.Split == test {
				chosen = append(chosen, i)
			}
		}
	default:
		return nil, fmt.Errorf("no part %q of the images: give all, train, validation or test", which)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no images for %s: say in index.json which they are, or give another part", which)
	}
	var images []Image
	for _, i := range chosen {
		images = append(images, s.Images[i])
	}
	return images, nil
}
