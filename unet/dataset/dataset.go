package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"

	"microtome/internal/raster"
)

// A Set is what Load has read, in the order of the names.
type Set struct {
	Images     []Image
	ClassNames []string // ClassNames[i] is the name of label i: background, then the classes of instances
	SHA256     string   // of all of it: pixels, instances, classes, and what index.json says, whatever the files' formats
}

// An Image is a picture with every instance in it.
type Image struct {
	Name       string // path in the folder without extension, with slashes; of a slide's regions with [1], [2] … behind it
	raster.RGB        // the picture
	Instances  raster.Labels
	Count      int     // instances are numbered 1 to Count
	Classes    []uint8 // label of each instance by its number, Classes[0] is 0; nil: all 1
	Outside    []bool  // by pixel: nobody annotated there, so it teaches nothing; nil: everything is annotated
	Group      string  // images of one group never fall on both sides of the split
	MPP        float64 // µm a pixel; 0: not known
	Weight     float64 // how often it is drawn in training, beside others' 1; 0 counts as 1
	Region     bool    // of a slide, which was read at the Config's resolution
	Stain      string  // kind of picture, which Split spreads over both sides
	Split      string  // "train", "validation", "test", or "": Split chooses
}

// Class returns the label of an instance, 0 of background.
func (m Image) Class(instance uint32) uint8 {
	switch {
	case instance == 0:
		return 0
	case m.Classes == nil:
		return 1
	}
	return m.Classes[instance]
}

// Forget sets to 0 what is predicted where nobody annotated: right or wrong, nobody knows.
func (m Image) Forget(p []float32) {
	for i, outside := range m.Outside {
		if outside {
			p[i] = 0
		}
	}
}

// EstimateMPP guesses the size of an image's pixels in µm from the size of its nuclei: nucleus, their
// usual diameter in µm (7 in most tissue), over the median diameter of a disc of an instance's area. It
// passes over instances of fewer than 20 pixels, and returns 0 where there are no others. Expect it to
// be right within a factor of 1.5; instances that are whole cells mislead it.
func EstimateMPP(m Image, nucleus float64) float64 {
	area := make([]int, m.Count+1)
	for _, n := range m.Instances.Pix {
		area[n]++
	}
	area = slices.DeleteFunc(area[1:], func(a int) bool { return a < 20 })
	if len(area) == 0 {
		return 0
	}
	slices.Sort(area)
	median := float64(area[(len(area)-1)/2]+area[len(area)/2]) / 2
	return nucleus / math.Sqrt(4*median/math.Pi)
}

// hash returns the SHA-256 of all that s holds, in hexadecimal.
func (s *Set) hash() string {
	h := sha256.New()
	var buf []byte
	number := func(n uint64) { buf = binary.LittleEndian.AppendUint64(buf, n) }
	text := func(t string) { number(uint64(len(t))); buf = append(buf, t...) }
	flush := func() { h.Write(buf); buf = buf[:0] }
	number(uint64(len(s.ClassNames)))
	for _, name := range s.ClassNames {
		text(name)
	}
	for _, m := range s.Images {
		for _, t := range []string{m.Name, m.Group, m.Stain, m.Split} {
			text(t)
		}
		number(math.Float64bits(m.MPP))
		number(math.Float64bits(m.Weight))
		number(uint64(m.W))
		number(uint64(m.H))
		flush()
		h.Write(m.Pix)
		for i, n := range m.Instances.Pix {
			buf = append(binary.LittleEndian.AppendUint32(buf, n), m.Class(n))
			if m.Outside != nil && m.Outside[i] {
				buf = append(buf, 1)
			} else {
				buf = append(buf, 0)
			}
			if len(buf) > 1<<16 {
				flush()
			}
		}
		flush()
	}
	return hex.EncodeToString(h.Sum(nil))
}
