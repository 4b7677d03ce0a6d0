package pipeline

import (
	"context"
	"fmt"
	"image"
	"sync"
	"sync/atomic"
	"time"

	"microtome/slide"
	"microtome/unet"
)

// red is the made-up pixel of the fake slide.
func red(x, y int) byte {
	h := uint32(x)*2654435761 ^ uint32(y)*40503
	h ^= h >> 13
	return byte(h >> 7)
}

// A fakeReader is a slide of one level whose pixels are a formula. Its nth decode fails.
type fakeReader struct {
	size   image.Point
	bounds image.Rectangle // empty: all of it
	block  int
	wait   time.Duration // of each decode
	failAt int64         // 1: the first decode; 0: never
	err    error
	reads  atomic.Int64
}

func (f *fakeReader) Info() slide.Info {
	if f.bounds.Empty() {
		f.bounds.Max = f.size
	}
	return slide.Info{
		Path: "fake", Levels: []slide.Level{{Size: f.size, Downsample: 1, Block: image.Pt(f.block, f.block)}},
		Bounds: f.bounds,
	}
}

func (f *fakeReader) ReadBlock(_ context.Context, _, bx, by int, dst []byte) error {
	time.Sleep(f.wait)
	if f.reads.Add(1) == f.failAt {
		return f.err
	}
	r := image.Rect(bx*f.block, by*f.block, (bx+1)*f.block, (by+1)*f.block).Intersect(image.Rectangle{Max: f.size})
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			dst[0], dst[1], dst[2] = red(x, y), 0, 0
			dst = dst[3:]
		}
	}
	return nil
}

func (f *fakeReader) Close() error { return nil }

// A fakeModel labels a pixel 1 where the 5 × 5 pixels around it are red on average, so that a seam or
// a wrong mirror shows. Its nth prediction fails or panics.
type fakeModel struct {
	wait        time.Duration
	failAt      int64
	err         error
	panics      bool
	holds       int // core of the largest tile that its memory holds; 0: any
	predictions atomic.Int64
	running     atomic.Int64
	mu          sync.Mutex
	most        int64 // predictions at a time
}

const fakeMargin = 2

func (m *fakeModel) Spec() unet.Spec {
	return unet.Spec{Name: "fake", Geometry: unet.Geometry{Stride: 4, Before: fakeMargin, After: fakeMargin}, Channels: 3, Classes: []string{"black", "red"}}
}

func (m *fakeModel) Bytes(int) int64 { return 0 }
func (m *fakeModel) Close() error    { return nil }

func (m *fakeModel) Predict(_ context.Context, _ int, in, out []byte) error {
	m.mu.Lock()
	m.most = max(m.most, m.running.Add(1))
	m.mu.Unlock()
	defer m.running.Add(-1)
	time.Sleep(m.wait)
	if m.predictions.Add(1) == m.failAt {
		if m.panics {
			var none []byte
			none[0] = 1
		}
		return m.err
	}
	core := 0
	for core*core < len(out) {
		core++
	}
	if m.holds > 0 && core > m.holds {
		return fmt.Errorf("device fake is %w", unet.ErrMemory)
	}
	edge := core + 2*fakeMargin
	for y := range core {
		for x := range core {
			sum := 0
			for dy := range 2*fakeMargin + 1 {
				for dx := range 2*fakeMargin + 1 {
					sum += int(in[3*((y+dy)*edge+x+dx)])
				}
			}
			out[y*core+x] = 0
			if sum > 25*127 {
				out[y*core+x] = 1
			}
		}
	}
	return nil
}

// mirrored is the pixel that index i of an axis of n pixels shows: step by step, as one would by hand.
func mirrored(i, n int) int {
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

// want is the label that the fake model gives a pixel of a fake slide, mirrored beyond its edge.
func want(size image.Point, x, y int) byte {
	sum := 0
	for dy := -fakeMargin; dy <= fakeMargin; dy++ {
		for dx := -fakeMargin; dx <= fakeMargin; dx++ {
			sum += int(red(mirrored(x+dx, size.X), mirrored(y+dy, size.Y)))
		}
	}
	if sum > 25*127 {
		return 1
	}
	return 0
}

// A fakeContainer keeps level 0 in memory. Its nth tile, or its commit, fails.
type fakeContainer struct {
	size       image.Point
	tile       int
	wait       time.Duration
	failAt     int64
	failCommit bool
	err        error
	writes     int64
	pix        []byte
	committed  bool
	aborted    bool
}

func (c *fakeContainer) WriteTile(level, tx, ty int, pix []byte) error {
	time.Sleep(c.wait)
	c.writes++
	if c.writes == c.failAt {
		return c.err
	}
	if level > 0 {
		return nil
	}
	if c.pix == nil {
		c.pix = make([]byte, c.size.X*c.size.Y)
	}
	for y := range min(c.tile, c.size.Y-ty*c.tile) {
		for x := range min(c.tile, c.size.X-tx*c.tile) {
			c.pix[(ty*c.tile+y)*c.size.X+tx*c.tile+x] = pix[y*c.tile+x]
		}
	}
	return nil
}

func (c *fakeContainer) Commit() error {
	if c.failCommit {
		return c.err
	}
	c.committed = true
	return nil
}

func (c *fakeContainer) Abort() error {
	c.aborted = !c.committed
	return nil
}
