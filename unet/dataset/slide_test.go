package dataset

import (
	"context"
	"errors"
	"fmt"
	"image"
	"path/filepath"
	"strings"
	"testing"
)

// plane is a slide whose pixel (x, y) of the working resolution is (x, y, 7); one may be unreadable.
type plane struct{ unreadable bool }

func (p plane) Read(_ context.Context, dst []byte, r image.Rectangle) error {
	if p.unreadable {
		return errors.New("unreadable")
	}
	dst = dst[:0]
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			dst = append(dst, byte(x), byte(y), 7)
		}
	}
	return nil
}

func (p plane) Close() error { return nil }

// fake opens slides of 90×60 pixels of level 0, of 0.25 µm, which annotations count from (10, 20) on
// where the slide has an offset in its name.
func fake(_ context.Context, path string, mpp, own float64) (*Slide, error) {
	base := filepath.Base(path)
	if strings.HasPrefix(base, "bad") {
		return nil, fmt.Errorf("%s: damaged", path)
	}
	if own == 0 {
		own = 0.25
	}
	s := &Slide{Size: image.Pt(90, 60), Scale: 1, MPP: own, Pixels: plane{strings.HasPrefix(base, "holes")}}
	if mpp > 0 {
		s.Scale, s.MPP = mpp/own, mpp
		s.Size = image.Pt(int(90/s.Scale), int(60/s.Scale))
	}
	if strings.Contains(base, "offset") {
		s.Origin = image.Pt(10, 20)
	}
	return s, nil
}

// square is the geometry of a square.
func square(x, y, edge float64) string {
	return fmt.Sprintf(`{"type": "Polygon", "coordinates": [[[%[1]g, %[2]g], [%[3]g, %[2]g], [%[3]g, %[4]g], [%[1]g, %[4]g], [%[1]g, %[2]g]]]}`, x, y, x+edge, y+edge)
}

func drawing(kind, class, geometry string) string {
	classification := ""
	if class != "" {
		classification = fmt.Sprintf(`, "classification": {"name": %q, "color": [1, 2, 3]}`, class)
	}
	return fmt.Sprintf(`{"type": "Feature", "id": "c5a9", "geometry": %s, "properties": {"objectType": %q%s, "isLocked": true}}`, geometry, kind, classification)
}

func cell(class, geometry string) string { return drawing("detection", class, geometry) }

// region is a document of one region.
func region(x, y, edge float64) string {
	return "[" + drawing("annotation", "Region*", square(x, y, edge)) + "]"
}

func list(features ...string) string { return "[" + strings.Join(features, ", ") + "]" }

