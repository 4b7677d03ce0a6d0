// Package sinktest checks that a [sink.Container] keeps its contract. A new format's test is a call of
// [Run] with a way to create the container and a way to read the file back, by a reader that is not ours.
package sinktest

import (
	"bytes"
	"fmt"
	"image"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"microtome/sink"
)

// A Format is a file format of masks.
type Format struct {
	Tile int // edge of its tiles, px
	// Create starts the container of an image of size. All that it writes lies in dir.
	Create func(dir string, size image.Point) (sink.Container, error)
	// Read returns the labels of the levels that the committed file in dir has, the largest first, each
	// row by row without padding.
	Read func(t *testing.T, dir string, size image.Point) [][]byte
}

// Run checks f.
func Run(t *testing.T, f Format) {
	t.Run("pixels", f.pixels)
	t.Run("blank", f.blank)
	t.Run("missing", f.missing)
	t.Run("twice", f.twice)
	t.Run("outside", f.outside)
	t.Run("abort", f.abort)
	t.Run("ended", f.ended)
	t.Run("replace", f.replace)
}

// A picture is levels of labels that have nothing to do with each other, so that a reader shows when
// levels or tiles were mixed up.
type picture struct {
	tile   int
	sizes  []image.Point
	levels [][]byte
}

// A place is where a tile lies.
type place struct{ level, x, y int }

func newPicture(size image.Point, tile int, label func(level, x, y int) byte) *picture {
	p := &picture{tile: tile, sizes: sink.Levels(size, tile)}
	for level, s := range p.sizes {
		pix := make([]byte, 0, s.X*s.Y)
		for y := range s.Y {
			for x := range s.X {
				pix = append(pix, label(level, x, y))
			}
		}
		p.levels = append(p.levels, pix)
	}
	return p
}

// speckled is a picture without two tiles alike: stretches of labels, and a tile in four of noise.
func speckled(size image.Point, tile int) *picture {
	rng := rand.New(rand.NewPCG(uint64(size.X), uint64(size.Y)))
	label, left := byte(0), 0
	return newPicture(size, tile, func(_, x, y int) byte {
		if left--; left < 0 {
			label, left = byte(rng.IntN(256)), rng.IntN(20)
			if (x/tile+y/tile)%4 == 3 {
				left = 0
			}
		}
		return label
	})
}

func (p *picture) places() []place {
	var all []place
	for level, s := range p.sizes {
		for y := 0; y*p.tile < s.Y; y++ {
			for x := 0; x*p.tile < s.X; x++ {
				all = append(all, place{level, x, y})
			}
		}
	}
	return all
}

// cut copies a tile into pix, with 0 past the edge of the image.
func (p *picture) cut(pix []byte, at place) {
	clear(pix)
	s := p.sizes[at.level]
	x0, w := at.x*p.tile, min(p.tile, s.X-at.x*p.tile)
	for y := at.y * p.tile; y < min(s.Y, (at.y+1)*p.tile); y++ {
		copy(pix[(y-at.y*p.tile)*p.tile:][:w], p.levels[at.level][y*s.X+x0:])
	}
}

// write hands tiles to a container, in a buffer that it must not keep.
func (p *picture) write(c sink.Container, places []place) error {
	pix := make([]byte, p.tile*p.tile)
	for _, at := range places {
		p.cut(pix, at)
		if err := c.WriteTile(at.level, at.x, at.y, pix); err != nil {
			return fmt.Errorf("tile %v: %w", at, err)
		}
		for i := range pix {
			pix[i] = 0xee
		}
	}
	return nil
}

