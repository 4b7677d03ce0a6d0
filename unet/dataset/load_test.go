package dataset

import (
	"context"
	"errors"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var two = deep("11..", "1..2")

// many is an instance of a large number.
func many(n uint16) image.Image {
	m := image.NewGray16(image.Rect(0, 0, 4, 2))
	m.SetGray16(0, 0, color.Gray16{Y: n})
	return m
}

func TestLoadForms(t *testing.T) {
	for name, c := range map[string]struct {
		files files
		want  map[string]string // instances by name
	}{
		"instances, in any lossless format and subfolder": {
			files{
				"a.png": photo(4, 2), "a_instances.png": two,
				"deep/b.tif": photo(4, 2), "deep/b_instances.tif": two,
				"deep/er/c.JPG": photo(4, 2), "deep/er/c_instances.tiff": two,
				"readme.txt": "", ".hidden.png": "", ".cache/x.png": "",
			},
			map[string]string{"a": "11.. 1..2", "deep/b": "11.. 1..2", "deep/er/c": "11.. 1..2"},
		},
		"numbers without gaps": {
			files{"a.png": photo(4, 2), "a_instances.png": deep("99..", ".5.3")},
			map[string]string{"a": "33.. .2.1"},
		},
		"8 bits do": {
			files{"a.png": photo(4, 2), "a_instances.png": flat([10]uint8{1: 254, 2: 1}, "11..", "1..2")},
			map[string]string{"a": "22.. 2..1"},
		},
		"255 of 16 bits": {
			files{"a.png": photo(4, 2), "a_instances.png": many(255), "b.tif": photo(4, 2), "b_instances.tif": many(256)},
			map[string]string{"a": "1... ....", "b": "1... ...."},
		},
		"masks": {
			files{
				"images/a.png": photo(5, 3), "masks/a.png": flat([10]uint8{1: 255}, "1.1..", ".1...", "....1"), // meet at corners
				"images/b.png": photo(5, 3), "masks/b.tif": flat([10]uint8{1: 1}, "11...", ".....", "...11"),
				"images/x/c.png": photo(5, 3), "masks/x/c.png": flat([10]uint8{1: 1, 2: 2}, "112..", "112..", "....1"), // numbers
				"more/images/d.png": photo(5, 3), "more/masks/d.png": deep("11211", "11...", "....."),
			},
			map[string]string{
				"images/a": "1.1.. .1... ....2", "images/b": "11... ..... ...22",
				"images/x/c": "112.. 112.. ....1", "more/images/d": "11211 11... .....",
			},
		},
		"index.json names the instances": {
			files{
				"a.png": photo(4, 2), "labels/one.png": two, "b.png": photo(4, 2), "b_instances.png": two,
				"index.json": `[{"image": "a.png", "instances": "labels/one.png", "licence": "CC0-1.0"}]`,
			},
			map[string]string{"a": "11.. 1..2", "b": "11.. 1..2"},
		},
		"index.json chooses": {
			files{
				"a.png": photo(4, 2), "a_instances.png": deep("1...", "...."), "a_v2.png": two,
				"index.json": `[{"image": "a.png", "instances": "a_v2.png"}]`,
			},
			map[string]string{"a": "11.. 1..2"},
		},
		"an empty mask among others": {
			files{"a.png": photo(4, 2), "a_instances.png": two, "b.png": photo(4, 2), "b_instances.png": deep("....", "....")},
			map[string]string{"a": "11.. 1..2", "b": ".... ...."},
		},
		"debris goes": {
			files{
				"a.png": photo(4, 2), "a_instances.png": two, "b.png": photo(4, 2), "b_instances.png": two,
				"index.json": `{"a": {"min_instance": 2}}`,
			},
			map[string]string{"a": "11.. 1...", "b": "11.. 1..2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := load(t, c.files)
			got := map[string]string{}
			for _, m := range s.Images {
				got[m.Name] = drawn(m.Instances)
				if int(slices.Max(m.Instances.Pix)) != m.Count || m.Classes != nil || m.Outside != nil || m.Group == "" {
					t.Errorf("%s: count %d, classes %v, group %q", m.Name, m.Count, m.Classes, m.Group)
				}
			}
			for name, want := range c.want {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
			if len(got) != len(c.want) || !slices.IsSortedFunc(s.Images, func(a, b Image) int { return strings.Compare(a.Name, b.Name) }) {
				t.Errorf("images %v", got)
			}
			if !slices.Equal(s.ClassNames, []string{"background", "object"}) {
				t.Errorf("classes %v", s.ClassNames)
			}
		})
	}
}

func TestLoadColours(t *testing.T) {
	one := image.Rect(0, 0, 1, 1)
	pixel := func(m interface {
		image.Image
		Set(x, y int, c color.Color)
	}, c color.Color,
	) image.Image {
		m.Set(0, 0, c)
		return m
	}
	for name, c := range map[string]struct {
		image image.Image
		want  [3]byte
	}{
		"rgb":             {pixel(image.NewRGBA(one), color.RGBA{1, 2, 3, 255}), [3]byte{1, 2, 3}},
		"grey":            {pixel(image.NewGray(one), color.Gray{9}), [3]byte{9, 9, 9}},
		"16-bit grey":     {pixel(image.NewGray16(one), color.Gray16{0x12ff}), [3]byte{0x12, 0x12, 0x12}},
		"16-bit rgb":      {pixel(image.NewRGBA64(one), color.RGBA64{0x01ff, 0xfe00, 0x80ff, 0xffff}), [3]byte{0x01, 0xfe, 0x80}},
		"transparent":     {pixel(image.NewNRGBA(one), color.NRGBA{1, 2, 3, 0}), [3]byte{255, 255, 255}},
		"half of it":      {pixel(image.NewNRGBA(one), color.NRGBA{0, 0, 255, 127}), [3]byte{128, 128, 255}},
		"palette":         {pixel(image.NewPaletted(one, color.Palette{color.White, color.RGBA{7, 8, 9, 255}}), color.RGBA{7, 8, 9, 255}), [3]byte{7, 8, 9}},
		"16-bit, opaque":  {pixel(image.NewNRGBA64(one), color.NRGBA64{0xabcd, 0xffff, 0x00ff, 0xffff}), [3]byte{0xab, 0xff, 0x00}},
		"16-bit, see-thr": {pixel(image.NewNRGBA64(one), color.NRGBA64{0xabcd, 0xffff, 0x00ff, 0}), [3]byte{255, 255, 255}},
	} {
		s := load(t, files{"a.png": c.image, "a_instances.png": deep("1")})
		if got := [3]byte(s.Images[0].Pix); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestLoadIndex(t *testing.T) {
	set := files{
		"nuclei/a.png": photo(4, 2), "nuclei/a_instances.png": two, "nuclei/b.png": photo(4, 2), "nuclei/b_instances.png": two,
		"cells/a.png": photo(4, 2), "cells/a_instances.png": two,
		"index.json": `[{"image": "nuclei/a.png", "instances": "nuclei/a_instances.png", "group": "g", "stain": "H&E", "mpp": 0.5, "weight": 2.5, "split": "test", "x": [1]},
			{"image": "nuclei/b.png", "class": "tumour"}, {"image": "cells/a.png", "group": "cells"}]`,
	}
	dir := set.write(t)
	whole, err := Load(t.Context(), dir, NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	part, err := Load(t.Context(), filepath.Join(dir, "nuclei"), NewDefaultConfig()) // the parent's index
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Images) != 3 || whole.Images[0].Group != "cells" || len(part.Images) != 2 {
		t.Fatalf("%d images, %d in a folder of them", len(whole.Images), len(part.Images))
	}
	a, b := part.Images[0], part.Images[1]
	if a.Weight != 2.5 || b.Weight != 0 {
		t.Errorf("a has weight %g, b %g", a.Weight, b.Weight)
	}
	if a.Name != "a" || a.Group != "g" || a.Stain != "H&E" || a.MPP != 0.5 || a.Split != "test" || b.Group != "b" || b.MPP != 0 {
		t.Errorf("a is %q %q %q %g %q, b is of %q with %g", a.Name, a.Group, a.Stain, a.MPP, a.Split, b.Group, b.MPP)
	}
	if !slices.Equal(part.ClassNames, []string{"background", "tumour"}) || a.Class(2) != 1 || b.Class(2) != 1 || b.Class(0) != 0 {
		t.Errorf("classes %v, %v, %v", part.ClassNames, a.Classes, b.Classes)
	}
	// Something else of that name beside the folder is not ours.
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"version": 3}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), filepath.Join(dir, "nuclei"), NewDefaultConfig()); err != nil {
		t.Error(err)
	}
}

// The hash is of what a network would see: it knows no formats and no folder, and misses no change.
func TestHash(t *testing.T) {
	base := func() files { return files{"a.png": photo(4, 2), "a_instances.png": two} }
	want := load(t, base()).SHA256
	if len(want) != 64 {
		t.Fatalf("hash %q", want)
	}
	same := base()
	same["a.tif"], same["a_instances.tif"] = same["a.png"], same["a_instances.png"]
	delete(same, "a.png")
	delete(same, "a_instances.png")
	if got := load(t, same).SHA256; got != want {
		t.Errorf("as TIFF the hash is %s, as PNG %s", got, want)
	}
	other := photo(4, 2).(*image.RGBA)
	other.Pix[0]++
	for name, change := range map[string]files{
		"pixel":    {"a.png": other},
		"instance": {"a_instances.png": deep("11..", "1.22")},
		"name":     {"a.png": nil},
		"group":    {"index.json": `{"a": {"group": "b"}}`},
		"split":    {"index.json": `{"a": {"split": "train"}}`},
		"mpp":      {"index.json": `{"a": {"mpp": 0.5}}`},
		"class":    {"index.json": `{"a": {"class": "b"}}`},
	} {
		f := base()
		for path, content := range change {
			if content == nil {
				f = files{"b.png": f["a.png"], "b_instances.png": f["a_instances.png"]}
				continue
			}
			f[path] = content
		}
		if load(t, f).SHA256 == want {
			t.Errorf("another %s does not show in the hash", name)
		}
	}
	swapped := func(a, b string) string {
		f := files{"a.png": photo(4, 2), "a_instances.png": two, "b.png": photo(4, 2), "b_instances.png": two}
		f["index.json"] = `{"a": {"class": "` + a + `"}, "b": {"class": "` + b + `"}}`
		return load(t, f).SHA256
	}
	if swapped("x", "y") == swapped("y", "x") {
		t.Error("exchanged classes do not show in the hash")
	}
}

func TestLoadStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	dir := files{"a.png": photo(4, 2), "a_instances.png": two}.write(t)
	if _, err := Load(ctx, dir, NewDefaultConfig()); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}

func TestEstimateMPP(t *testing.T) {
	disc := image.NewGray16(image.Rect(0, 0, 60, 30))
	for y := range 30 {
		for x := range 60 {
			if (x-15)*(x-15)+(y-15)*(y-15) <= 14*14/4 { // 14 pixels across
				disc.SetGray16(x, y, color.Gray16{Y: 1})
			}
		}
	}
	disc.SetGray16(50, 3, color.Gray16{Y: 2}) // dirt
	m := load(t, files{"a.png": photo(60, 30), "a_instances.png": disc}).Images[0]
	if got := EstimateMPP(m, 7); math.Abs(got-0.5) > 0.02 {
		t.Errorf("7 µm over 14 pixels is %g", got)
	}
	if got := EstimateMPP(load(t, files{"a.png": photo(4, 2), "a_instances.png": two}).Images[0], 7); got != 0 {
		t.Errorf("dirt alone makes %g", got)
	}
}
