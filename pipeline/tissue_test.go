package pipeline

import (
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"microtome/sink"
	"microtome/slide"
	"microtome/slide/slidetest"
	"microtome/unet"
)

// island is a slide of glass with an island of tissue, of 0.25 µm a pixel, off the squares of 256 px.
var (
	islandSize = image.Pt(2300, 1700)
	island     = image.Rect(900, 700, 1380, 1010)
)

func islandPixel(_, x, y int) [3]byte {
	noise := byte(uint32(x*7919+y*104729) >> 3 % 5)
	if image.Pt(x, y).In(island) {
		h := byte(uint32(x*2654435761^y*40503) >> 9 % 90)
		return [3]byte{150 + h/2, 60 + h, 140 + h/3}
	}
	return [3]byte{240 + noise, 239 + noise, 241 + noise}
}

// segmentFake runs the whole pipeline over a fake slide and returns its labels and its summary.
func segmentFake(t *testing.T, m unet.Model, open openSlideFunc, set func(*Config)) ([]byte, *sink.Summary, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake.svs")
	if err := os.WriteFile(path, []byte("pixels come from elsewhere"), 0o666); err != nil {
		t.Fatal(err)
	}
	cfg := NewDefaultConfig()
	cfg.Out, cfg.Level = t.TempDir(), 0
	set(&cfg)
	var end SlideEnd
	p := Pipeline{Model: m, Config: cfg, OpenSlide: open, Events: Events{SlideEnd: func(e SlideEnd) { end = e }}}
	if err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, path))); err != nil {
		t.Fatal(err)
	}
	labels, _ := readLabels(t, filepath.Join(end.Dir, maskFile))
	file, err := os.ReadFile(filepath.Join(end.Dir, maskFile))
	if err != nil {
		t.Fatal(err)
	}
	return labels, end.Summary, file
}

// TestTissueDecidesBySquares: in the squares of 256 px that touch tissue labels are those of a run that looks
// everywhere, elsewhere they are background, whatever the tiles; and the counts add up. The networks take tiles of any size, and squares only.
func TestTissueDecidesBySquares(t *testing.T) {
	for name, m := range map[string]unet.Model{
		"any size": openModel(t, saveModel(t, unet.Architecture{Depth: 3, Base: 4, Classes: 2, Seed: 1, Same: true})),
		"squares":  &fakeModel{},
	} {
		t.Run(name, func(t *testing.T) {
			open := func(_ string, cfg slide.Config) (*slide.Slide, error) {
				return slide.New(slidetest.NewFake(islandPixel, islandSize, image.Pt(128, 128), 1, 16), cfg), nil
			}
			all, _, _ := segmentFake(t, m, open, func(c *Config) { c.Tissue, c.Tile = TissueOff, 512 })
			asked := func(x, y int) bool { // by hand: the margin is 200 px, tissue is found in cells of 32 px at most
				far := island.Inset(-200 - 2*32)
				return image.Rect(x/256*256, y/256*256, x/256*256+256, y/256*256+256).Overlaps(far)
			}
			var first []byte
			for _, tile := range []int{256, 512, 1024, 320} {
				labels, s, _ := segmentFake(t, m, open, func(c *Config) { c.Tile = tile })
				in := 0
				for i, l := range labels {
					x, y := i%islandSize.X, i/islandSize.X
					if l != 0 && l != all[i] {
						t.Fatalf("tile %d: label at (%d, %d) is %d, without tissue %d", tile, x, y, l, all[i])
					}
					dx, dy := max(island.Min.X-x, x-island.Max.X, 0), max(island.Min.Y-y, y-island.Max.Y, 0)
					if l == 0 && all[i] != 0 && dx*dx+dy*dy < 200*200 {
						t.Fatalf("tile %d: label %d at (%d, %d), near tissue, is lost", tile, all[i], x, y)
					}
					if l != 0 && !asked(x, y) {
						t.Fatalf("tile %d: label at (%d, %d), far from tissue, is %d", tile, x, y, l)
					}
					in += int(l)
				}
				if in == 0 {
					t.Error("nothing was labelled")
				}
				if first == nil {
					first = labels
				} else if !slices.Equal(labels, first) {
					t.Errorf("labels with tiles of %d px differ from those with 256", tile)
				}
				c := s.Coverage
				if c.Inferred+c.Skipped != c.Expected || c.Expected != int64(len(labels)) || c.Skipped < c.Expected/2 || c.Tissue >= c.Inferred || c.Tissue == 0 {
					t.Errorf("tile %d: coverage %+v", tile, c)
				}
				if s.Tissue.Source != TissueAuto || s.Tissue.MarginUM != 50 || s.Mask.Inferred >= s.Mask.Tiles && tile < 1024 {
					t.Errorf("tile %d: tissue %+v, %d of %d tiles", tile, s.Tissue, s.Mask.Inferred, s.Mask.Tiles)
				}
			}
		})
	}
}

