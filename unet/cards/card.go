package cards

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Card is what a file says of the model beside it. The zero value of a field means that it says nothing.
type Card struct {
	Name, Description, Licence string
	Classes                    []string
	MPP                        float64 // µm a pixel
	Axes                       string  // of the input, one letter each: b, c, y, x
	Channels                   int     // of the input
	Halo                       int     // px that the card asks for around what a tile decides
	HasHalo                    bool

	Steps     []Step // how pixels, 0 to 255, become what the network sees
	HasSteps  bool   // the card tells; no steps then are none
	Activated string // "sigmoid" or "softmax" where that follows the network's output
	Threshold float64

	SHA256 string // of the model's file, as the card has it
	Tests  []Test
}

// A Test is a pair of files of NumPy: what the network gives for an input, before and after all that the card asks for.
type Test struct {
	Input, Output string
	Name          string // of the output; "": the network has one
}

// ErrNone is what Read returns for a file of no format that the package knows.
var ErrNone = errors.New("not a card: give an rdf.yaml of bioimage.io, a config.json of WSInfer or a metadata.json of MONAI")

// maxFile bounds the files that are read, bytes.
const maxFile = 4 << 20

// Find returns the card that stands beside a model's file, "" if there is none. Of several one must be chosen.
func Find(model string) (string, error) {
	dir := filepath.Dir(model)
	var found []string
	for _, pattern := range []string{"rdf.yaml", "rdf.yml", "bioimageio.yaml", "model.yaml", "*.model.yaml", "*.rdf.yaml", "config.json", "metadata.json", "../configs/metadata.json"} {
		matches, err := filepath.Glob(filepath.Join(escape(dir), pattern))
		if err != nil {
			return "", err
		}
		for _, path := range matches {
			if _, err := Read(path); !errors.Is(err, ErrNone) && !slices.Contains(found, path) {
				found = append(found, path)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several cards stand beside the model: give one of them with --card: %s", strings.Join(found, ", "))
}

// escape makes a path a pattern that matches itself alone.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Read reads a card. Errors name the file.
func Read(path string) (Card, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Card{}, fmt.Errorf("card %s: %w", path, errors.Unwrap(err))
	}
	if info.Size() > maxFile || !info.Mode().IsRegular() {
		return Card{}, fmt.Errorf("card %s: %w", path, ErrNone)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Card{}, err
	}
	c, err := Decode(data)
	if err != nil {
		return Card{}, fmt.Errorf("card %s: %w", path, err)
	}
	for i := range c.Tests {
		for _, name := range []*string{&c.Tests[i].Input, &c.Tests[i].Output} {
			*name = filepath.Join(filepath.Dir(path), filepath.FromSlash(*name))
		}
	}
	return c, nil
}

// Decode reads a card of any format. Paths in the result are as the card has them.
func Decode(data []byte) (Card, error) {
	var c Card
	var err error
	if b := bytes.TrimSpace(data); len(b) > 0 && b[0] == '{' {
		c, err = decodeJSON(b)
	} else {
		c, err = decodeRDF(data)
	}
	if err != nil {
		return Card{}, err
	}
	for _, s := range c.Steps {
		if err := s.check(); err != nil {
			return Card{}, err
		}
	}
	if c.MPP < 0 || c.MPP > 1e4 || c.Halo < 0 || c.Halo > 1<<16 {
		return Card{}, fmt.Errorf("a pixel of %g µm and a halo of %d pixels: correct the card", c.MPP, c.Halo)
	}
	return c, nil
}
