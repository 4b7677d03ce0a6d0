package sink

import (
	"bytes"
	"errors"
	"image"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A memory is a Container that keeps the tiles. Its nth call fails, counting from 1.
type memory struct {
	tile             int
	levels           []image.Point
	tiles            map[[3]int][]byte
	calls, failAt    int
	commits, aborted int
}

var errMemory = errors.New("no room")

func newMemory(size image.Point, tile int) *memory {
	return &memory{tile: tile, levels: Levels(size, tile), tiles: map[[3]int][]byte{}}
}

func (m *memory) WriteTile(level, x, y int, pix []byte) error {
	if m.calls++; m.calls == m.failAt {
		return errMemory
	}
	at := [3]int{level, x, y}
	if m.tiles[at] != nil {
		return errors.New("twice")
	}
	m.tiles[at] = bytes.Clone(pix)
	return nil
}

func (m *memory) Commit() error {
	if m.calls++; m.calls == m.failAt {
		return errMemory
	}
	m.commits++
	return nil
}

func (m *memory) Abort() error {
	m.aborted++
	return nil
}

// want checks a level, what is past its edge, and that no other tile came.
func (m *memory) want(t *rapid.T, level int, pix []byte) {
	size := m.levels[level]
	for y := 0; y*m.tile < size.Y; y++ {
		for x := 0; x*m.tile < size.X; x++ {
			at := [3]int{level, x, y}
			got := m.tiles[at]
			if got == nil {
				t.Fatalf("tile %v never came", at)
			}
			delete(m.tiles, at)
			for i, v := range got {
				p := image.Pt(x*m.tile+i%m.tile, y*m.tile+i/m.tile)
				want := byte(0)
				if p.X < size.X && p.Y < size.Y {
					want = pix[p.Y*size.X+p.X]
				}
				if v != want {
					t.Fatalf("level %d: pixel %v is %d, want %d", level, p, v, want)
				}
			}
		}
	}
}

// cut divides a rectangle at random.
func cut(t *rapid.T, r image.Rectangle) []image.Rectangle {
	if r.Dx()*r.Dy() == 1 || rapid.IntRange(0, 5).Draw(t, "whole") == 0 {
		return []image.Rectangle{r}
	}
	a, b := r, r
	if r.Dy() == 1 || r.Dx() > 1 && rapid.Bool().Draw(t, "upright") {
		a.Max.X = rapid.IntRange(r.Min.X+1, r.Max.X-1).Draw(t, "x")
		b.Min.X = a.Max.X
	} else {
		a.Max.Y = rapid.IntRange(r.Min.Y+1, r.Max.Y-1).Draw(t, "y")
		b.Min.Y = a.Max.Y
	}
	return append(cut(t, a), cut(t, b)...)
}

// drawImage draws labels with stretches that are alike.
func drawImage(t *rapid.T, size image.Point) []byte {
	values := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "values")
	stretch := rapid.IntRange(1, 30).Draw(t, "stretch")
	pix := make([]byte, size.X*size.Y)
	for i := range pix {
		pix[i] = values[i/stretch%len(values)]
	}
	return pix
}

// writeRect hands a rectangle of an image to a pyramid, from a buffer of its own with padded rows.
func writeRect(p *Pyramid, r image.Rectangle, pix []byte, w int) error {
	stride := r.Dx() + 3
	part := bytes.Repeat([]byte{0xee}, stride*r.Dy())
	for y := range r.Dy() {
		copy(part[y*stride:][:r.Dx()], pix[(r.Min.Y+y)*w+r.Min.X:])
	}
	return p.Write(r, stride, part[:len(part)-3])
}

func drawSize(t *rapid.T, most int) image.Point {
	return image.Pt(rapid.IntRange(1, most).Draw(t, "width"), rapid.IntRange(1, most).Draw(t, "height"))
}