func TestLoadSlides(t *testing.T) {
	hole := `{"type": "Polygon", "coordinates": [[[20, 20], [26, 20], [26, 26], [20, 26], [20, 20]], [[22, 22], [24, 22], [24, 24], [22, 24], [22, 22]]]}`
	parts := `{"type": "MultiPolygon", "coordinates": [[[[20, 20], [22, 20], [22, 22], [20, 22], [20, 20]]], [[[24, 24], [26, 24], [26, 26], [24, 26], [24, 24]]]]}`
	for name, c := range map[string]struct {
		text   string
		change func(*Config)
		file   string // default a
		want   string // instances of all images
		at     [2]byte
		class  string // labels of instances
	}{
		"a region, an object cut by it, one beside it": {
			text: list(drawing("annotation", "Region*", square(20, 20, 6)), cell("", square(21, 21, 2)), cell("", square(24, 24, 30)), cell("", square(50, 50, 3))),
			want: "...... .22... .22... ...... ....11 ....11", at: [2]byte{20, 20}, class: "11",
		},
		"counted from the scanned area": {
			text: list(drawing("annotation", "Region*", square(10, 0, 4)), cell("", square(11, 1, 2))), file: "offset",
			want: ".... .11. .11. ....", at: [2]byte{20, 20}, class: "1",
		},
		"at another resolution": {
			text: list(drawing("annotation", "Region*", square(20, 20, 8)), cell("", square(22, 22, 4))), change: func(c *Config) { c.MPP = 0.5 },
			want: ".... .11. .11. ....", at: [2]byte{10, 10}, class: "1",
		},
		"from the scanned area, at another resolution": {
			text: list(drawing("annotation", "Region*", square(10, 0, 8)), cell("", square(12, 2, 4))), change: func(c *Config) { c.MPP = 0.5 }, file: "offset",
			want: ".... .11. .11. ....", at: [2]byte{10, 10}, class: "1",
		},
		"without a region, the box and a margin": {
			text: list(cell("", square(20, 20, 2)), cell("", square(23, 20, 1))), change: func(c *Config) { c.Margin = 1 },
			want: "...... .11.2. .11... ......", at: [2]byte{19, 19}, class: "11",
		},
		"the margin ends with the slide": {
			text: list(cell("", square(0, 1, 2))), change: func(c *Config) { c.Margin = 2 },
			want: ".... 11.. 11.. .... ....", at: [2]byte{0, 0}, class: "1",
		},
		"holes":                     {text: list(drawing("annotation", "Region*", square(20, 20, 6)), cell("", hole)), want: "111111 111111 11..11 11..11 111111 111111", at: [2]byte{20, 20}, class: "1"},
		"parts":                     {text: list(drawing("annotation", "Region*", square(20, 20, 6)), cell("", parts)), want: "11.... 11.... ...... ...... ....11 ....11", at: [2]byte{20, 20}, class: "1"},
		"the smaller lies on top":   {text: list(drawing("annotation", "Region*", square(20, 20, 4)), cell("", square(21, 21, 2)), cell("", square(20, 20, 4))), want: "1111 1221 1221 1111", at: [2]byte{20, 20}, class: "11"},
		"a region without objects":  {text: list(drawing("annotation", "Region*", square(40, 40, 2)), drawing("annotation", "Region*", square(20, 20, 2)), cell("", square(20, 20, 1))), want: ".. .. | 1. ..", at: [2]byte{40, 40}, class: "|1"},
		"another name of regions":   {text: list(drawing("annotation", "box", square(20, 20, 2)), cell("", square(20, 20, 1))), change: func(c *Config) { c.Region = "box" }, want: "1. ..", at: [2]byte{20, 20}, class: "1"},
		"what is not to be learnt":  {text: list(drawing("annotation", "Region*", square(20, 20, 2)), cell("", square(20, 20, 1)), cell("Ignore*", square(21, 21, 1)), drawing("tile", "", square(20, 20, 2)), drawing("annotation", "", square(20, 20, 9))), want: "1. ..", at: [2]byte{20, 20}, class: "1"},
		"annotations are objects":   {text: list(drawing("annotation", "Region*", square(20, 20, 2)), drawing("annotation", "", square(20, 20, 1))), want: "1. ..", at: [2]byte{20, 20}, class: "1"},
		"classes in sorted order":   {text: list(drawing("annotation", "Region*", square(20, 20, 3)), cell("tumour", square(20, 20, 1)), cell("immune", square(22, 22, 1))), want: "1.. ... ..2", at: [2]byte{20, 20}, class: "21"},
		"classes in the given":      {text: list(drawing("annotation", "Region*", square(20, 20, 3)), cell("tumour", square(20, 20, 1)), cell("immune", square(22, 22, 1))), change: func(c *Config) { c.Classes = []string{"stroma", "tumour", "immune"} }, want: "1.. ... ..2", at: [2]byte{20, 20}, class: "23"},
		"the only class is implied": {text: list(drawing("annotation", "Region*", square(20, 20, 3)), cell("tumour", square(20, 20, 1)), cell("", square(22, 22, 1))), want: "1.. ... ..2", at: [2]byte{20, 20}, class: "11"},
		"a collection": {
			text: `{"features": ` + list(drawing("annotation", "Region*", square(20, 20, 2)), cell("", square(20, 20, 1))) + `, "type": "FeatureCollection"}`,
			want: "1. ..", at: [2]byte{20, 20}, class: "1",
		},
		"a single feature": {text: cell("", square(20, 20, 1)), change: func(c *Config) { c.Margin = 0 }, want: "1", at: [2]byte{20, 20}, class: "1"},
		"a cell": {
			text:   list(`{"type": "Feature", "id": "PathCellObject", "geometry": ` + square(20, 20, 3) + `, "nucleusGeometry": ` + square(21, 21, 1) + `}`),
			change: func(c *Config) { c.Margin = 1 }, want: "..... .111. .111. .111. .....", at: [2]byte{19, 19}, class: "1",
		},
		"a nucleus": {
			text:   list(`{"type": "Feature", "id": "PathCellObject", "geometry": ` + square(20, 20, 3) + `, "nucleusGeometry": ` + square(21, 21, 1) + `}`),
			change: func(c *Config) { c.Margin, c.Nuclei = 1, true }, want: "... .1. ...", at: [2]byte{20, 20}, class: "1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := c.file
			if file == "" {
				file = "a"
			}
			dir := files{file + ".svs": "", file + ".geojson": c.text, file + ".xml": "", "other.svs": ""}.write(t)
			cfg := NewDefaultConfig()
			cfg.Open = fake
			if c.change != nil {
				c.change(&cfg)
			}
			s, err := Load(t.Context(), dir, cfg)
			if err != nil {
				t.Fatal(err)
			}
			var got, class []string
			for _, m := range s.Images {
				if want := fmt.Sprintf("%s[%d]", file, len(got)+1); m.Name != want || m.Group != file || m.Outside != nil {
					t.Errorf("image %s of group %s, want %s", m.Name, m.Group, want)
				}
				if want := max(cfg.MPP, 0.25); m.MPP != want {
					t.Errorf("%g µm", m.MPP)
				}
				if len(got) == 0 && [2]byte(m.Pix[:2]) != c.at {
					t.Errorf("first pixel is %v, want %v", m.Pix[:2], c.at)
				}
				got = append(got, drawn(m.Instances))
				labels := ""
				for n := range m.Count {
					labels += fmt.Sprint(m.Class(uint32(n + 1)))
				}
				class = append(class, labels)
			}
			if got := strings.Join(got, " | "); got != c.want {
				t.Errorf("instances %s, want %s", got, c.want)
			}
			if got := strings.Join(class, "|"); got != c.class {
				t.Errorf("labels %s, want %s", got, c.class)
			}
		})
	}
}

