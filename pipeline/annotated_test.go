package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microtome/internal/shared"
	"microtome/slide"
	"microtome/slide/slidetest"
	"microtome/unet/dataset"
)

// box is a GeoJSON feature of a square.
func box(class string, x, y, edge int) string {
	return fmt.Sprintf(`{"type": "Feature", "properties": {"objectType": "annotation", "classification": {"name": %q}}, "geometry":
		{"type": "Polygon", "coordinates": [[[%[2]d, %[3]d], [%[4]d, %[3]d], [%[4]d, %[5]d], [%[2]d, %[5]d], [%[2]d, %[3]d]]]}}`, class, x, y, x+edge, y+edge)
}

// annotate makes a data set of one slide, whose file is a link to path, or empty where path is "".
func annotate(t *testing.T, path string, features ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	at := filepath.Join(dir, "a"+filepath.Ext(path))
	if path == "" {
		if err := os.WriteFile(at+".svs", nil, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Symlink(path, at); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.geojson"), []byte("["+strings.Join(features, ", ")+"]"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Annotations count from the corner of the scanned area: what is drawn there is what is read, at the
// resolution of the slide, of a level, and of a resampled one.
func TestAnnotatedCountsFromTheScannedArea(t *testing.T) {
	scanned := image.Rect(40, 80, 1000, 1000)
	inside := image.Rect(40+16, 80+32, 40+80, 80+96) // region
	object := image.Rect(40+32, 80+48, 40+48, 80+64) // in it, black
	pixel := func(level, x, y int) [3]byte {
		if (image.Point{x << (2 * level), y << (2 * level)}).In(object) {
			return [3]byte{}
		}
		return [3]byte{200, byte(x), byte(y)}
	}
	for _, mpp := range []float64{0, 0.25, 1, 0.5} {
		cfg := dataset.NewDefaultConfig()
		cfg.MPP = mpp
		cfg.Open = func(_ context.Context, _ string, mpp, own float64) (*dataset.Slide, error) {
			r := slidetest.NewFake(pixel, image.Pt(1024, 1024), image.Pt(64, 64), 1, 4).WithBounds(scanned)
			return annotated(slide.New(r, slide.Config{CacheBytes: 1 << 20}), mpp, own)
		}
		set, err := dataset.Load(t.Context(), annotate(t, "", box("Region*", 16, 32, 64), box("tumour", 32, 48, 16)), cfg)
		if err != nil {
			t.Fatal(err)
		}
		m := set.Images[0]
		scale := max(mpp, 0.25) / 0.25
		if want := int(float64(inside.Dx()) / scale); m.W != want || m.H != want || m.Outside != nil || m.MPP != max(mpp, 0.25) {
			t.Fatalf("at %g µm: %d×%d pixels of %g µm, want %d", mpp, m.W, m.H, m.MPP, want)
		}
		black := 0
		for i, n := range m.Instances.Pix {
			if dark := m.Pix[3*i] < 100; dark != (n == 1) {
				t.Fatalf("at %g µm: pixel %d, %d is of instance %d and of red %d", mpp, i%m.W, i/m.W, n, m.Pix[3*i])
			}
			black += int(n)
		}
		if want := int(256 / scale / scale); black != want {
			t.Errorf("at %g µm: an object of %d pixels, want %d", mpp, black, want)
		}
	}
}

func TestOpenAnnotated(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for i := range m.Pix {
		m.Pix[i] = byte(i/4) | 255*byte(i%4/3)
	}
	m.Set(12, 11, color.RGBA{1, 2, 3, 255})
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "slide.png")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := dataset.NewDefaultConfig()
	cfg.Open = OpenAnnotated
	dir := annotate(t, path, box("Region*", 12, 11, 4), box("tumour", 13, 12, 2))
	set, err := dataset.Load(t.Context(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := set.Images[0]
	if got.W != 4 || !bytes.Equal(got.Pix[:3], []byte{1, 2, 3}) || got.Count != 1 || got.MPP != 0 || !slices.Equal(set.ClassNames, []string{"background", "tumour"}) {
		t.Errorf("%d×%d pixels, %v first, %d objects, %v", got.W, got.H, got.Pix[:3], got.Count, set.ClassNames)
	}

	// A slide that does not state its pixel size needs to be told.
	cfg.MPP = 0.5
	if _, err := dataset.Load(t.Context(), dir, cfg); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "a.png")) || !strings.Contains(err.Error(), `"mpp" in index.json`) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"a": {"mpp": 0.25}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if set, err = dataset.Load(t.Context(), dir, cfg); err != nil {
		t.Fatal(err)
	}
	if got := set.Images[0]; got.W != 2 || got.MPP != 0.5 {
		t.Errorf("%d×%d pixels of %g µm", got.W, got.H, got.MPP)
	}
	cfg.MPP = 0
	if set, err = dataset.Load(t.Context(), dir, cfg); err != nil || set.Images[0].MPP != 0.25 || set.Images[0].W != 4 {
		t.Errorf("level 0: %v", err)
	}
	if _, err := OpenAnnotated(t.Context(), filepath.Join(dir, "b.svs"), 0.5, 0); err == nil {
		t.Error("a slide that is not there opens")
	}
}

func TestOpenAnnotatedReal(t *testing.T) {
	path, err := filepath.Abs(shared.File(t, "slides/CMU-1-Small-Region.svs"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := dataset.NewDefaultConfig()
	cfg.Open, cfg.MPP = OpenAnnotated, 0.998
	set, err := dataset.Load(t.Context(), annotate(t, path, box("Region*", 200, 400, 512), box("tumour", 300, 500, 20)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := set.Images[0]
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v, err := s.AtMPP(0.998, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3*256*256)
	if err := v.Read(t.Context(), want, image.Rect(100, 200, 356, 456)); err != nil {
		t.Fatal(err)
	}
	if m.W != 256 || m.H != 256 || !bytes.Equal(m.Pix, want) || m.Count != 1 || m.Instances.At(50, 50) != 1 || m.Instances.At(49, 50) != 0 {
		t.Errorf("%d×%d pixels, %d objects", m.W, m.H, m.Count)
	}
}
