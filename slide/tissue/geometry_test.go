package tissue_test

import (
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microtome/internal/raster"
	"microtome/slide"
	"microtome/slide/slidetest"
	"microtome/slide/tissue"

	"pgregory.net/rapid"
)

// blank is a white slide at a working resolution.
func blank(t interface{ Fatal(...any) }, size image.Point, bounds image.Rectangle, mpp float64) *slide.View {
	white := func(int, int, int) [3]byte { return [3]byte{255, 255, 255} }
	v, err := slide.New(slidetest.NewFake(white, size, image.Pt(256, 256), 1, 4).WithBounds(bounds), slide.Config{}).AtMPP(mpp, 0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A polygon's tissue touches every rectangle that the polygon has a part in, Contains and Pixels agree,
// Bounds holds it all, and it is not much larger than the polygon.
func TestGeometry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.geojson")
	rapid.Check(t, func(t *rapid.T) {
		number := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
		size := image.Pt(number(300, 3000, "width"), number(300, 3000, "height"))
		bounds := image.Rect(number(0, 100, "x"), number(0, 100, "y"), size.X, size.Y)
		mpp := rapid.Float64Range(0.2, 3).Draw(t, "mpp")
		v := blank(t, size, bounds, mpp)
		var corner [3]raster.Point
		text := ""
		for i := range corner {
			p := raster.Point{X: rapid.Float64Range(0, float64(bounds.Dx())).Draw(t, "px"), Y: rapid.Float64Range(0, float64(bounds.Dy())).Draw(t, "py")}
			text += fmt.Sprintf("[%v, %v], ", p.X, p.Y)
			corner[i] = raster.Point{X: p.X + float64(bounds.Min.X), Y: p.Y + float64(bounds.Min.Y)}
		}
		first, _, _ := strings.Cut(text, "],")
		text = fmt.Sprintf(`{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[%s%s]]]}}`, text, first)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := tissue.FromGeoJSON(path, v)
		if err != nil {
			t.Fatal(err)
		}
		full, down := image.Rectangle{Max: v.Size()}, v.Downsample()
		for range 20 { // places in the triangle
			a, b := rapid.Float64Range(0, 1).Draw(t, "a"), rapid.Float64Range(0, 1).Draw(t, "b")
			if a+b > 1 {
				a, b = 1-a, 1-b
			}
			at := image.Pt(int((corner[0].X+a*(corner[1].X-corner[0].X)+b*(corner[2].X-corner[0].X))/down), int((corner[0].Y+a*(corner[1].Y-corner[0].Y)+b*(corner[2].Y-corner[0].Y))/down))
			if !at.In(full) {
				continue // the last part of a pixel that rounding has cut off
			}
			r := image.Rectangle{Min: at, Max: at.Add(image.Pt(1, 1))}
			if !found.Touches(r) || !found.Touches(r.Inset(-number(0, 50, "larger"))) {
				t.Fatalf("%v is in %v and not touched", at, corner)
			}
			if !r.In(found.Bounds()) {
				t.Fatalf("%v is in %v and not in %v", at, corner, found.Bounds())
			}
		}
		r := image.Rect(number(-9, v.Size().X, "x0"), number(-9, v.Size().Y, "y0"), number(-9, v.Size().X+9, "x1"), number(-9, v.Size().Y+9, "y1"))
		if r.Dx() > 90 {
			r.Max.X = r.Min.X + 90
		}
		if r.Dy() > 90 {
			r.Max.Y = r.Min.Y + 90
		}
		pixels := int64(0)
		far := math.Hypot(16, 16) + 4*down // a cell is 6 pixels of level 0 at most
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if !found.Contains(x, y) {
					continue
				}
				pixels++
				if !image.Pt(x, y).In(found.Bounds()) {
					t.Fatalf("%d, %d is tissue and not in %v", x, y, found.Bounds())
				}
				if at := (raster.Point{X: (float64(x) + 0.5) * down, Y: (float64(y) + 0.5) * down}); distance(at, corner) > far {
					t.Fatalf("%v is tissue and far from %v", at, corner)
				}
			}
		}
		if got := found.Pixels(r); got != pixels {
			t.Fatalf("%d pixels of %v are tissue, Pixels says %d", pixels, r, got)
		}
		if pixels > 0 && !found.Touches(r) {
			t.Fatalf("%v has %d pixels of tissue and does not touch it", r, pixels)
		}
	})
}

// distance returns how far p is from a triangle, 0 inside.
func distance(p raster.Point, c [3]raster.Point) float64 {
	d, left, right := math.Inf(1), false, false
	for i, a := range c {
		b := c[(i+1)%3]
		x, y := b.X-a.X, b.Y-a.Y
		k := 0.0
		if n := x*x + y*y; n > 0 {
			k = min(max(((p.X-a.X)*x+(p.Y-a.Y)*y)/n, 0), 1)
		}
		d = min(d, math.Hypot(a.X+k*x-p.X, a.Y+k*y-p.Y))
		cross := x*(p.Y-a.Y) - y*(p.X-a.X)
		left, right = left || cross > 0, right || cross < 0
	}
	if !left || !right {
		return 0
	}
	return d
}

func TestEverything(t *testing.T) {
	v := blank(t, image.Pt(1001, 703), image.Rect(0, 0, 1001, 703), 0.6)
	found := tissue.Everything(v)
	full := image.Rectangle{Max: v.Size()}
	if found.Pixels(full) != int64(full.Dx()*full.Dy()) || found.Bounds() != full || !found.Touches(image.Rect(full.Max.X-1, full.Max.Y-1, full.Max.X, full.Max.Y)) {
		t.Errorf("%v of %v, %d pixels", found.Bounds(), full, found.Pixels(full))
	}
	if found.Touches(image.Rect(-9, -9, 0, 0)) || found.Touches(image.Rectangle{}) {
		t.Error("there is tissue outside of the slide")
	}
}

func TestWrongDrawings(t *testing.T) {
	square := func(x int, class string) string {
		return fmt.Sprintf(`{"type": "Feature", "properties": {"classification": {"name": %q}}, "geometry": {"type": "Polygon", "coordinates": [[[%[2]d, 5], [%[3]d, 5], [%[3]d, 9], [%[2]d, 5]]]}}`, class, x, x+9)
	}
	v := blank(t, image.Pt(500, 500), image.Rect(0, 0, 500, 500), 0.25)
	for text, want := range map[string]string{
		"":                               "export it again",
		"[]":                             "no tissue among 0 objects",
		"[" + square(9, "Ignore*") + "]": "no tissue among 1 objects",
		"[" + square(700, "") + "]":      "nothing of it lies on fake",
	} {
		path := filepath.Join(t.TempDir(), "a.geojson")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tissue.FromGeoJSON(path, v); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a.geojson") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := tissue.FromGeoJSON("nowhere.geojson", v); !os.IsNotExist(err) {
		t.Error(err)
	}
}
