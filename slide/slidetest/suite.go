// Package slidetest is the conformance suite of slide.BlockReader, and a reader of made-up pixels.
//
//	func TestPNG(t *testing.T) {
//		path := writePNG(t, …)
//		slidetest.TestReader(t, func(t *testing.T) *slide.Slide { … slide.Open(path, …) }, want, 0)
//	}
package slidetest

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"sync"
	"testing"

	"microtome/slide"
)

// TestReader tests a slide over any reader. open opens it afresh; want is what its levels show, which
// the pixels may miss by the tolerance in each channel (0 for lossless files).
func TestReader(t *testing.T, open func(t *testing.T) *slide.Slide, want Pixel, tolerance int) {
	s := open(t)
	levels := make([][]byte, len(s.Info().Levels))
	t.Run("info", func(t *testing.T) { checkInfo(t, s.Info()) })
	t.Run("whole levels", func(t *testing.T) {
		for n, l := range s.Info().Levels {
			full := image.Rectangle{Max: l.Size}
			levels[n] = read(t, s, n, full)
			if err := near(levels[n], Picture(want, n, full), l.Size.X, tolerance); err != nil {
				t.Errorf("level %d: %v", n, err)
			}
		}
	})
	if t.Failed() {
		return
	}
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	t.Run("any rectangle", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		for n, l := range s.Info().Levels {
			for range rounds {
				checkRect(t, s, n, levels[n], anywhere(random, l))
			}
			for _, far := range []image.Point{{-5 * l.Size.X, 0}, {0, 7 * l.Size.Y}, {3*l.Size.X + 1, -4*l.Size.Y - 1}} {
				checkRect(t, s, n, levels[n], image.Rect(0, 0, 9, 5).Add(far)) // wholly outside
			}
			checkRect(t, s, n, levels[n], image.Rect(-min(l.Block.X, l.Size.X), -min(l.Block.Y, l.Size.Y), 1, 1))
			checkRect(t, s, n, levels[n], image.Rectangle{}) // nothing
		}
	})
	t.Run("concurrently", func(t *testing.T) {
		fresh := open(t)
		var group sync.WaitGroup
		for g := range 4 {
			group.Go(func() {
				random := rand.New(rand.NewPCG(3, uint64(g)))
				for range rounds / 2 {
					n := random.IntN(len(levels))
					checkRect(t, fresh, n, levels[n], anywhere(random, fresh.Info().Levels[n]))
				}
			})
		}
		group.Wait()
	})
	t.Run("a block is decoded once", func(t *testing.T) {
		fresh := open(t)
		l := fresh.Info().Levels[0]
		read(t, fresh, 0, image.Rectangle{Max: l.Size})
		read(t, fresh, 0, image.Rect(-3, -3, l.Size.X+3, l.Size.Y+3))
		across, down := (l.Size.X+l.Block.X-1)/l.Block.X, (l.Size.Y+l.Block.Y-1)/l.Block.Y
		blocks, bytes := fresh.Decoded()
		if blocks != int64(across*down) || bytes != int64(3*l.Size.X*l.Size.Y) {
			t.Errorf("%d blocks and %d bytes were decoded of %d × %d blocks and %d pixels", blocks, bytes, across, down, l.Size.X*l.Size.Y)
		}
	})
	t.Run("misuse", func(t *testing.T) {
		for _, n := range []int{-1, len(levels)} {
			var typed *slide.Error
			if _, err := s.AtLevel(n); !errors.As(err, &typed) {
				t.Errorf("level %d: %v", n, err)
			}
		}
		v, _ := s.AtLevel(0)
		var typed *slide.Error
		if err := v.Read(t.Context(), make([]byte, 5), image.Rect(0, 0, 1, 1)); !errors.As(err, &typed) {
			t.Errorf("a buffer of the wrong size: %v", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		cancel(cause)
		fresh, _ := open(t).AtLevel(0)
		if err := fresh.Read(ctx, make([]byte, 3), image.Rect(0, 0, 1, 1)); !errors.Is(err, cause) {
			t.Errorf("cancelled before the first block: %v", err)
		}
	})
}

func checkInfo(t *testing.T, info slide.Info) {
	if len(info.Levels) == 0 || info.Levels[0].Downsample != 1 {
		t.Fatalf("level 0 is missing or shrunk: %+v", info.Levels)
	}
	for n, l := range info.Levels {
		if l.Size.X < 1 || l.Size.Y < 1 || l.Block.X < 1 || l.Block.Y < 1 {
			t.Errorf("level %d is empty: %+v", n, l)
		}
		if n > 0 && !(l.Downsample > info.Levels[n-1].Downsample) {
			t.Errorf("level %d is not smaller than the one before", n)
		}
	}
	if full := (image.Rectangle{Max: info.Levels[0].Size}); info.Bounds.Empty() || !info.Bounds.In(full) {
		t.Errorf("bounds %v of a slide of %v", info.Bounds, full)
	}
}

// anywhere returns a rectangle that is inside, half outside or about the size of a level.
func anywhere(random *rand.Rand, l slide.Level) image.Rectangle {
	at := image.Pt(random.IntN(2*l.Size.X+1)-l.Size.X/2-1, random.IntN(2*l.Size.Y+1)-l.Size.Y/2-1)
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(1+random.IntN(min(l.Block.X, l.Size.X)+l.Size.X/4), 1+random.IntN(min(l.Block.Y, l.Size.Y)+l.Size.Y/4)))}
}

func read(t *testing.T, s *slide.Slide, level int, r image.Rectangle) []byte {
	v, err := s.AtLevel(level)
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 3*r.Dx()*r.Dy())
	if err := v.Read(t.Context(), pix, r); err != nil {
		t.Error(err)
	}
	return pix
}

// checkRect compares a rectangle with the whole level, mirrored.
func checkRect(t *testing.T, s *slide.Slide, level int, whole []byte, r image.Rectangle) {
	size := s.Info().Levels[level].Size
	want := Picture(func(_, x, y int) [3]byte {
		return [3]byte(whole[3*(bounce(y, size.Y)*size.X+bounce(x, size.X)):])
	}, level, r)
	if err := near(read(t, s, level, r), want, r.Dx(), 0); err != nil {
		t.Errorf("level %d %v: %v", level, r, err)
	}
}

// bounce walks back at the edges until it is inside: 2 1 | 0 1 2 | 1 0.
func bounce(i, n int) int {
	if n == 1 {
		return 0
	}
	for i < 0 || i >= n {
		if i < 0 {
			i = -i
		} else {
			i = 2*(n-1) - i
		}
	}
	return i
}

// near reports the first pixel of rows of a width that differs by more than the tolerance.
func near(got, want []byte, width, tolerance int) error {
	for i := range want {
		if d := int(got[i]) - int(want[i]); d > tolerance || d < -tolerance {
			p := i / 3
			return fmt.Errorf("at (%d, %d) are %v, want %v", p%width, p/width, got[3*p:3*p+3], want[3*p:3*p+3])
		}
	}
	return nil
}