// TestPyramid feeds any parts in any order and compares every level with a reduction of the whole image.
func TestPyramid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tile := rapid.SampledFrom([]int{2, 4, 6, 16, 64}).Draw(t, "tile")
		size := drawSize(t, min(5*tile, 100))
		pix := drawImage(t, size)
		parts := rapid.Permutation(cut(t, image.Rectangle{Max: size})).Draw(t, "parts")
		reduce, vote := Majority, naiveMajority
		if rapid.Bool().Draw(t, "mean") {
			reduce, vote = Mean, naiveMean
		}
		a, b := newMemory(size, tile), newMemory(size, tile)
		p := NewPyramid(size, tile, reduce, a, b)
		for _, r := range parts {
			if err := writeRect(p, r, pix, size.X); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
		if p.open != 0 || len(p.free) != p.High() {
			t.Errorf("%d tiles are open, %d were, %d buffers are kept", p.open, p.High(), len(p.free))
		}
		var counts [256]int64
		for _, v := range pix {
			counts[v]++
		}
		if p.Counts() != counts || p.Written() != p.Expected() || p.Expected() != int64(len(pix)) {
			t.Errorf("counted wrong: %d of %d written", p.Written(), p.Expected())
		}
		for level, s := range Levels(size, tile) {
			a.want(t, level, pix)
			b.want(t, level, pix)
			pix = naiveReduce(pix, s.X, s.Y, vote)
		}
		for _, m := range []*memory{a, b} {
			if len(m.tiles) > 0 || m.commits != 1 || m.aborted != 0 {
				t.Errorf("%d tiles too many, %d commits, %d aborts", len(m.tiles), m.commits, m.aborted)
			}
		}
	})
}

// TestPyramidRefuses what would make two rectangles decide one pixel, or none.
func TestPyramidRefuses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tile := rapid.SampledFrom([]int{2, 8, 64}).Draw(t, "tile")
		size := drawSize(t, min(4*tile, 80))
		whole := image.Rectangle{Max: size}
		pix := drawImage(t, size)
		parts := rapid.Permutation(cut(t, whole)).Draw(t, "parts")
		m := newMemory(size, tile)
		p := NewPyramid(size, tile, Majority, m)
		left := rapid.IntRange(0, len(parts)-1).Draw(t, "left out")
		missing := int64(0)
		for i, r := range parts {
			if i >= left {
				missing += int64(r.Dx() * r.Dy())
				continue
			}
			if err := writeRect(p, r, pix, size.X); err != nil {
				t.Fatal(err)
			}
		}
		want := "missing"
		if left > 0 && rapid.Bool().Draw(t, "overlap") {
			again := parts[rapid.IntRange(0, left-1).Draw(t, "again")]
			x, y := rapid.IntRange(again.Min.X, again.Max.X-1).Draw(t, "x"), rapid.IntRange(again.Min.Y, again.Max.Y-1).Draw(t, "y")
			r := image.Rect(rapid.IntRange(0, x).Draw(t, "x0"), rapid.IntRange(0, y).Draw(t, "y0"),
				rapid.IntRange(x+1, size.X).Draw(t, "x1"), rapid.IntRange(y+1, size.Y).Draw(t, "y1"))
			err := writeRect(p, r, pix, size.X)
			if err == nil || !strings.Contains(err.Error(), "twice") {
				t.Fatalf("%v over %v: error %v", r, again, err)
			}
			if again := writeRect(p, r, pix, size.X); !errors.Is(again, err) {
				t.Errorf("error %v after %v", again, err)
			}
			want = "twice"
		}
		if err := p.Commit(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		if want == "missing" && p.Expected()-p.Written() != missing {
			t.Errorf("%d pixels are missing, want %d", p.Expected()-p.Written(), missing)
		}
		if m.commits != 0 || m.aborted != 1 {
			t.Errorf("%d commits, %d aborts", m.commits, m.aborted)
		}
	})
}

