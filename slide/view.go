package slide

import (
	"context"
	"fmt"
	"image"
	"math"

	"microtome/internal/raster"
)

// A View is a slide at one working resolution.
type View struct {
	slide *Slide
	level int
	scale float64 // level pixels a view pixel
	size  image.Point
	mpp   float64
}

// Size returns the size of the view in its own pixels.
func (v *View) Size() image.Point { return v.size }

// MPP returns the size of the view's pixels in µm, 0 when it is not known.
func (v *View) MPP() float64 { return v.mpp }

// Level returns the level that pixels come from.
func (v *View) Level() int { return v.level }

// Scale returns how many pixels of the level, along an axis, make one of the view: 1 when the level is
// used as it is, below 1 when it is enlarged.
func (v *View) Scale() float64 { return v.scale }

// Slide returns the slide that the view is of.
func (v *View) Slide() *Slide { return v.slide }

// Downsample returns how many pixels of level 0, along an axis, make one of the view.
func (v *View) Downsample() float64 { return v.scale * v.slide.info.Levels[v.level].Downsample }

// Bounds returns the scanned area in pixels of the view.
func (v *View) Bounds() image.Rectangle {
	full := image.Rectangle{Max: v.size}
	down := v.Downsample()
	b := v.slide.info.Bounds
	low := func(n int) int { return int(math.Floor(float64(n) / down)) }
	high := func(n int) int { return int(math.Ceil(float64(n) / down)) }
	r := image.Rect(low(b.Min.X), low(b.Min.Y), high(b.Max.X), high(b.Max.Y)).Intersect(full)
	if r.Empty() {
		return full
	}
	return r
}

// Read fills dst with the RGB bytes of the rectangle r, row by row. r may leave the view, or lie wholly
// outside: the view goes on mirrored.
func (v *View) Read(ctx context.Context, dst []byte, r image.Rectangle) error {
	if len(dst) != 3*r.Dx()*r.Dy() {
		return v.slide.readError(v.level, r, fmt.Errorf("buffer of %d bytes for %d pixels", len(dst), r.Dx()*r.Dy()))
	}
	if v.scale == 1 {
		return v.slide.fill(ctx, v.level, dst, r)
	}
	return v.resample(ctx, dst, r)
}

// fill fills dst with a rectangle of a level, mirrored beyond its edges.
func (s *Slide) fill(ctx context.Context, level int, dst []byte, r image.Rectangle) error {
	size := s.info.Levels[level].Size
	var stack [2][4]raster.Run // enough for all but tiny levels: no allocation
	columns := raster.AppendRuns(stack[0][:0], r.Min.X, r.Max.X, size.X)
	rows := raster.AppendRuns(stack[1][:0], r.Min.Y, r.Max.Y, size.Y)
	for _, row := range rows {
		for _, column := range columns {
			if err := s.fillRun(ctx, level, dst, r.Dx(), column, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillRun fills the part of dst, width pixels wide, that a run of columns and a run of rows make.
func (s *Slide) fillRun(ctx context.Context, level int, dst []byte, width int, column, row raster.Run) error {
	size := s.info.Levels[level].Block
	x0, x1 := column.Span()
	y0, y1 := row.Span()
	for by := y0 / size.Y; by*size.Y < y1; by++ {
		for bx := x0 / size.X; bx*size.X < x1; bx++ {
			b, area, err := s.block(ctx, level, bx, by)
			if err != nil {
				return err
			}
			k0, k1 := row.Within(area.Min.Y, area.Max.Y)
			i0, i1 := column.Within(area.Min.X, area.Max.X)
			for k := k0; k < k1; k++ {
				line := b.pix[3*area.Dx()*(row.Pixel+k*row.Step-area.Min.Y):][:3*area.Dx()]
				copyRun(dst[3*((row.At+k)*width+column.At+i0):][:3*(i1-i0)], line, column.Pixel+i0*column.Step-area.Min.X, column.Step)
			}
			s.cache.put(b)
		}
	}
	return nil
}

// copyRun fills dst with the pixels of a line from pixel x on, in steps of 1, 0 or -1.
func copyRun(dst, line []byte, x, step int) {
	if step == 1 {
		copy(dst, line[3*x:])
		return
	}
	for at := 3 * x; len(dst) >= 3; dst = dst[3:] {
		pixel := line[at : at+3]
		dst[0], dst[1], dst[2] = pixel[0], pixel[1], pixel[2]
		at += 3 * step
	}
}

// block returns a decoded block, pinned in the cache, and the rectangle of the level it covers.
func (s *Slide) block(ctx context.Context, level, bx, by int) (*block, image.Rectangle, error) {
	l := s.info.Levels[level]
	area := image.Rect(bx*l.Block.X, by*l.Block.Y, (bx+1)*l.Block.X, (by+1)*l.Block.Y).Intersect(image.Rectangle{Max: l.Size})
	b, err := s.cache.get(ctx, blockKey{level, bx, by}, 3*area.Dx()*area.Dy(), func(dst []byte) error {
		// Others may wait for this block: it is decoded whatever becomes of ctx.
		ctx := context.WithoutCancel(ctx)
		if err := s.unread.read(ctx, s.reader, blockKey{level, bx, by}, dst); err != nil {
			return s.readError(level, area, err)
		}
		return nil
	})
	return b, area, err
}

func (s *Slide) readError(level int, r image.Rectangle, err error) error {
	return &Error{Op: "read", Path: s.info.Path, Level: level, Rect: r, Err: err}
}
