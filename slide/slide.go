package slide

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"time"
)

// Config says how slides are opened.
type Config struct {
	CacheBytes int64 // bound of the cache of decoded blocks
	// Timeout is how long opening, and decoding a block, may take before the slide fails with
	// [ErrTimeout]; 0: for ever. Less than 10 s is little: what is decoded whole takes its time, and
	// while a call of another slide hangs, some wait for it for up to 4 s.
	Timeout time.Duration
	// Unread lets blocks that cannot be decoded be white, and remembers them, see [View.Unread]. A file
	// that cannot be opened any more fails all the same, and so does one without tiles, which is
	// decoded whole.
	Unread bool
}

// NewDefaultConfig returns a cache of 64 MiB, no limit to the time, and failure for what cannot be decoded.
func NewDefaultConfig() Config { return Config{CacheBytes: 64 << 20} }

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.CacheBytes < 0 {
		return fmt.Errorf("block cache of %d bytes: give 0 or more", c.CacheBytes)
	}
	if c.Timeout < 0 {
		return fmt.Errorf("a wait of %v for the file: give 0, for ever, or more", c.Timeout)
	}
	return nil
}

// A BlockReader decodes the blocks of a slide. Each level is cut into blocks of Level.Block pixels from
// its top left corner; the last column and row are clipped to the level. It may be used by several
// goroutines.
type BlockReader interface {
	Info() Info
	// ReadBlock decodes the block in column x and row y of a level into dst: RGB, 8 bit, rows of the
	// clipped block's width without padding.
	ReadBlock(ctx context.Context, level, x, y int, dst []byte) error
	Close() error
}

// Info is what a slide says of itself.
type Info struct {
	Path        string
	Loader      string // of libvips
	Vendor      string // of the format, such as aperio; "" for plain images
	Description string // free text of the file
	Levels      []Level
	MPP         float64         // µm a pixel of level 0, mean of MPPX and MPPY; 0: not stated
	MPPX, MPPY  float64         // µm a pixel of level 0
	Objective   float64         // power of the objective; 0: not stated
	Bounds      image.Rectangle // scanned area in pixels of level 0; all of it when nothing is stated
	Resident    int64           // bytes that the decoder keeps, at most, while the slide is open
}

// A Level is one resolution that the file stores.
type Level struct {
	Size       image.Point
	Downsample float64     // pixels of level 0 a pixel
	Block      image.Point // unit of decoding, px
}

// A Slide is an open slide.
type Slide struct {
	reader BlockReader
	info   Info
	cache  *cache
	unread *unread // nil: what cannot be decoded fails
}

// New returns a Slide over a reader. cfg is valid.
func New(r BlockReader, cfg Config) *Slide {
	s := &Slide{reader: r, info: r.Info(), cache: newCache(cfg.CacheBytes)}
	if cfg.Timeout > 0 {
		s.reader = newDeadline(r, cfg.Timeout)
	}
	if cfg.Unread {
		s.unread = &unread{blocks: map[blockKey]bool{}}
	}
	return s
}

// Info returns what the slide says of itself.
func (s *Slide) Info() Info { return s.info }

// Decoded returns how many blocks, and bytes of pixels, have been decoded so far, or made white.
func (s *Slide) Decoded() (blocks, bytes int64) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return s.cache.decoded, s.cache.bytes
}

// Close closes the file. The Slide's Views must not be used any more. A call that has been abandoned
// after [Config].Timeout is not waited for: the file is closed when it returns.
func (s *Slide) Close() error {
	if err := s.reader.Close(); err != nil {
		return &Error{Op: "close", Path: s.info.Path, Err: err}
	}
	return nil
}

// AtLevel returns a level as it is.
func (s *Slide) AtLevel(n int) (*View, error) {
	if n < 0 || n >= len(s.info.Levels) {
		return nil, s.error(fmt.Errorf("there is no level %d: levels are 0 to %d", n, len(s.info.Levels)-1))
	}
	l := s.info.Levels[n]
	return &View{slide: s, level: n, scale: 1, size: l.Size, mpp: s.info.MPP * l.Downsample}, nil
}

// AtMPP returns the slide at mpp µm a pixel: the level that is within 2 % of it, as it is, or else
// pixels resampled from the nearest finer level to exactly mpp; where no level is finer, level 0 is
// enlarged. own, when it is not 0, is the size of a pixel of level 0 and overrides what the slide says.
func (s *Slide) AtMPP(mpp, own float64) (*View, error) {
	if !(mpp > 0) || math.IsInf(mpp, 0) || !(own >= 0) || math.IsInf(own, 0) {
		return nil, s.error(fmt.Errorf("pixels of %g µm, %g µm in the file: give sizes above 0", mpp, own))
	}
	if own == 0 {
		own = s.info.MPP
	}
	if own == 0 {
		return nil, s.error(errors.New("the slide does not state its pixel size: give --mpp MICRONS (about 0.25 at 40×, 0.5 at 20×), or --level 0 to take the pixels as they are"))
	}
	from := 0
	for n, l := range s.info.Levels {
		at := own * l.Downsample
		if math.Abs(at/mpp-1) <= 0.02 && wholeNumber(l.Downsample) {
			return &View{slide: s, level: n, scale: 1, size: l.Size, mpp: at}, nil
		}
		if at < mpp && wholeNumber(l.Downsample) {
			from = n
		}
	}
	scale := func(n int) float64 { return mpp / (own * s.info.Levels[n].Downsample) }
	full := s.info.Levels[0].Size
	if s0 := scale(0); s0 < 1.0/maxScale || s0 > maxScale || float64(max(full.X, full.Y))/s0 > math.MaxInt32 {
		return nil, s.error(fmt.Errorf("the model wants pixels of %g µm and the slide has %g µm: give --mpp if that is wrong, or another model", mpp, own))
	}
	size := func(pixels int) int { return max(1, int(math.Round(float64(pixels)/scale(0)))) }
	return &View{slide: s, level: from, scale: scale(from), size: image.Pt(size(full.X), size(full.Y)), mpp: mpp}, nil
}

// maxScale is how many times a slide is enlarged or made smaller at most.
const maxScale = 256

// wholeNumber reports whether a level's downsample is a whole number but for the rounding of its size.
// libvips asks OpenSlide for whole pixels of level 0, so the blocks of other levels do not quite join.
func wholeNumber(downsample float64) bool {
	return math.Abs(downsample-math.Round(downsample)) < 0.005*downsample
}

func (s *Slide) error(err error) error { return &Error{Op: "open", Path: s.info.Path, Err: err} }
