package synthetic

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"image"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"microtome/sink"
	"microtome/slide"
	"microtome/slide/slidetest"
)

func write(t *testing.T, c Config) (slidePath, truthPath string) {
	t.Helper()
	dir := t.TempDir()
	slidePath, truthPath = filepath.Join(dir, "slide.svs"), filepath.Join(dir, "truth.tif")
	if err := WriteSlide(t.Context(), slidePath, truthPath, c); err != nil {
		t.Fatal(err)
	}
	return slidePath, truthPath
}

// TestSlideIsAperio: OpenSlide takes it for an Aperio slide, with all its levels and its resolution.
func TestSlideIsAperio(t *testing.T) {
	path, _ := write(t, Config{Size: 1000, Seed: 7})
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i := s.Info()
	if i.Vendor != "aperio" || i.MPP != mpp || i.Objective != 20 || i.Levels[0].Size != image.Pt(1000, 1000) {
		t.Errorf("vendor %q, %g µm/px, %g×, level 0 %v", i.Vendor, i.MPP, i.Objective, i.Levels[0].Size)
	}
	if len(i.Levels) != 3 {
		t.Errorf("%d levels, want 1000, 500 and 250 px", len(i.Levels))
	}
}

// TestSeedDecides: the seed makes the bytes of all three files, and the number of processors does not.
func TestSeedDecides(t *testing.T) {
	sum := func(c Config, processors int) [32]byte {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		path, truth := write(t, c)
		all := sha256.New()
		for _, name := range []string{path, truth, TableOf(truth)} {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(data)
		}
		return [32]byte(all.Sum(nil))
	}
	for _, size := range []int{200, 300, 2300} {
		first := sum(Config{Size: size, Seed: 1}, 1)
		for _, processors := range []int{2, 5} {
			if sum(Config{Size: size, Seed: 1}, processors) != first {
				t.Errorf("%d px: the same seed gave another slide with %d processors", size, processors)
			}
		}
		if sum(Config{Size: size, Seed: 2}, 2) == first {
			t.Errorf("%d px: another seed gave the same slide", size)
		}
	}
}

// TestInterruptionLeavesNothing: neither files nor folders, whenever it comes.
func TestInterruptionLeavesNothing(t *testing.T) {
	cause := errors.New("enough")
	for _, after := range []float64{0, 0.5, 1} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancelCause(t.Context())
		err := WriteSlideProgress(ctx, filepath.Join(dir, "a.svs"), filepath.Join(dir, "a-truth.tif"), Config{Size: 5000, Seed: 1}, func(part float64) {
			if part >= after {
				cancel(cause)
			}
		})
		left, _ := os.ReadDir(dir)
		if !errors.Is(err, cause) || len(left) > 0 {
			t.Errorf("interrupted after %g: %v, and %v is left", after, err, left)
		}
	}
}

// TestPaintJoins: a pixel does not depend on the rectangle it is painted with, beside an edge of tissue or
// across cells.
func TestPaintJoins(t *testing.T) {
	p := &painter{scene: newScene(Config{Size: 1000, Seed: 5})}
	for _, whole := range []image.Rectangle{image.Rect(430, 400, 700, 600), image.Rect(-30, 300, 300, 520), image.Rect(900, 0, 1030, 1030)} {
		rgb, truth := make([]byte, 3*whole.Dx()*whole.Dy()), make([]byte, whole.Dx()*whole.Dy())
		p.paint(rgb, truth, whole)
		if n := bytes.Count(truth, []byte{1}); n < len(truth)/100 && whole.Max.X < 1000 {
			t.Fatalf("only %d pixels of nuclei in %v: the test would be blind", n, whole)
		}
		rapid.Check(t, func(t *rapid.T) {
			w, h := rapid.IntRange(1, 90).Draw(t, "width"), rapid.IntRange(1, 90).Draw(t, "height")
			x0, y0 := rapid.IntRange(whole.Min.X, whole.Max.X-w).Draw(t, "x"), rapid.IntRange(whole.Min.Y, whole.Max.Y-h).Draw(t, "y")
			partRGB, partTruth := make([]byte, 3*w*h), make([]byte, w*h)
			p.paint(partRGB, partTruth, image.Rect(x0, y0, x0+w, y0+h))
			for y := range h {
				at := (y0+y-whole.Min.Y)*whole.Dx() + x0 - whole.Min.X
				if !bytes.Equal(partTruth[y*w:][:w], truth[at:][:w]) || !bytes.Equal(partRGB[3*y*w:][:3*w], rgb[3*at:][:3*w]) {
					t.Fatalf("row %d of %d × %d at (%d, %d) differs from the whole", y, w, h, x0, y0)
				}
			}
		})
	}
}