func TestPyramidRefusesRectangles(t *testing.T) {
	size := image.Pt(10, 7)
	pix := make([]byte, 100)
	for _, c := range []struct {
		r      image.Rectangle
		stride int
		pix    []byte
		want   string
	}{
		{image.Rect(0, 0, 11, 7), 11, pix, "not inside"},
		{image.Rect(0, 0, 10, 8), 10, pix, "not inside"},
		{image.Rect(-1, 0, 3, 3), 4, pix, "not inside"},
		{image.Rect(0, -1, 3, 3), 4, pix, "not inside"},
		{image.Rect(3, 3, 3, 5), 1, pix, "not inside"},
		{image.Rect(0, 0, 10, 7), 9, pix, "in rows of 9"},
		{image.Rect(0, 0, 10, 7), 10, pix[:69], "69 bytes"},
	} {
		p := NewPyramid(size, 4, Majority)
		if err := p.Write(c.r, c.stride, c.pix); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %q", c.r, err, c.want)
		}
	}
	if err := NewPyramid(size, 4, Majority).Write(image.Rectangle{Max: size}, 10, pix[:70]); err != nil {
		t.Errorf("the whole image: %v", err)
	}
}

// TestPyramidContainerFails lets each call of the second container fail in turn.
func TestPyramidContainerFails(t *testing.T) {
	size := image.Pt(9, 9)
	for failAt := 1; ; failAt++ {
		first, second, third := newMemory(size, 4), newMemory(size, 4), newMemory(size, 4)
		second.failAt = failAt
		p := NewPyramid(size, 4, Majority, first, second, third)
		var writeErr error
		for y := range size.Y {
			if err := p.Write(image.Rect(0, y, size.X, y+1), size.X, make([]byte, size.X)); err != nil {
				writeErr = err
			}
		}
		err := p.Commit()
		if second.calls < failAt {
			if err != nil {
				t.Error(err)
			}
			if failAt != 9+4+1+1+1 { // tiles, commit, and one beyond
				t.Errorf("the container was called %d times", failAt-1)
			}
			return
		}
		if !errors.Is(err, errMemory) {
			t.Errorf("call %d fails: commit says %v after %v", failAt, err, writeErr)
		}
		if second.calls != failAt {
			t.Errorf("call %d failed, and %d came after it", failAt, second.calls-failAt)
		}
		if second.commits+third.commits != 0 || second.aborted == 0 || third.aborted == 0 {
			t.Errorf("call %d fails: commits %d and %d, aborts %d and %d", failAt, second.commits, third.commits, second.aborted, third.aborted)
		}
	}
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		size image.Point
		tile int
		want []image.Point
	}{
		{image.Pt(1, 1), 256, []image.Point{{1, 1}}},
		{image.Pt(256, 256), 256, []image.Point{{256, 256}}},
		{image.Pt(257, 256), 256, []image.Point{{257, 256}, {129, 128}}},
		{image.Pt(1, 1025), 256, []image.Point{{1, 1025}, {1, 513}, {1, 257}, {1, 129}}},
		{image.Pt(2220, 2967), 512, []image.Point{{2220, 2967}, {1110, 1484}, {555, 742}, {278, 371}}},
	} {
		got := Levels(c.size, c.tile)
		if len(got) != len(c.want) {
			t.Errorf("%v: levels %v, want %v", c.size, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%v: levels %v, want %v", c.size, got, c.want)
			}
		}
	}
}

// TestPyramidAllocatesNothing once its tiles are there: neither it nor the TIFF it feeds.
func TestPyramidAllocatesNothing(t *testing.T) {
	const edge = 256 * 64
	for _, compression := range Compressions() {
		size := image.Pt(edge, 256)
		tiff, err := CreateTIFF(Disk, t.TempDir()+"/mask.tif", TIFFConfig{Size: size, Tile: 256, Compression: compression})
		if err != nil {
			t.Fatal(err)
		}
		p := NewPyramid(size, 256, Majority, tiff)
		pix := nuclei(256)
		x := 0
		write := func() {
			pix[0]++ // no tile like another
			if err := p.Write(image.Rect(x, 0, x+256, 256), 256, pix); err != nil {
				t.Fatal(err)
			}
			x += 256
		}
		for range 32 {
			write()
		}
		if n := testing.AllocsPerRun(30, write); n > 0 {
			t.Errorf("%s: %v allocations a tile", compression, n)
		}
		if err := p.Abort(); err != nil {
			t.Error(err)
		}
	}
}
