package dataset

import (
	"image"
	"math"
	"strings"
	"testing"
)

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
		readGeoJSON(strings.NewReader(text), nuclei, func(o object) error {
			for _, p := range o.polygons {
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
			box := o.bounds()
			o.fill(image.Rect(-5, -5, 15, 15), func(y, x0, x1 int) {
				if !image.Rect(x0-5, y-5, x1-5, y-4).In(box) {
					t.Fatalf("row %d from %d to %d outside %v", y-5, x0-5, x1-5, box)
				}
			})
			if !(o.area() > -math.MaxFloat64 && o.area() < math.MaxFloat64) || len(o.polygons) == 0 {
				t.Fatalf("area %g of %d polygons", o.area(), len(o.polygons))
			}
			return nil
		})
	})
}

func TestGeoJSONOfQuPath(t *testing.T) {
	geometry := square(0, 0, 2)
	for text, want := range map[string]object{
		`{"type": "Feature", "geometry": ` + geometry + `, "properties": {"objectType": "detection", "classification": {"name": "Tumor", "colorRGB": -1}}}`:               {detected: true, class: "Tumor"},
		`{"type": "Feature", "geometry": ` + geometry + `, "properties": {"objectType": "cell", "classification": {"names": ["Tumor", "Positive"], "color": [1, 2, 3]}}}`: {detected: true, class: "Tumor: Positive"},
		`{"type": "Feature", "geometry": ` + geometry + `, "properties": {"object_type": "annotation", "name": "a", "classification": null}}`:                             {},
		`{"type": "Feature", "id": "PathDetectionObject", "geometry": ` + geometry + `, "properties": null}`:                                                              {detected: true},
		`{"type": "Feature", "id": 12, "geometry": ` + geometry + `}`:                                                                                                     {},
	} {
		found := 0
		err := readGeoJSON(strings.NewReader(text), false, func(o object) error {
			if found++; o.detected != want.detected || o.class != want.class || o.area() != 4 {
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
	err := readGeoJSON(strings.NewReader(`{"features": [`+cell("", square(0, 0, 2))+`, `+cell("", square(0, 0, 2))+`, oops`), false, func(object) error {
		found++
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "feature 3") || found != 2 {
		t.Errorf("%d objects, %v", found, err)
	}
}
