package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"microtome/sink"
	"microtome/slide/tissue"
	"microtome/unet"
)

// Config says how a run segments its slides.
type Config struct {
	Out      string  // folder of the results; each slide gets a folder in it
	Force    bool    // replace results that are already there
	Memory   int64   // bytes that the whole process may use
	Workers  int     // tiles read and inferred at a time; 0: one a processor, fewer where the memory is short
	Tile     int     // edge of a tile's core in pixels; 0: chosen by the plan
	TileMost int     // edge that the plan does not go beyond where it chooses, px; 0: as far as it pays
	Overlap  int     // px that tiles share, for a model that no margin makes seam-free; 0: none
	MPP      float64 // µm a pixel at level 0, over what the slide says; 0: the slide's own
	Level    int     // level to work on, as it is; Auto: the one that suits the model
	Bounds   bool    // only the scanned area that the slide states
	Slides   int     // at work at a time, at most; 0: as many as fit, up to 4

	Tissue       string        // auto, off, or a GeoJSON or mask file, in whose path {name} stands for the slide's name
	TissueMargin float64       // that is added around the tissue found, µm
	TissueRecall tissue.Recall // on which side the search for tissue errs
	MarkUnread   bool          // mark what cannot be read as label 255, in place of failing the slide
	ReadTimeout  time.Duration // after which a read that does not answer fails its slide; 0: never
	Compression  string        // of the mask: lzw, deflate, zstd, packbits, none
	MaskTile     int           // edge of the mask file's tiles: 256 or 512

	Discard   bool            // results are not kept, nor is Out needed: for measurements
	Files     sink.FileSystem // that results are written to; nil: the operating system's
	Version   string          // of microtome, recorded in summary.json
	Arguments []string        // of the command, recorded in summary.json
}

// Auto chooses the level by the model's resolution.
const Auto = -1

// NewDefaultConfig returns the defaults of the command line.
func NewDefaultConfig() Config {
	return Config{
		Memory: 2 << 30, Level: Auto, Compression: "lzw", MaskTile: 256,
		Tissue: TissueAuto, TissueMargin: tissue.NewDefaultConfig().Margin, ReadTimeout: 2 * time.Minute,
	}
}

// Validate reports everything that is wrong with c, in the words of the command line.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Out != "" || c.Discard, "-o OUT is missing: name the folder for the results")
	check(c.Memory >= base, "--memory %s is too small: the program alone takes %s", mebibytes(c.Memory), mebibytes(base))
	check(c.Workers >= 0 && c.Workers <= 1024, "--workers %d: give 1 to 1024, or 0 for one a processor", c.Workers)
	check(c.Tile >= 0 && c.Tile <= 1<<15, "--tile %d: give the edge of a tile in pixels, at most %d, or 0 to choose it by memory", c.Tile, 1<<15)
	check(c.Overlap >= 0 && c.Overlap <= 1<<14, "--overlap %d: give the pixels that neighbouring tiles share, at most %d", c.Overlap, 1<<14)
	check(c.MPP == 0 || c.MPP >= 0.01 && c.MPP <= 100, "--mpp %g: give micrometres a pixel, such as 0.25", c.MPP)
	check(c.Level >= Auto, "--level %d: give 0 for full resolution, or a higher level", c.Level)
	check(c.Slides >= 0 && c.Slides <= 64, "--slides %d: give 1 to 64 at a time, or 0 for as many as fit", c.Slides)
	check(c.Tissue != "", "--tissue: give auto, off, or a GeoJSON or mask file")
	check(c.TissueMargin >= 0 && c.TissueMargin <= 1e5, "--tissue-margin %g: give 0 to 100000 micrometres", c.TissueMargin)
	check(c.ReadTimeout >= 0, "--read-timeout %v: give a time such as 2m, or 0 to wait for ever", c.ReadTimeout)
	check(!c.MarkUnread || c.Overlap == 0, "--on-bad-tile mark and --overlap exclude each other: a network that sees its whole tile has no pixel that a bad one leaves alone")
	check(c.MPP == 0 || c.Level == Auto, "--mpp and --level exclude each other: --level takes the pixels as they are")
	check(slices.Contains(sink.Compressions(), c.Compression), "--compression %s: give one of %s", c.Compression, strings.Join(sink.Compressions(), ", "))
	check(c.MaskTile == 256 || c.MaskTile == 512, "--mask-tile %d: give 256 or 512", c.MaskTile)
	return errors.Join(errs...)
}

// files is what results are written to.
func (c Config) files() sink.FileSystem {
	if c.Files == nil {
		return sink.Disk
	}
	return c.Files
}

// mostSlides are at work at a time where nobody says otherwise: two keep the processors busy, unless slides are small.
const mostSlides = 4

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