func (f Format) create(t *testing.T, size image.Point) (sink.Container, string) {
	t.Helper()
	dir := t.TempDir()
	c, err := f.Create(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

// want checks that the file in dir holds p.
func (f Format) want(t *testing.T, dir string, p *picture) {
	t.Helper()
	got := f.Read(t, dir, p.sizes[0])
	if len(got) != len(p.levels) {
		t.Fatalf("%v: %d levels were read, want %d", p.sizes[0], len(got), len(p.levels))
	}
	for level, pix := range got {
		if bytes.Equal(pix, p.levels[level]) {
			continue
		}
		if len(pix) != len(p.levels[level]) {
			t.Errorf("%v: level %d has %d pixels, want %d", p.sizes[0], level, len(pix), len(p.levels[level]))
			continue
		}
		for i, v := range pix {
			if want := p.levels[level][i]; v != want {
				t.Errorf("%v: level %d: pixel (%d, %d) is %d, want %d", p.sizes[0], level, i%p.sizes[level].X, i/p.sizes[level].X, v, want)
				break
			}
		}
	}
}

// files returns the contents of all that is in dir.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		var data []byte
		if !d.IsDir() {
			data, err = os.ReadFile(path)
		}
		all[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// nothing checks that dir is empty.
func nothing(t *testing.T, dir, after string) {
	t.Helper()
	for path := range files(t, dir) {
		t.Errorf("%s: %s was left", after, path)
	}
}

// unchanged checks that dir holds what it held before.
func unchanged(t *testing.T, dir string, before map[string]string, after string) {
	t.Helper()
	now := files(t, dir)
	if len(now) != len(before) {
		t.Errorf("%s: %d files and folders, had %d", after, len(now), len(before))
	}
	for path, data := range before {
		if now[path] != data {
			t.Errorf("%s: %s has changed", after, path)
		}
	}
}

// pixels checks the tiles at edges, each size in one order, the fullest in all.
func (f Format) pixels(t *testing.T) {
	n := f.Tile
	full := image.Pt(3*n+5, 2*n-3)
	for i, size := range []image.Point{full, full, full, {1, 1}, {n, n}, {n + 1, n - 1}, {2 * n, 2*n + 1}, {1, 4*n + 1}, {5 * n, 7}} {
		p := speckled(size, n)
		order := p.places()
		switch i % 3 {
		case 1:
			slices.Reverse(order)
		case 2:
			rand.New(rand.NewPCG(1, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		c, dir := f.create(t, size)
		if err := p.write(c, order); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(); err != nil {
			t.Fatal(err)
		}
		f.want(t, dir, p)
	}
}

// blank checks tiles of one label, which a container may store once.
func (f Format) blank(t *testing.T) {
	n := f.Tile
	for name, label := range map[string]func(level, x, y int) byte{
		"background": func(_, _, _ int) byte { return 0 },
		"one label":  func(_, _, _ int) byte { return 255 },
		"a label a tile": func(level, x, y int) byte {
			return byte((level + x/n + y/n) % 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			size := image.Pt(4*n, 3*n-1)
			p := newPicture(size, n, label)
			c, dir := f.create(t, size)
			if err := p.write(c, p.places()); err != nil {
				t.Fatal(err)
			}
			if err := c.Commit(); err != nil {
				t.Fatal(err)
			}
			f.want(t, dir, p)
		})
	}
}

// missing leaves out each tile in turn.
func (f Format) missing(t *testing.T) {
	size := image.Pt(2*f.Tile+1, f.Tile)
	p := speckled(size, f.Tile)
	all := p.places()
	for i, at := range all {
		c, dir := f.create(t, size)
		if err := p.write(c, append(append([]place{}, all[:i]...), all[i+1:]...)); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(); err == nil {
			t.Errorf("committed without tile %v", at)
		}
		nothing(t, dir, "commit without a tile")
		if err := c.Abort(); err != nil {
			t.Errorf("abort after a failed commit: %v", err)
		}
		nothing(t, dir, "abort after a failed commit")
	}
}

// twice writes each tile a second time, also blank ones.
func (f Format) twice(t *testing.T) {
	size := image.Pt(2*f.Tile, f.Tile)
	blank := newPicture(size, f.Tile, func(_, _, _ int) byte { return 0 })
	for _, p := range []*picture{speckled(size, f.Tile), blank} {
		for _, at := range p.places() {
			c, dir := f.create(t, size)
			if err := p.write(c, p.places()); err != nil {
				t.Fatal(err)
			}
			if err := p.write(c, []place{at}); err == nil {
				t.Errorf("tile %v was taken twice", at)
			}
			if err := c.Abort(); err != nil {
				t.Error(err)
			}
			nothing(t, dir, "abort")
		}
	}
}

// outside writes tiles that the image does not have.
func (f Format) outside(t *testing.T) {
	size := image.Pt(2*f.Tile, f.Tile)
	pix := make([]byte, f.Tile*f.Tile)
	for _, at := range []place{{-1, 0, 0}, {2, 0, 0}, {0, 2, 0}, {0, 0, 1}, {1, 1, 0}, {0, -1, 0}, {0, 0, -1}} {
		c, dir := f.create(t, size)
		if err := c.WriteTile(at.level, at.x, at.y, pix); err == nil {
			t.Errorf("tile %v was taken", at)
		}
		if err := c.Abort(); err != nil {
			t.Error(err)
		}
		nothing(t, dir, "abort")
	}
}

// abort gives up after each tile, and at once.
func (f Format) abort(t *testing.T) {
	size := image.Pt(2*f.Tile, f.Tile+1)
	p := speckled(size, f.Tile)
	all := p.places()
	for n := range len(all) + 1 {
		c, dir := f.create(t, size)
		if err := p.write(c, all[:n]); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Abort(); err != nil {
				t.Errorf("abort after %d tiles: %v", n, err)
			}
			nothing(t, dir, "abort")
		}
		if n < len(all) {
			if err := p.write(c, all[n:]); err == nil {
				t.Error("tiles were taken after abort")
			}
		}
		if err := c.Commit(); err == nil {
			t.Error("committed after abort")
		}
		nothing(t, dir, "commit after abort")
	}
}

// ended uses a container after Commit.
func (f Format) ended(t *testing.T) {
	size := image.Pt(2*f.Tile, f.Tile)
	p := speckled(size, f.Tile)
	c, dir := f.create(t, size)
	if err := p.write(c, p.places()); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	committed := files(t, dir)
	if err := c.Commit(); err == nil {
		t.Error("committed twice")
	}
	unchanged(t, dir, committed, "second commit")
	if err := c.Abort(); err != nil {
		t.Errorf("abort after commit: %v", err)
	}
	unchanged(t, dir, committed, "abort after commit")
	if err := p.write(c, p.places()[:1]); err == nil {
		t.Error("a tile was taken after commit")
	}
	unchanged(t, dir, committed, "tile after commit")
	f.want(t, dir, p)
}

// replace writes where an earlier result is: it stays until the new one is whole.
func (f Format) replace(t *testing.T) {
	size := image.Pt(f.Tile+1, f.Tile)
	old, p := newPicture(size, f.Tile, func(_, x, y int) byte { return byte(x ^ y) }), speckled(size, f.Tile)
	dir := t.TempDir()
	fill := func(p *picture) sink.Container {
		c, err := f.Create(dir, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.write(c, p.places()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := fill(old).Commit(); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	if err := fill(p).Abort(); err != nil {
		t.Error(err)
	}
	unchanged(t, dir, before, "abort of a replacement")
	c := fill(p)
	f.want(t, dir, old)
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	f.want(t, dir, p)
	if now := files(t, dir); len(now) != len(before) {
		t.Errorf("%d files and folders after the replacement, %d before", len(now), len(before))
	}
}
