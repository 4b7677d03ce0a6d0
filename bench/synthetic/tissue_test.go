package synthetic

import (
	"bytes"
	"crypto/sha256"
	"image"
	"math"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"microtome/sink"
	"microtome/slide"
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

func TestSeedDecides(t *testing.T) {
	sum := func(c Config) [32]byte {
		path, _ := write(t, c)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(data)
	}
	first := sum(Config{Size: 300, Seed: 1})
	if sum(Config{Size: 300, Seed: 1}) != first {
		t.Error("the same seed gave another slide")
	}
	if sum(Config{Size: 300, Seed: 2}) == first {
		t.Error("another seed gave the same slide")
	}
}

// TestRenderJoins: a pixel does not depend on the square it is rendered with.
func TestRenderJoins(t *testing.T) {
	const size = 200
	p := &painter{scene: newScene(Config{Size: size, Seed: 5})}
	rgb, truth := make([]byte, 3*size*size), make([]byte, size*size)
	p.paint(rgb, truth, image.Rect(0, 0, size, size))
	if n := bytes.Count(truth, []byte{1}); n < size*size/50 {
		t.Fatalf("only %d pixels of nuclei: the test would be blind", n)
	}
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.IntRange(1, 60).Draw(t, "edge")
		x0, y0 := rapid.IntRange(0, size-edge).Draw(t, "x"), rapid.IntRange(0, size-edge).Draw(t, "y")
		partRGB, partTruth := make([]byte, 3*edge*edge), make([]byte, edge*edge)
		p.paint(partRGB, partTruth, image.Rect(x0, y0, x0+edge, y0+edge))
		for y := range edge {
			at := (y0+y)*size + x0
			if !bytes.Equal(partTruth[y*edge:][:edge], truth[at:][:edge]) || !bytes.Equal(partRGB[3*y*edge:][:3*edge], rgb[3*at:][:3*edge]) {
				t.Fatalf("row %d of the square of %d at (%d, %d) differs from the whole", y, edge, x0, y0)
			}
		}
	})
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
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v, err := s.AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	rgb := make([]byte, 3*v.Size().X*v.Size().Y)
	if err := v.Read(t.Context(), rgb, image.Rectangle{Max: v.Size()}); err != nil {
		t.Fatal(err)
	}
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
