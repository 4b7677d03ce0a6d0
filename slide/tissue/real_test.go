package tissue_test

import (
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"microtome/internal/shared"
	"microtome/slide"
	"microtome/slide/tissue"
)

// open opens a slide at level 0.
func open(t testing.TB, path string) *slide.View {
	t.Helper()
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	v, err := s.AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// look writes a picture of a slide with the outline of its tissue into the folder TISSUE_TEST_PICTURES,
// when it is set, for people.
func look(t testing.TB, v *slide.View, found *tissue.Tissue, name string) {
	dir := os.Getenv("TISSUE_TEST_PICTURES")
	if dir == "" {
		return
	}
	im, err := v.Slide().Thumbnail(t.Context(), 768)
	if err != nil {
		t.Fatal(err)
	}
	line := found.Outline(image.Rectangle{Max: v.Size()}, im.Rect.Size())
	for i, a := range line.Pix {
		if a != 0 {
			im.Set(i%im.Rect.Dx(), i/im.Rect.Dx(), color.RGBA{255, 255, 0, 255})
			im.Set(i%im.Rect.Dx()+1, i/im.Rect.Dx(), color.RGBA{0, 0, 0, 255})
		}
	}
	f, err := os.Create(filepath.Join(dir, name+".png"))
	if err == nil {
		err = errors.Join(png.Encode(f, im), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func find(t testing.TB, v *slide.View, cfg tissue.Config) *tissue.Tissue {
	t.Helper()
	found, err := tissue.Find(t.Context(), v, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRealSlides(t *testing.T) {
	for name, want := range map[string]tissue.Field{
		"CMU-1-Small-Region.svs": tissue.Bright, "OS-2-ndpi.ome.tif": tissue.Bright, "test3-DAPI-2-387.ndpi": tissue.Dark,
	} {
		t.Run(name, func(t *testing.T) {
			v := open(t, shared.File(t, "slides/"+name))
			for r, suffix := range map[tissue.Recall]string{tissue.First: "", tissue.Strict: "-strict", tissue.Safe: "-safe"} {
				cfg := tissue.NewDefaultConfig()
				cfg.Recall = r
				if r != tissue.First {
					cfg.Margin = 0
				}
				found := find(t, v, cfg)
				look(t, v, found, name+suffix)
				t.Logf("%s field %v found %+v focus %+v stain %+v pen %+v", suffix, found.Field, found.Found, found.Focus, found.Stain, found.Pen)
				if found.Field != want {
					t.Errorf("field %v", found.Field)
				}
			}
		})
	}
}
