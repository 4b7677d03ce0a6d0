package stages

import (
	"bytes"
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
	"microtome/sink"
	"microtome/sink/sinktest"
	"microtome/slide"
	"microtome/slide/slidetest"
	"microtome/unet"
)

// maskOf is a mask of a tile, its labels a formula of the pixel's place.
func maskOf(tile slide.Tile, core int) Mask {
	m := Mask{Tile: tile, Buffer: &Buffer{Labels: make([]byte, core*core)}}
	for i := range m.Labels {
		m.Labels[i] = labelAt(tile.Core.Min.X+i%core, tile.Core.Min.Y+i/core)
	}
	return m
}

func labelAt(x, y int) byte { return byte(1 + (x*7+y*13)%5) }

// drawGrid draws a grid over a region; its halo is what a geometry of the stride says.
func drawGrid(t *rapid.T, largest, stride int) slide.Grid {
	between := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
	at := image.Pt(between(0, 99, "x"), between(0, 99, "y"))
	return slide.Grid{
		Region: image.Rectangle{Min: at, Max: at.Add(image.Pt(between(1, largest, "width"), between(1, largest, "height")))},
		Core:   stride * between(max(1, 24/stride), max(1, 400/stride), "core"), Panel: between(1, 4, "panel"),
	}
}

// TestScope: a tile is for the network when one of its pixels lies in a square that something touches, and no
// other pixel keeps its label; pixels of both kinds are counted. The core does not matter.
func TestScope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGrid(t, 900, 1)
		seed, share := rapid.Uint64().Draw(t, "seed"), rapid.Float64Range(0, 1).Draw(t, "share")
		isIn := func(x, y int) bool { // the square of a pixel, counted from the region's corner
			x, y = (x-g.Region.Min.X)/256, (y-g.Region.Min.Y)/256
			return rand.New(rand.NewPCG(seed, uint64(y*1000+x))).Float64() < share
		}
		squares := 0
		s := NewScope(g.Region, func(r image.Rectangle) bool {
			squares++
			if r.Empty() || !r.In(g.Region) || (r.Min.X-g.Region.Min.X)%256 != 0 || (r.Min.Y-g.Region.Min.Y)%256 != 0 {
				t.Fatalf("asked for %v of %v", r, g.Region)
			}
			return isIn(r.Min.X, r.Min.Y)
		})
		if want := (g.Region.Dx() + 255) / 256 * ((g.Region.Dy() + 255) / 256); squares != want {
			t.Fatalf("%d squares, want %d", squares, want)
		}
		var in, out int64
		for tile := range g.All() {
			m := maskOf(tile, g.Core)
			want := slices.Clone(m.Labels)
			holds := false
			for y := tile.Core.Min.Y; y < tile.Core.Max.Y; y++ {
				for x := tile.Core.Min.X; x < tile.Core.Max.X; x++ {
					if isIn(x, y) {
						holds = true
						in++
					} else {
						want[(y-tile.Core.Min.Y)*g.Core+x-tile.Core.Min.X] = 0
						out++
					}
				}
			}
			if s.Holds(tile.Core) != holds {
				t.Fatalf("Holds(%v) is not %v", tile.Core, holds)
			}
			if _, err := s.Clear(g.Core)(context.Background(), Masks{m}); err != nil || !bytes.Equal(m.Labels, want) {
				t.Fatalf("tile %v is not cleared as it should be, %v", tile.Core, err)
			}
		}
		if i, o := s.Pixels(); i != in || o != out {
			t.Fatalf("Pixels are %d and %d, want %d and %d", i, o, in, out)
		}
		if s.Holds(g.Region.Add(g.Region.Size().Mul(2))) || s.Holds(image.Rectangle{}) {
			t.Fatal("what lies outside of the region is for the network")
		}
	})
}

