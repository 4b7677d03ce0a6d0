package tissue

import (
	"errors"
	"fmt"
	"math"
)

// A Field is how a slide is lit.
type Field int

// Auto looks at the slide: in bright field the glass is light, in dark field (fluorescence) it is dark.
const (
	Auto Field = iota
	Bright
	Dark
)

func (f Field) String() string {
	return [...]string{"auto", "bright", "dark"}[f]
}

// A Recall says on which side Find errs.
type Recall int

// First, the default, takes for tissue what differs from glass by a little, and more than that where
// Otsu's threshold says so. Strict follows Otsu further: pale tissue may be lost. Safe takes whatever is
// above the noise, and pen marks.
const (
	First Recall = iota
	Strict
	Safe
)

var recalls = [...]string{"first", "strict", "safe"}

func (r Recall) String() string { return recalls[r] }

// ParseRecall returns the Recall of a name: first, strict or safe.
func ParseRecall(name string) (Recall, error) {
	for i, r := range recalls {
		if r == name {
			return Recall(i), nil
		}
	}
	return First, fmt.Errorf("recall %q: give first, strict or safe", name)
}

// Config says what counts as tissue. Lengths are in µm on the slide; where nobody states the size of a
// pixel it is taken for 0.25 µm, as at 40×.
type Config struct {
	Field  Field
	Recall Recall
	Margin float64 // what is found grows by so much, µm
	Speck  float64 // what is smaller is dust, µm²
	Hole   float64 // what is smaller, and surrounded by tissue, is tissue, µm²
	MPP    float64 // size of a pixel of level 0, µm, over what the slide says; 0: what the slide says
}

// NewDefaultConfig returns a configuration that would rather keep glass than lose tissue: a margin of
// 50 µm, specks below 25 µm² (the smallest of nuclei), holes up to 0.05 mm² (a quarter of a mm across).
func NewDefaultConfig() Config { return Config{Margin: 50, Speck: 25, Hole: 50_000} }

// Validate reports all that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.Field < Auto || c.Field > Dark {
		errs = append(errs, fmt.Errorf("field %d: give auto, bright or dark", int(c.Field)))
	}
	if c.Recall < First || c.Recall > Safe {
		errs = append(errs, fmt.Errorf("recall %d: give first, strict or safe", int(c.Recall)))
	}
	for i, v := range []float64{c.Margin, c.Speck, c.Hole, c.MPP} {
		if !(v >= 0) || math.IsInf(v, 0) {
			name := [...]string{"margin", "speck", "hole", "pixel size"}[i]
			errs = append(errs, fmt.Errorf("tissue: %s of %g: give 0 or more", name, v))
		}
	}
	return errors.Join(errs...)
}
