package pipeline

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microtome/bench/synthetic"
	"microtome/internal/shared"
	"microtome/sink"
	"microtome/slide"
	"microtome/slide/slidetest"
	"microtome/unet"
)

// A network for these tests, saved where Open finds it.
func saveModel(t *testing.T, a unet.Architecture) string {
	t.Helper()
	data, err := a.ONNX()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func openModel(t testing.TB, name string) interface {
	unet.Model
	unet.LogitsModel
} {
	t.Helper()
	shared.Runtime(t, func() error {
		_, _, err := unet.Libraries(unet.Config{})
		return err
	})
	m, err := unet.OpenLogits(name, unet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// segmentFile runs the whole pipeline and returns the folder of the slide's results.
func segmentFile(t *testing.T, m unet.Model, path string, set func(*Config)) string {
	t.Helper()
	cfg := NewDefaultConfig()
	cfg.Out = t.TempDir()
	set(&cfg)
	var end SlideEnd
	p := Pipeline{Model: m, Config: cfg, Events: Events{SlideEnd: func(e SlideEnd) { end = e }}}
	if err := p.Run(t.Context(), Items(slide.Find(slide.FindConfig{}, path))); err != nil {
		t.Fatal(err)
	}
	return end.Dir
}

func syntheticSlide(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "synthetic.svs")
	if err := synthetic.WriteSlide(t.Context(), path, filepath.Join(t.TempDir(), "truth.tif"), synthetic.Config{Size: size, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	return path
}

// readLabels reads level 0 of a mask through libvips, which shows grey as three equal channels.
func readLabels(t *testing.T, path string) (labels []byte, size image.Point) {
	t.Helper()
	rgb, size := slidetest.ReadFile(t, path)
	for i := 0; i < len(rgb); i += 3 {
		labels = append(labels, rgb[i])
	}
	return labels, size
}

// slides gives the test a synthetic slide, and the real one where it is there.
func slides(t *testing.T, test func(t *testing.T, path string)) {
	t.Run("synthetic", func(t *testing.T) { test(t, syntheticSlide(t, 701)) })
	t.Run("CMU-1-Small-Region", func(t *testing.T) {
		if testing.Short() {
			t.Skip("slow: a real slide several times")
		}
		test(t, shared.File(t, "slides/CMU-1-Small-Region.svs"))
	})
}

// TestMaskDoesNotDependOnWorkersOrTiles: the same bytes for any number of workers, the same labels for
// any tile.
func TestMaskDoesNotDependOnWorkersOrTiles(t *testing.T) {
	model := saveModel(t, unet.Architecture{Depth: 3, Base: 4, Classes: 2, Seed: 1, Card: unet.Card{MPP: 0.5}})
	slides(t, func(t *testing.T, path string) {
		m := openModel(t, model)
		var first []byte
		for _, workers := range []int{1, 2, 4, 8} {
			dir := segmentFile(t, m, path, func(c *Config) { c.Workers = workers })
			mask, err := os.ReadFile(filepath.Join(dir, maskFile))
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = mask
			}
			if !slices.Equal(mask, first) {
				t.Errorf("mask.tif with %d workers differs from the one with 1", workers)
			}
		}
		var labels []byte
		for _, tile := range []int{256, 512, 1024} {
			dir := segmentFile(t, m, path, func(c *Config) { c.Tile = tile })
			got, _ := readLabels(t, filepath.Join(dir, maskFile))
			if labels == nil {
				labels = got
			}
			if !slices.Equal(got, labels) {
				t.Errorf("labels with --tile %d differ from those with 256", tile)
			}
		}
	})
}

// TestMaskEqualsWholeImage: a mask that went through the graph, the pyramid and the file equals one
// prediction over the whole slide, mirrored by hand.
func TestMaskEqualsWholeImage(t *testing.T) {
	for name, a := range map[string]unet.Architecture{
		"valid":       {Depth: 4, Base: 3, Classes: 2, Seed: 6, Card: unet.Card{MPP: 0.5}},
		"same linear": {Depth: 3, Base: 4, Classes: 2, Seed: 14, Card: unet.Card{MPP: 0.5}, Same: true, Up: unet.Linear},
	} {
		t.Run(name, func(t *testing.T) {
			slides(t, func(t *testing.T, path string) {
				m := openModel(t, saveModel(t, a))
				got, size := readLabels(t, filepath.Join(segmentFile(t, m, path, func(c *Config) { c.Tile, c.Tissue = 256, TissueOff }), maskFile))
				want := wholeLabels(t, m, path)
				if len(want) != len(got) {
					t.Fatalf("%d labels, the slide has %d pixels", len(got), len(want))
				}
				var share [2]int
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("label at (%d, %d) is %d, whole-image inference says %d", i%size.X, i/size.X, got[i], want[i])
					}
					share[want[i]]++
				}
				for label, n := range share { // or the comparison would be blind
					if n*20 < len(want) {
						t.Errorf("label %d has only %d of %d pixels", label, n, len(want))
					}
				}
			})
		})
	}
}

// wholeLabels labels a slide in one prediction. The slide is read in one piece and mirrored here, pixel
// by pixel, so that nothing of slide's tiling or mirroring is used.
func wholeLabels(t *testing.T, m unet.Model, path string) []byte {
	t.Helper()
	rgb, size := slidetest.ReadFile(t, path)
	g := m.Spec().Geometry
	core := roundUp(max(size.X, size.Y), g.Stride)
	edge := g.Input(core)
	in := make([]byte, 3*edge*edge)
	for y := range edge {
		for x := range edge {
			sx, sy := mirrored(x-g.Before, size.X), mirrored(y-g.Before, size.Y)
			copy(in[3*(y*edge+x):], rgb[3*(sy*size.X+sx):][:3])
		}
	}
	out := make([]byte, core*core)
	if err := m.Predict(t.Context(), 1, in, out); err != nil {
		t.Fatal(err)
	}
	labels := make([]byte, 0, size.X*size.Y)
	for y := range size.Y {
		labels = append(labels, out[y*core:][:size.X]...)
	}
	return labels
}

// TestRunLeavesNothingAfterAFault: with real files on disk, a fault in the network at any tile, an ended
// context, and a file in the way leave neither results nor temporary files.
func TestRunLeavesNothingAfterAFault(t *testing.T) {
	path := syntheticSlide(t, 600)
	for failAt := int64(1); failAt <= 9; failAt++ {
		m := &fakeModel{failAt: failAt, err: errInjected}
		cfg := NewDefaultConfig()
		cfg.Out, cfg.Tile = filepath.Join(t.TempDir(), "out"), 256
		err := (&Pipeline{Model: m, Config: cfg}).Run(t.Context(), Items(slide.Find(slide.FindConfig{}, path)))
		var se *StageError
		if !errors.As(err, &se) || se.Stage != "infer" || se.Slide != path || se.Tile.Empty() || !errors.Is(err, errInjected) {
			t.Errorf("tile %d: error %v", failAt, err)
		}
		expectNothing(t, cfg.Out)
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cfg := NewDefaultConfig()
		cfg.Out, cfg.Tile = filepath.Join(t.TempDir(), "out"), 64
		stop := Events{TileDone: func(TileDone) { cancel(errInjected) }}
		if err := (&Pipeline{Model: &fakeModel{}, Config: cfg, Events: stop}).Run(ctx, Items(slide.Find(slide.FindConfig{}, path))); !errors.Is(err, errInjected) {
			t.Errorf("error %v", err)
		}
		expectNothing(t, cfg.Out)
	})
	for _, name := range []string{maskFile, overlayFile, summaryFile} {
		t.Run(name+" in the way", func(t *testing.T) {
			cfg := NewDefaultConfig()
			cfg.Out = filepath.Join(t.TempDir(), "out")
			cfg.Force = true
			dir := filepath.Join(cfg.Out, "synthetic")
			if err := os.MkdirAll(filepath.Join(dir, name, "full"), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := (&Pipeline{Model: &fakeModel{}, Config: cfg}).Run(t.Context(), Items(slide.Find(slide.FindConfig{}, path))); err == nil {
				t.Fatal("a folder was overwritten")
			}
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			expectNothing(t, cfg.Out)
		})
	}
}

// expectNothing fails the test when there is a file in the output folder, but for the journals by which another
// run would go on.
func expectNothing(t *testing.T, out string) {
	t.Helper()
	err := filepath.WalkDir(out, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(p, filepath.Join(sink.PartialDir, "journal")) {
			return fmt.Errorf("%s was left behind", p)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
