package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"microtome/sink"
	"microtome/unet"
)

// Config says how a run segments its slides.
type Config struct {
	Out         string  // folder of the results; each slide gets a folder in it
	Force       bool    // replace results that are already there
	Memory      int64   // bytes that the whole process may use
	Workers     int     // tiles read and inferred at a time; 0: one a processor, fewer where the memory is short
	Tile        int     // edge of a tile's core in pixels; 0: chosen by the plan
	Overlap     int     // px that tiles share, for a model that no margin makes seam-free; 0: none
	MPP         float64 // µm a pixel at level 0, over what the slide says; 0: the slide's own
	Level       int     // level to work on, as it is; Auto: the one that suits the model
	Bounds      bool    // only the scanned area that the slide states
	Compression string  // of the mask: lzw, deflate, zstd, packbits, none
	MaskTile    int     // edge of the mask file's tiles: 256 or 512

	Version   string   // of microtome, recorded in summary.json
	Arguments []string // of the command, recorded in summary.json
}

// Auto chooses the level by the model's resolution.
const Auto = -1

// NewDefaultConfig returns the defaults of the command line.
func NewDefaultConfig() Config {
	return Config{Memory: 2 << 30, Level: Auto, Compression: "lzw", MaskTile: 256}
}

// Validate reports everything that is wrong with c, in the words of the command line.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Out != "", "-o OUT is missing: name the folder for the results")
	check(c.Memory >= base, "--memory %s is too small: the program alone takes %s", mebibytes(c.Memory), mebibytes(base))
	check(c.Workers >= 0 && c.Workers <= 1024, "--workers %d: give 1 to 1024, or 0 for one a processor", c.Workers)
	check(c.Tile >= 0 && c.Tile <= 1<<15, "--tile %d: give the edge of a tile in pixels, at most %d, or 0 to choose it by memory", c.Tile, 1<<15)
	check(c.Overlap >= 0 && c.Overlap <= 1<<14, "--overlap %d: give the pixels that neighbouring tiles share, at most %d", c.Overlap, 1<<14)
	check(c.MPP == 0 || c.MPP >= 0.01 && c.MPP <= 100, "--mpp %g: give micrometres a pixel, such as 0.25", c.MPP)
	check(c.Level >= Auto, "--level %d: give 0 for full resolution, or a higher level", c.Level)
	check(c.Overlap >= 0 && c.Overlap <= 1<<14, "--overlap %d: give the pixels that neighbouring tiles share, at most %d", c.Overlap, 1<<14)
	check(c.MPP == 0 || c.Level == Auto, "--mpp and --level exclude each other: --level takes the pixels as they are")
	check(slices.Contains(sink.Compressions(), c.Compression), "--compression %s: give one of %s", c.Compression, strings.Join(sink.Compressions(), ", "))
	check(c.MaskTile == 256 || c.MaskTile == 512, "--mask-tile %d: give 256 or 512", c.MaskTile)
	return errors.Join(errs...)
}

// Suits reports how c and a model do not go together, in the words of the command line.
func (c Config) Suits(s unet.Spec) error {
	most := cmp.Or(c.Tile, math.MaxInt)
	if s.Input > 0 {
		most = (s.Input - s.Before - s.After) / 2 / s.Stride * s.Stride
	}
	switch {
	case s.Unbounded == "" && c.Overlap > 0:
		return fmt.Errorf("--overlap %d: tiles of model %s fit together without a seam, leave the flag out", c.Overlap, s.Name)
	case s.Unbounded == "":
		return nil
	case most < s.Stride:
		return fmt.Errorf("model %s sees its whole tile (%s), and its tiles of %d px are too small to overlap: export it for larger ones", s.Name, s.Unbounded, s.Input)
	case c.Overlap == 0:
		return fmt.Errorf("model %s sees its whole tile, so that no margin is enough (%s): give --overlap %d, to blend tiles that share so many pixels", s.Name, s.Unbounded, proposal(c.Tile, s))
	case c.Overlap%s.Stride != 0:
		return fmt.Errorf("--overlap %d is not a multiple of the model's stride: give %d", c.Overlap, min(roundUp(c.Overlap, s.Stride), most))
	case c.Overlap > most:
		return fmt.Errorf("--overlap %d: tiles may share at most %d px with the next", c.Overlap, most)
	}
	return nil
}

// proposal is the overlap to try first: a quarter of a tile.
func proposal(tile int, s unet.Spec) int {
	tile = cmp.Or(tile, 512)
	if s.Input > 0 {
		tile = s.Input - s.Before - s.After
	}
	return max(tile/4/s.Stride, 1) * s.Stride
}
