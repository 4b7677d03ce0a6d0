package slidetest

import (
	"context"
	"image"
	"math"
	"sync/atomic"

	"microtome/slide"
)

// A Pixel says which colour a pixel of a level has.
type Pixel func(level, x, y int) [3]byte

// Noise is a Pixel in which neighbours, levels and channels have nothing in common.
func Noise(level, x, y int) [3]byte {
	h := uint32(x)*2654435761 ^ uint32(y)*2246822519 ^ uint32(level)*3266489917
	h ^= h >> 15
	h *= 2654435761
	return [3]byte{byte(h >> 8), byte(h >> 16), byte(h >> 24)}
}

// Smooth is a Pixel that JPEG keeps almost as it is: slow waves, another blue for each level.
func Smooth(level, x, y int) [3]byte {
	wave := func(i int, length float64) byte { return byte(128 + 90*math.Sin(float64(i)*2*math.Pi/length)) }
	return [3]byte{wave(x, 257), wave(y, 311), byte(60 + 30*(level%5))}
}

// A Fake is a slide.BlockReader whose pixels are a formula.
type Fake struct {
	Decodes atomic.Int64                // blocks asked for so far
	Before  func(level, x, y int) error // when not nil, called before a block is filled; its error is the block's
	info    slide.Info
	pixel   Pixel
}

// NewFake returns a Fake of a size in blocks of a size, with one level for each downsample.
func NewFake(pixel Pixel, size, block image.Point, downsamples ...float64) *Fake {
	f := &Fake{pixel: pixel, info: slide.Info{Path: "fake", MPP: 0.25, MPPX: 0.25, MPPY: 0.25, Bounds: image.Rectangle{Max: size}}}
	for _, d := range downsamples {
		shrunk := image.Pt(max(1, int(float64(size.X)/d)), max(1, int(float64(size.Y)/d)))
		f.info.Levels = append(f.info.Levels, slide.Level{Size: shrunk, Downsample: d, Block: block})
	}
	return f
}

// WithBounds sets the scanned area, in pixels of level 0.
func (f *Fake) WithBounds(r image.Rectangle) *Fake {
	f.info.Bounds = r
	return f
}

// Info returns what was given to NewFake.
func (f *Fake) Info() slide.Info { return f.info }

// ReadBlock fills dst by the formula.
func (f *Fake) ReadBlock(_ context.Context, level, bx, by int, dst []byte) error {
	f.Decodes.Add(1)
	if f.Before != nil {
		if err := f.Before(level, bx, by); err != nil {
			return err
		}
	}
	l := f.info.Levels[level]
	at := image.Pt(bx*l.Block.X, by*l.Block.Y)
	area := image.Rectangle{Min: at, Max: at.Add(l.Block)}.Intersect(image.Rectangle{Max: l.Size})
	copy(dst, Picture(f.pixel, level, area))
	return nil
}

// Close does nothing.
func (f *Fake) Close() error { return nil }

// Picture returns the RGB bytes of a rectangle, row by row.
func Picture(pixel Pixel, level int, r image.Rectangle) []byte {
	pix := make([]byte, 0, 3*r.Dx()*r.Dy())
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			p := pixel(level, x, y)
			pix = append(pix, p[:]...)
		}
	}
	return pix
}
