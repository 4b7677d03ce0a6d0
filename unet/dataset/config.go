package dataset

import (
	"fmt"
	"math"
)

// Config says how a data set is read.
type Config struct {
	Classes     []string // names of the classes, label 1 first; nil: those of the annotations, in sorted order
	MinInstance int      // instances of fewer pixels become background; index.json's min_instance goes before it
	MaxPixels   int64    // of one image or annotated region
	Index       string   // file that takes the place of index.json; its paths lead from the folder of the data set

	Open   Open    // opens whole slides; nil: a slide with annotations is an error
	MPP    float64 // µm a pixel at which regions of slides are read; 0: level 0 as it is
	Region string  // QuPath class of the annotations that bound what is annotated
	Margin int     // pixels around the objects of a slide on which nobody drew a region
	Nuclei bool    // take the nucleus, not the outline, of QuPath's cells
}

// NewDefaultConfig returns a Config for plain images.
func NewDefaultConfig() Config {
	return Config{MaxPixels: 100e6, Region: "Region*", Margin: 32}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	switch {
	case c.MinInstance < 0:
		return fmt.Errorf("smallest instance of %d pixels: give 0 or more", c.MinInstance)
	case c.MaxPixels < 1:
		return fmt.Errorf("images of at most %d pixels: give 1 or more", c.MaxPixels)
	case c.MPP != 0 && !validMPP(c.MPP):
		return fmt.Errorf("pixels of %g µm: give more than 0, such as 0.5, or 0 to take slides as they are", c.MPP)
	case c.Margin < 0:
		return fmt.Errorf("margin of %d pixels: give 0 or more", c.Margin)
	case len(c.Classes) > 254:
		return fmt.Errorf("%d classes: give at most 254, labels have 8 bits", len(c.Classes))
	}
	seen := map[string]bool{}
	for _, name := range c.Classes {
		if name == "" || seen[name] {
			return fmt.Errorf("class %q is empty or given twice: give each class one name", name)
		}
		seen[name] = true
	}
	return nil
}

func validMPP(mpp float64) bool { return mpp > 0 && !math.IsInf(mpp, 0) }