// TestMark: of a network that sees Before and After its squares, the labels that a block which cannot be read has decided
// are marked, directly or as it is mirrored beyond the edges, and no other.
func TestMark(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		between := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
		n := unet.Geometry{Stride: 1 << between(0, 4, "stride"), Before: between(0, 40, "before"), After: between(0, 40, "after")}
		size := image.Pt(between(1, 150, "width"), between(1, 150, "height"))
		region := image.Rect(between(0, size.X-1, "x"), between(0, size.Y-1, "y"), size.X, size.Y)
		g := slide.Grid{Region: region, Core: n.Stride * between(1, 6, "core"), Before: n.Before, After: n.After, Panel: 2}
		block := image.Pt(between(1, 60, "block width"), between(1, 60, "block height"))
		broken := map[image.Point]bool{}
		for range between(0, 3, "broken") {
			broken[image.Pt(between(0, (size.X-1)/block.X, "column"), between(0, (size.Y-1)/block.Y, "row"))] = true
		}
		fake := slidetest.NewFake(slidetest.Noise, size, block, 1)
		fake.Before = func(_, x, y int) error {
			if broken[image.Pt(x, y)] {
				return errBroken
			}
			return nil
		}
		v, err := slide.New(fake, slide.Config{CacheBytes: 1 << 20, Unread: true}).AtLevel(0)
		if err != nil {
			t.Fatal(err)
		}
		// sees reports whether any pixel of an axis that a label at i is decided by is a broken one.
		sees := func(i, start, size int, bad func(i int) bool) bool {
			from := start + (i-start)/n.Stride*n.Stride
			for k := from - n.Before; k < from+n.Stride+n.After; k++ {
				if bad(raster.Reflect(k, size)) {
					return true
				}
			}
			return false
		}
		mark := Mark(v, g, n)
		edge := n.Before + g.Core + n.After
		pix := make([]byte, 3*edge*edge)
		for tile := range g.All() {
			if err := v.Read(context.Background(), pix, tile.Halo); err != nil {
				t.Fatal(err)
			}
			m := maskOf(tile, g.Core)
			if _, err := mark(context.Background(), Masks{m}); err != nil {
				t.Fatal(err)
			}
			for y := tile.Core.Min.Y; y < tile.Core.Max.Y; y++ {
				for x := tile.Core.Min.X; x < tile.Core.Max.X; x++ {
					want := labelAt(x, y)
					for b := range broken { // a block is a product of two spans, and so is what a network sees
						if sees(x, region.Min.X, size.X, func(i int) bool { return i/block.X == b.X }) && sees(y, region.Min.Y, size.Y, func(i int) bool { return i/block.Y == b.Y }) {
							want = sink.Unread
						}
					}
					if got := m.Labels[(y-tile.Core.Min.Y)*g.Core+x-tile.Core.Min.X]; got != want {
						t.Fatalf("%+v, view %v, blocks of %v, broken %v, tile %v: label at (%d, %d) is %d, want %d", n, size, block, broken, tile.Core, x, y, got, want)
					}
				}
			}
		}
	})
}

// A picture keeps level 0 of a pyramid.
type picture struct {
	size image.Point
	pix  []byte
}

func (p *picture) WriteTile(level, tx, ty int, pix []byte) error {
	for y := range 16 {
		for x := range 16 {
			if at := image.Pt(tx*16+x, ty*16+y); level == 0 && at.In(image.Rectangle{Max: p.size}) {
				p.pix[at.Y*p.size.X+at.X] = pix[y*16+x]
			}
		}
	}
	return nil
}

func (*picture) Commit() error { return nil }
func (*picture) Abort() error  { return nil }

// TestCommit: whatever tiles the network is asked about, and wherever an interrupted run stopped, the pyramid gets the
// labels of those and background elsewhere; only tiles of this process are told of.
func TestCommit(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		g := drawGrid(t, 900, 8)
		g.Core = 8 * rapid.IntRange(8, 50).Draw(t, "core in eights")
		seed := rapid.Uint64().Draw(t, "seed")
		s := NewScope(g.Region, func(r image.Rectangle) bool {
			return rand.New(rand.NewPCG(seed, uint64(r.Min.Y*10000+r.Min.X))).IntN(3) == 0
		})
		var asked []slide.Tile
		for tile := range g.All() {
			if s.Holds(tile.Core) {
				asked = append(asked, tile)
			}
		}
		stop := rapid.IntRange(0, len(asked)).Draw(t, "stop")
		fs := sinktest.NewFaulty()
		header := sink.JournalHeader{Region: g.Region, Core: g.Core}
		run := func(from, to int) (*picture, *Commit) {
			stage, err := sink.ResumeStage(fs, dir)
			if err != nil {
				t.Fatal(err)
			}
			defer stage.Suspend()
			p := &picture{g.Region.Size(), bytes.Repeat([]byte{77}, g.Region.Dx()*g.Region.Dy())}
			var done []slide.Tile
			c := &Commit{Grid: g, Scope: s, Pyramid: sink.NewPyramid(p.size, 16, sink.Majority, p), Done: func(t slide.Tile) { done = append(done, t) }}
			if c.Journal, err = stage.Journal(header); err != nil {
				t.Fatal(err)
			}
			if err := c.Replay(context.Background()); err != nil {
				t.Fatal(err)
			}
			if c.Journal.Resumed() != from {
				t.Fatalf("%d tiles are resumed, want %d", c.Journal.Resumed(), from)
			}
			for _, tile := range asked[from:to] {
				m := maskOf(tile, g.Core)
				if _, err := s.Clear(g.Core)(context.Background(), Masks{m}); err != nil {
					t.Fatal(err)
				}
				if err := c.write(m); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(done, asked[from:to]) {
				t.Fatalf("done are %v, want %v", done, asked[from:to])
			}
			if from > 0 && c.Next() <= asked[from-1].Index {
				t.Fatalf("the next tile is %d after %d", c.Next(), asked[from-1].Index)
			}
			return p, c
		}
		_, c := run(0, stop)
		if err := c.Pyramid.Abort(); err != nil {
			t.Fatal(err)
		}
		p, c := run(stop, len(asked))
		if err := errors.Join(c.Finish(), c.Pyramid.Commit()); err != nil {
			t.Fatal(err)
		}
		for i, label := range p.pix {
			x, y := g.Region.Min.X+i%p.size.X, g.Region.Min.Y+i/p.size.X
			want := byte(0)
			if s.Holds(image.Rect(x, y, x+1, y+1)) {
				want = labelAt(x, y)
			}
			if label != want {
				t.Fatalf("label at (%d, %d) is %d, want %d", x, y, label, want)
			}
		}
		stage, err := sink.OpenStage(fs, dir)
		if err != nil {
			t.Fatal(err)
		}
		stage.Close()
	})
}

