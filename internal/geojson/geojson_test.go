package geojson

import (
	"fmt"
	"image"
	"math"
	"strings"
	"testing"
)

func square(x, y, edge float64) string {
	return fmt.Sprintf(`{"type": "Polygon", "coordinates": [[[%[1]g, %[2]g], [%[3]g, %[2]g], [%[3]g, %[4]g], [%[1]g, %[4]g], [%[1]g, %[2]g]]]}`, x, y, x+edge, y+edge)
}

func drawing(kind, class, geometry string) string {
	return fmt.Sprintf(`{"type": "Feature", "id": "c5a9", "geometry": %s, "properties": {"objectType": %q, "classification": {"name": %q}}}`, geometry, kind, class)
}

func cell(class, geometry string) string { return drawing("detection", class, geometry) }

func list(features ...string) string { return "[" + strings.Join(features, ", ") + "]" }

// Whatever the parser takes can be painted: outlines are closed, of three points or more, and finite.
func FuzzGeoJSON(f *testing.F) {
	for _, text := range []string{
		"", "null", "[]", "{}", "[{]", `{"type": "FeatureCollection", "features": []}`,
		cell("x", square(1, 1, 4)), list(cell("", square(1, 1, 4)), drawing("annotation", "Region*", square(0, 0, 9))),
		`{"features": ` + list(cell("", square(-3, 1, 4))) + `, "type": "FeatureCollection"}`,
		`[{"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [[[[0, 0, 1], [9, 0, 1], [0, 9, 1], [0, 0, 1]], [[1, 1], [2, 1], [1, 2], [1, 1]]]]}, "properties": {"classification": {"names": ["a", "b"]}, "object_type": "cell"}}]`,
		`[{"type": "Feature", "id": "PathDetectionObject", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}}]`,
	} {
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, nuclei bool) {
		Read(strings.NewReader(text), nuclei, func(o Object) error {
			for _, p := range o.Polygons {
				for _, ring := range p {
					if len(ring) < 4 || ring[0] != ring[len(ring)-1] {
						t.Fatalf("ring %v", ring)
					}
					for _, at := range ring {
						if !(math.Abs(at.X) <= math.MaxInt32 && math.Abs(at.Y) <= math.MaxInt32) {
							t.Fatalf("point %v", at)
						}
					}
				}
			}
			box := o.Bounds()
			o.Fill(image.Rect(-5, -5, 15, 15), func(y, x0, x1 int) {
				if !image.Rect(x0-5, y-5, x1-5, y-4).In(box) {
					t.Fatalf("row %d from %d to %d outside %v", y-5, x0-5, x1-5, box)
				}
			})
			if !(o.Area() > -math.MaxFloat64 && o.Area() < math.MaxFloat64) || len(o.Polygons) == 0 {
				t.Fatalf("area %g of %d polygons", o.Area(), len(o.Polygons))
			}
			return nil
		})
	})
}

func TestGeoJSONOfQuPath(t *testing.T) {
	geometry := square(0, 0, 2)
	for text, want := range map[string]Object{
		`{"type": "Feature", "geometry": ` + geometry + `, "properties": {"objectType": "detection", "classification": {"name": "Tumor", "colorRGB": -1}}}`:               {Detected: true, Class: "Tumor"},
		`{"type": "Feature", "geometry": ` + geometry + `, "properties": {"objectType": "cell", "classification": {"names": ["Tumor", "Positive"], "color": [1, 2, 3]}}}`: {Detected: true, Class: "Tumor: Positive"},
		`{"type": "Feature", "geometry": ` + geometry + `, "properties": {"object_type": "annotation", "name": "a", "classification": null}}`:                             {},
		`{"type": "Feature", "id": "PathDetectionObject", "geometry": ` + geometry + `, "properties": null}`:                                                              {Detected: true},
		`{"type": "Feature", "id": 12, "geometry": ` + geometry + `}`:                                                                                                     {},
	} {
		found := 0
		err := Read(strings.NewReader(text), false, func(o Object) error {
			if found++; o.Detected != want.Detected || o.Class != want.Class || o.Area() != 4 {
				t.Errorf("%s: %+v", text, o)
			}
			return nil
		})
		if err != nil || found != 1 {
			t.Errorf("%s: %d objects, %v", text, found, err)
		}
	}
}

// Objects are handed on one at a time: a document that is damaged at its end has given what came before.
func TestGeoJSONStreams(t *testing.T) {
	found := 0
	err := Read(strings.NewReader(`{"features": [`+cell("", square(0, 0, 2))+`, `+cell("", square(0, 0, 2))+`, oops`), false, func(Object) error {
		found++
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "feature 3") || found != 2 {
		t.Errorf("%d objects, %v", found, err)
	}
}
