package sink

import (
	"image"
	"testing"

	"pgregory.net/rapid"
)

// panels hands cores to a pyramid in the order of slide.Grid, and returns the most tiles it kept.
func panels(t interface{ Fatal(...any) }, size image.Point, tile, core, panel int) int {
	p := NewPyramid(size, tile, func(_, _ []byte, _, _, _ int) {})
	pix := make([]byte, core*core)
	for left := 0; left < size.X; left += core * panel {
		for y := 0; y < size.Y; y += core {
			for x := left; x < min(left+core*panel, size.X); x += core {
				r := image.Rect(x, y, x+core, y+core).Intersect(image.Rectangle{Max: size})
				if err := p.Write(r, core, pix); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	return p.High()
}

// tileBytes is what an open tile costs.
func tileBytes(tile int) int64 { return int64(tile*tile + 8*coveredWords(tile)) }

// checkBound checks that no more tiles are open than OpenBytes says.
func checkBound(t interface {
	Fatal(...any)
	Errorf(string, ...any)
}, size image.Point, tile, core, panel int,
) {
	high := panels(t, size, tile, core, panel)
	if bound := OpenBytes(size, tile, core, panel); int64(high)*tileBytes(tile) > bound {
		t.Errorf("%v, tile %d, core %d, panel %d: %d tiles were open, the bound is %d", size, tile, core, panel, high, bound/tileBytes(tile))
	}
}

func TestOpenBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tile := rapid.SampledFrom([]int{2, 4, 16}).Draw(t, "tile")
		core := rapid.IntRange(1, 6*tile).Draw(t, "core")
		if rapid.Bool().Draw(t, "whole tiles") {
			core = tile * rapid.IntRange(1, 8).Draw(t, "tiles in a core")
		}
		panel := rapid.IntRange(1, 8).Draw(t, "panel")
		checkBound(t, drawSize(t, 40*tile), tile, core, panel)
	})
}

// TestOpenBytesSweep goes through all cores up to several tiles, on images tall, wide and small.
func TestOpenBytesSweep(t *testing.T) {
	for _, size := range []image.Point{{28, 58}, {97, 131}, {131, 61}, {1, 200}, {200, 1}} {
		for _, tile := range []int{2, 8, 16} {
			for core := 1; core <= 3*tile+1; core++ {
				for panel := 1; panel <= 4; panel++ {
					checkBound(t, size, tile, core, panel)
				}
			}
		}
	}
}

// TestOpenBytesOfSlides states what runs pay, and that the bound is not far above what is needed. Tiles
// are 1/16 of what they are in a run, and so is everything else: only the ratios matter.
func TestOpenBytesOfSlides(t *testing.T) {
	for _, c := range []struct {
		size        image.Point
		core        int
		high, bound int // tiles
	}{
		{image.Pt(20000, 20000), 1024, 13, 54},
		{image.Pt(100000, 100000), 1024, 24, 81},
		{image.Pt(100000, 100000), 2048, 21, 72},
		{image.Pt(100000, 100000), 384, 123, 200}, // not a multiple of the tile; panels are
		{image.Pt(100000, 100000), 400, 792, 885}, // panels are not
		{image.Pt(20000, 100000), 256, 53, 124},
	} {
		high := panels(t, c.size.Div(16), 16, c.core/16, 8)
		bound := int(OpenBytes(c.size, 256, c.core, 8) / tileBytes(256))
		if high != c.high || bound != c.bound {
			t.Errorf("%v, core %d: %d tiles open, bound %d; want %d and %d", c.size, c.core, high, bound, c.high, c.bound)
		}
	}
}

// TestBytesOfHugeSlides: what a slide of 100k² and one of 1M² cost beside the tiles in flight.
func TestBytesOfHugeSlides(t *testing.T) {
	for _, c := range []struct {
		edge        int
		open, index int64 // at most, MiB
	}{{100_000, 5, 2}, {1_000_000, 15, 233}} {
		size := image.Pt(c.edge, c.edge)
		if got := OpenBytes(size, 256, 1024, 8) >> 20; got > c.open {
			t.Errorf("%v: %d MiB of open tiles, want %d at most", size, got, c.open)
		}
		if got := IndexBytes(size, 256) >> 20; got > c.index {
			t.Errorf("%v: %d MiB of index, want %d at most", size, got, c.index)
		}
	}
}