// TestUnreadIsMarkedAndNoMore: where one block cannot be decoded, the pixels that the network decided by it have the label
// 255, and all others are as on the whole slide, whatever the tiles and the workers. Which these are is found out
// pixel by pixel.
func TestUnreadIsMarkedAndNoMore(t *testing.T) {
	size, block := image.Pt(700, 500), image.Pt(64, 64)
	for name, a := range map[string]unet.Architecture{
		"valid": {Depth: 3, Base: 3, Classes: 2, Seed: 6},
		"same":  {Depth: 3, Base: 4, Classes: 2, Seed: 1, Same: true},
	} {
		m := openModel(t, saveModel(t, a))
		g := m.Spec().Geometry
		for _, at := range []image.Point{{4, 3}, {0, 0}, {10, 7}} {
			t.Run(fmt.Sprintf("%s, block %v", name, at), func(t *testing.T) {
				open := func(broken bool) openSlideFunc {
					return func(_ string, cfg slide.Config) (*slide.Slide, error) {
						f := slidetest.NewFake(slidetest.Noise, size, block, 1)
						f.Before = func(_, x, y int) error {
							if broken && image.Pt(x, y) == at {
								return errors.New("not a JPEG")
							}
							return nil
						}
						return slide.New(f, cfg), nil
					}
				}
				off := func(c *Config) { c.Tissue, c.MarkUnread = TissueOff, true }
				whole, _, _ := segmentFake(t, m, open(false), off)
				bad := image.Rectangle{Min: image.Pt(at.X*block.X, at.Y*block.Y), Max: image.Pt((at.X+1)*block.X, (at.Y+1)*block.Y)}.Intersect(image.Rectangle{Max: size})
				sees := func(p, n, lo, hi int) bool { // whether the network looks at [lo, hi) to decide p, of n pixels
					from := p - p%g.Stride
					for i := from - g.Before; i < from+g.Stride+g.After; i++ {
						if k := mirrored(i, n); k >= lo && k < hi {
							return true
						}
					}
					return false
				}
				across, down := make([]bool, size.X), make([]bool, size.Y)
				for x := range across {
					across[x] = sees(x, size.X, bad.Min.X, bad.Max.X)
				}
				for y := range down {
					down[y] = sees(y, size.Y, bad.Min.Y, bad.Max.Y)
				}
				var bytes []byte
				for _, c := range []struct{ tile, workers int }{{256, 1}, {256, 4}, {64, 2}, {512, 2}} {
					labels, s, file := segmentFake(t, m, open(true), func(cfg *Config) { off(cfg); cfg.Tile, cfg.Workers = c.tile, c.workers })
					marked := int64(0)
					for i, l := range labels {
						want := whole[i]
						if across[i%size.X] && down[i/size.X] {
							want = sink.Unread
							marked++
						}
						if l != want {
							t.Fatalf("tile %d: label at (%d, %d) is %d, want %d", c.tile, i%size.X, i/size.X, l, want)
						}
					}
					if s.Coverage.Unread != marked || s.Coverage.Inferred+marked != s.Coverage.Expected || len(s.Warnings) == 0 {
						t.Errorf("%d pixels are marked: %+v, warnings %q", marked, s.Coverage, s.Warnings)
					}
					if last := s.Classes[len(s.Classes)-1]; last.Label != sink.Unread || last.Pixels != marked {
						t.Errorf("class %+v", last)
					}
					if c.tile == 256 && bytes == nil {
						bytes = file
					} else if c.tile == 256 && !slices.Equal(bytes, file) {
						t.Error("the file depends on the workers")
					}
				}
			})
		}
	}
}

// TestMostlyUnreadFails: a slide of which more cannot be read than can is no result.
func TestMostlyUnreadFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fake.svs")
	if err := os.WriteFile(path, []byte("pixels come from elsewhere"), 0o666); err != nil {
		t.Fatal(err)
	}
	cfg := NewDefaultConfig()
	cfg.Out, cfg.Level, cfg.Tissue, cfg.MarkUnread = t.TempDir(), 0, TissueOff, true
	p := Pipeline{Model: &fakeModel{}, Config: cfg, OpenSlide: func(_ string, c slide.Config) (*slide.Slide, error) {
		f := slidetest.NewFake(slidetest.Noise, image.Pt(500, 400), image.Pt(64, 64), 1)
		f.Before = func(_, x, _ int) error {
			if x > 2 {
				return errors.New("not a JPEG")
			}
			return nil
		}
		return slide.New(f, c), nil
	}}
	var bad *slide.Error
	if err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, path))); !errors.As(err, &bad) {
		t.Errorf("error %v", err)
	}
	expectNothing(t, cfg.Out)
}