// Of a region that is no rectangle, what its box holds besides is marked, and holds no instances.
func TestOutside(t *testing.T) {
	triangle := `{"type": "Polygon", "coordinates": [[[20, 20], [24, 20], [20, 24], [20, 20]]]}`
	dir := files{"a.svs": "", "a.svs.geojson.gz": list(drawing("annotation", "Region*", triangle), cell("", square(20, 20, 4)))}.write(t)
	cfg := NewDefaultConfig()
	cfg.Open = fake
	s, err := Load(t.Context(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := s.Images[0]
	if got := drawn(m.Instances); got != "111. 11.. 1... ...." {
		t.Errorf("instances %s", got)
	}
	for i, n := range m.Instances.Pix {
		if m.Outside[i] != (n == 0) {
			t.Errorf("pixel %d: outside %t, instance %d", i, m.Outside[i], n)
		}
	}
}

// index.json says how large the pixels of a slide are that does not.
func TestSlideIndex(t *testing.T) {
	dir := files{
		"a.svs": "", "drawn.geojson": region(0, 0, 20), "b.svs": "", "b.geojson": list(cell("", square(4, 4, 4))),
		"index.json": `{"a.svs": {"mpp": 0.125, "instances": "drawn.geojson", "group": "g"}, "b": {"split": "train"}}`,
	}.write(t)
	cfg := NewDefaultConfig()
	cfg.Open, cfg.MPP = fake, 0.5
	s, err := Load(t.Context(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if a := s.Images[0]; a.Group != "g" || a.W != 5 || a.H != 5 || s.Images[1].Split != "train" {
		t.Errorf("group %s, %d×%d", a.Group, a.W, a.H)
	}
}