// TestAnySeedHasAll: whatever the seed and size there is glass, stroma and nuclei.
func TestAnySeedHasAll(t *testing.T) {
	for _, size := range []int{200, 300, 1024, 3500} {
		for seed := range uint64(6) {
			p := &painter{scene: newScene(Config{Size: size, Seed: seed})}
			rgb, truth := make([]byte, 3*size*size), make([]byte, size*size)
			p.paint(rgb, truth, image.Rect(0, 0, size, size))
			var nuclei, glass, stroma int
			for i, l := range truth {
				r, g := rgb[3*i], rgb[3*i+1]
				switch {
				case l == 1:
					nuclei++
				case r > 230 && g > 230:
					glass++
				case g < 190:
					stroma++
				}
			}
			if n := size * size; glass < n/5 || stroma < n/10 || nuclei < n/300 {
				t.Errorf("size %d, seed %d: of %d pixels %d are glass, %d stained, %d nuclei", size, seed, n, glass, stroma, nuclei)
			}
		}
	}
}

// TestTruthIsTheNuclei: where the truth says nucleus the slide is darker in red, as haematoxylin is.
func TestTruthIsTheNuclei(t *testing.T) {
	slidePath, truthPath := write(t, Config{Size: 512, Seed: 1})
	red, label := channel(t, slidePath), channel(t, truthPath)
	var sum, n [2]float64
	for i, l := range label {
		if l > 1 {
			t.Fatalf("label %d in the truth", l)
		}
		sum[l] += float64(red[i])
		n[l]++
	}
	if n[1] == 0 || sum[1]/n[1] > sum[0]/n[0]-60 {
		t.Errorf("%v pixels, mean red %.0f outside of nuclei and %.0f inside", n, sum[0]/n[0], sum[1]/n[1])
	}
}

// channel returns the first channel of a file's level 0.
func channel(t *testing.T, path string) []byte {
	t.Helper()
	rgb, _ := slidetest.ReadFile(t, path)
	var first []byte
	for i := 0; i < len(rgb); i += 3 {
		first = append(first, rgb[i])
	}
	return first
}

func TestIoU(t *testing.T) {
	mask := func(size image.Point, r image.Rectangle, label byte) string {
		path := filepath.Join(t.TempDir(), "mask.tif")
		file, err := sink.CreateTIFF(sink.Disk, path, sink.TIFFConfig{Size: size, Tile: 256, Compression: "lzw"})
		if err != nil {
			t.Fatal(err)
		}
		pix := make([]byte, size.X*size.Y)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				pix[y*size.X+x] = label
			}
		}
		p := sink.NewPyramid(size, 256, sink.Majority, file)
		if err := p.Write(image.Rectangle{Max: size}, size.X, pix); err != nil {
			t.Fatal(err)
		}
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	size := image.Pt(1100, 30) // wider than one read
	for _, c := range []struct {
		name string
		a, b image.Rectangle
		want float64
	}{
		{"equal", image.Rect(1000, 0, 1100, 10), image.Rect(1000, 0, 1100, 10), 1},
		{"half", image.Rect(1000, 0, 1100, 10), image.Rect(1000, 0, 1100, 20), 0.5},
		{"apart", image.Rect(0, 0, 10, 10), image.Rect(20, 0, 30, 10), 0},
		{"both empty", image.Rectangle{}, image.Rectangle{}, 1},
	} {
		got, err := IoU(t.Context(), mask(size, c.a, 1), mask(size, c.b, 3))
		if err != nil || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %g, %v; want %g", c.name, got, err, c.want)
		}
	}
	if _, err := IoU(t.Context(), mask(size, image.Rectangle{}, 1), mask(image.Pt(30, 30), image.Rectangle{}, 1)); err == nil {
		t.Error("masks of different sizes were compared")
	}
}

func TestValidate(t *testing.T) {
	for _, size := range []int{0, 63, 1<<20 + 1} {
		if (Config{Size: size}).Validate() == nil {
			t.Errorf("a slide of %d pixels was accepted", size)
		}
	}
}
