package slidetest

import (
	"image"
	"testing"

	"microtome/slide"
)

// ReadFile returns the RGB bytes of level 0 of a slide, or of a mask, row by row.
func ReadFile(t testing.TB, path string) ([]byte, image.Point) {
	t.Helper()
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // only read
	v, err := s.AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	rgb := make([]byte, 3*v.Size().X*v.Size().Y)
	if err := v.Read(t.Context(), rgb, image.Rectangle{Max: v.Size()}); err != nil {
		t.Fatal(err)
	}
	return rgb, v.Size()
}