// TestCommitRefusesWhatIsOutOfOrder: a tile that comes before one that the network is asked about, one that comes again,
// and what an interrupted run left of other tiles.
func TestCommitRefusesWhatIsOutOfOrder(t *testing.T) {
	region := image.Rect(0, 0, 512, 256)
	g := slide.Grid{Region: region, Core: 128, Panel: 8}
	everywhere := func(image.Rectangle) bool { return true }
	nowhere := func(image.Rectangle) bool { return false }
	left := func(r image.Rectangle) bool { return r.Min.X == 0 }
	for _, c := range []struct {
		name    string
		touches func(image.Rectangle) bool
		tiles   []int
		finish  bool
		want    string // of the error; "": none
	}{
		{"one is missing", everywhere, []int{0, 2}, false, "tile 2 at (128,0)-(256,128) came before tile 1"},
		{"the first is missing", everywhere, []int{1}, false, "came before tile 0"},
		{"the last is missing", everywhere, []int{0, 1, 2, 3, 4, 5, 6}, true, "tile 8 at (384,128)-(512,256) came before tile 7"},
		{"all", everywhere, []int{0, 1, 2, 3, 4, 5, 6, 7}, true, ""},
		{"those of tissue", left, []int{0, 1, 4, 5}, true, ""},
		{"one of tissue is missing", left, []int{0, 1, 5}, true, "came before tile 4"},
		{"none", nowhere, nil, true, ""},
		{"again", left, []int{0, 1, 1}, false, "written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			commit := &Commit{Grid: g, Scope: NewScope(region, c.touches), Pyramid: sink.NewPyramid(region.Size(), 256, sink.Majority), Done: func(slide.Tile) {}}
			var err error
			for _, i := range c.tiles {
				if err == nil {
					err = commit.write(maskOf(g.At(i), g.Core))
				}
			}
			if c.finish && err == nil {
				err = commit.Finish()
			}
			if c.want == "" && err == nil {
				err = commit.Pyramid.Commit() // refuses when a pixel is missing
			}
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}

	t.Run("a journal of other tiles", func(t *testing.T) {
		for _, rec := range []sink.Record{
			{Index: 1, Rect: image.Rect(0, 0, 128, 128)},     // tile 0's place
			{Index: 0, Rect: image.Rect(0, 0, 64, 128)},      // another core
			{Index: 8, Rect: image.Rect(384, 128, 512, 256)}, // there are eight
			{Index: 1, Rect: image.Rect(128, 0, 256, 128)},   // tile 0 is missing
		} {
			dir := t.TempDir()
			for range 2 {
				stage, err := sink.ResumeStage(sinktest.NewFaulty(), dir)
				if err != nil {
					t.Fatal(err)
				}
				j, err := stage.Journal(sink.JournalHeader{Region: region, Core: 128})
				if err != nil {
					t.Fatal(err)
				}
				if j.Resumed() == 0 {
					rec.Stride, rec.Labels = 128, make([]byte, 128*128)
					if err := errors.Join(j.Append(rec), stage.Suspend()); err != nil {
						t.Fatal(err)
					}
					continue
				}
				commit := &Commit{Grid: g, Scope: NewScope(region, everywhere), Pyramid: sink.NewPyramid(region.Size(), 256, sink.Majority), Journal: j}
				if err := commit.Replay(t.Context()); err == nil {
					t.Errorf("tile %d at %v was taken", rec.Index, rec.Rect)
				}
				stage.Close()
			}
		}
	})
}
