package dataset

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// Each way in which a folder may be wrong is told in one line that names the file and says what to do.
func TestLoadErrors(t *testing.T) {
	good := deep("11..", "1..2")
	pair := func(instances any) files { return files{"a.png": photo(4, 2), "a_instances.png": instances} }
	index := func(text string) files {
		f := pair(good)
		f["index.json"] = text
		return f
	}
	annotated := func(text string) files { return files{"a.svs": "a slide", "a.geojson": text} }
	shape := func(geometry string) files {
		return annotated(`[{"type": "Feature", "geometry": ` + geometry + `}]`)
	}
	for name, c := range map[string]struct {
		files files
		file  string // that the error names
		want  string
	}{
		"no images":              {files{"readme.txt": "hello"}, "", "no images: put NAME.png and NAME_instances.png"},
		"image alone":            {files{"a.png": photo(4, 2)}, "a.png", "image without instances: add a_instances.png"},
		"instances alone":        {files{"a_instances.png": good}, "a_instances.png", "instances without an image"},
		"mask alone":             {files{"images/a.png": photo(4, 2), "masks/a.png": good, "masks/b.png": good}, "masks/b.png", "without an image"},
		"image without mask":     {files{"images/a.png": photo(4, 2), "images/b.png": photo(4, 2), "masks/a.png": good}, "images/b.png", "without instances"},
		"another size":           {pair(deep("111", "...")), "a_instances.png", "3×2 pixels, the image has 4×2"},
		"all empty":              {pair(deep("....", "....")), "", "every mask is empty"},
		"8-bit overflow":         {pair(flat([10]uint8{1: 254, 2: 255}, "11..", "1..2")), "a_instances.png", "8-bit overflow"},
		"8-bit overflow of mask": {files{"images/a.png": photo(4, 2), "masks/a.png": flat([10]uint8{1: 254, 2: 255}, "11..", "1..2")}, "masks/a.png", "8-bit overflow"},
		"a mask as instances":    {pair(flat([10]uint8{1: 255}, "11..", "1..1")), "a_instances.png", "put images into images/ and masks into masks/"},
		"coloured instances":     {pair(photo(4, 2)), "a_instances.png", "in colour"},
		"JPEG instances":         {files{"a.png": photo(4, 2), "a_instances.jpg": photo(4, 2)}, "a_instances.jpg", "save them as 16-bit PNG"},
		"damaged image":          {files{"a.png": "\x89PNG\r\n\x1a\nxx", "a_instances.png": good}, "a.png", "copy it again"},
		"damaged instances":      {pair("nothing"), "a_instances.png", "not a PNG, JPEG or TIFF"},
		"empty file":             {files{"a.png": "", "a_instances.png": good}, "a.png", "copy it again"},
		"too large":              {files{"a.png": photo(100, 101), "a_instances.png": good}, "a.png", "100×101 pixels, more than 10000"},
		"two of one name":        {files{"a.png": photo(4, 2), "a.tif": photo(4, 2), "a_instances.png": good}, "a.tif", "has the name of a.png"},
		"two instances":          {files{"a.png": photo(4, 2), "a_instances.tif": good, "a_instances.png": good}, "a.png", "a_instances.png and a_instances.tif: keep one"},

		"index: not JSON":     {index("[{\"image\": \"a.png\",}]"), "index.json", "byte 20"},
		"index: cut short":    {index("[{"), "index.json", "byte 2"},
		"index: empty":        {index(""), "index.json", "byte 0"},
		"index: other JSON":   {index(`{"version": 3}`), "index.json", "give a list of"},
		"index: wrong type":   {index(`[{"image": "a.png", "mpp": "0.5"}]`), "index.json", "byte 32"},
		"index: no image":     {index(`[{"group": "g"}]`), "index.json", "entry 1"},
		"index: unknown":      {index(`[{"image": "b.png"}]`), "index.json", `"b.png" is not here`},
		"index: unknown name": {index(`{"b": {}}`), "index.json", `"b" is not here`},
		"index: no instances": {index(`[{"image": "a.png", "instances": "b.png"}]`), "index.json", `instances "b.png"`},
		"index: leaves":       {index(`[{"image": "../a.png"}]`), "index.json", "leaves the folder"},
		"index: twice":        {index(`[{"image": "a.png"}, {"image": "./a.png"}]`), "index.json", "listed twice"},
		"index: two names":    {index(`{"a": {}, "a.png": {}}`), "index.json", "listed twice"},
		"index: mpp 0":        {index(`[{"image": "a.png", "mpp": 0}]`), "index.json", "mpp 0: give µm"},
		"index: mpp below":    {index(`[{"image": "a.png", "mpp": -0.5}]`), "index.json", "mpp -0.5"},
		"index: split":        {index(`[{"image": "a.png", "split": "valid"}]`), "index.json", `split "valid": give train, validation or test`},
		"index: weight":       {index(`[{"image": "a.png", "weight": 0}]`), "index.json", "weight 0"},
		"index: debris":       {index(`[{"image": "a.png", "min_instance": -1}]`), "index.json", "min_instance -1"},
		"index: debris only":  {index(`[{"image": "a.png", "min_instance": 9}]`), "", "smallest size of an instance"},
		"index: one class": {files{
			"a.png": photo(4, 2), "a_instances.png": good, "b.png": photo(4, 2), "b_instances.png": good, "c.png": photo(4, 2), "c_instances.png": good,
			"index.json": `{"a": {"class": "x"}, "b": {"class": "y"}}`,
		}, "c_instances.png", "an object without a class, where there are x, y"},

		"annotations alone":   {files{"a.geojson": "[]"}, "a.geojson", "annotations without a slide"},
		"of which slide":      {files{"a.geojson": "[]", "a.svs": "", "a.ndpi": "", "a.xml": ""}, "a.geojson", "may belong to a.ndpi or a.svs: rename it to a.ndpi.geojson"},
		"annotations twice":   {files{"a.geojson": "[]", "a.svs.geojson": "[]", "a.svs": ""}, "a.svs", "keep one"},
		"no annotations":      {annotated("[]"), "a.geojson", "no annotations"},
		"nothing to learn":    {annotated(`[{"type": "Feature", "properties": {"classification": {"name": "Ignore*"}}, "geometry": ` + square(1, 1, 3) + `}]`), "a.geojson", "neither regions nor objects"},
		"not JSON":            {annotated("[{]"), "a.geojson", "after byte 1: feature 1: invalid character"},
		"cut short":           {annotated(`[{"type": "Feature"`), "a.geojson", "unexpected EOF"},
		"not compressed":      {files{"a.svs": "", "a.geojson.GZ": "[]"}, "a.geojson.GZ", "export it again"},
		"not GeoJSON":         {annotated("12"), "a.geojson", "not GeoJSON"},
		"another object":      {annotated(`{"type": "Polygon"}`), "a.geojson", `type "Polygon" is not Feature`},
		"more":                {annotated("[] []"), "a.geojson", "more behind the end"},
		"features":            {annotated(`{"features": {}}`), "a.geojson", "not a list"},
		"no geometry":         {shape("null"), "a.geojson", "feature 1: no geometry"},
		"a line":              {shape(`{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}`), "a.geojson", `"LineString" is neither Polygon nor`},
		"no points":           {shape(`{"type": "Polygon", "coordinates": []}`), "a.geojson", "without points"},
		"no polygons":         {shape(`{"type": "MultiPolygon", "coordinates": []}`), "a.geojson", "without points"},
		"two points":          {shape(`{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}`), "a.geojson", "fewer than 3 points"},
		"unclosed":            {shape(`{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1]]]}`), "a.geojson", "not closed"},
		"a hole unclosed":     {shape(`{"type": "MultiPolygon", "coordinates": [[[[0, 0], [9, 0], [0, 9], [0, 0]], [[1, 1], [2, 1], [1, 2]]]]}`), "a.geojson", "not closed"},
		"one number":          {shape(`{"type": "Polygon", "coordinates": [[[0], [1], [2], [0]]]}`), "a.geojson", "a point of 1 numbers"},
		"far away":            {shape(`{"type": "Polygon", "coordinates": [[[0, 0], [1e300, 0], [0, 1], [0, 0]]]}`), "a.geojson", "not on any slide"},
		"text for numbers":    {shape(`{"type": "Polygon", "coordinates": "x"}`), "a.geojson", "cannot unmarshal"},
		"beside the slide":    {shape(square(200, 0, 9)), "a.geojson", "region 1: covers no pixel of the slide, which has 90×60"},
		"too large a region":  {files{"a.svs": "", "a.geojson": region(0, 0, 90)}, "a.geojson", "region 1: 90×60 pixels, more than 5000"},
		"too small a region":  {files{"a.svs": "", "a.geojson": region(1, 1, 0.25)}, "a.geojson", "covers no pixel"},
		"a slide not to open": {files{"bad.svs": "", "bad.geojson": region(0, 0, 9)}, "bad.svs", "damaged"},
		"pixels not to read":  {files{"holes.svs": "", "holes.geojson": region(0, 0, 9)}, "holes.geojson", "region 1: unreadable"},
		"not classified": {
			annotated(`[` + cell("x", square(1, 1, 3)) + `,` + cell("y", square(5, 1, 3)) + `,` + cell("", square(9, 1, 3)) + `]`),
			"a.geojson", "an object without a class",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.files.write(t)
			cfg := NewDefaultConfig()
			cfg.Open = fake
			cfg.MaxPixels = 10000
			if strings.HasPrefix(name, "too large a region") {
				cfg.MaxPixels = 5000
			}
			_, err := Load(t.Context(), dir, cfg)
			if err == nil {
				t.Fatal("no error")
			}
			if text := err.Error(); !strings.HasPrefix(text, filepath.Join(dir, c.file)+":") || !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
				t.Errorf("error is %q, want %q of %s", text, c.want, c.file)
			}
		})
	}
}

func TestLoadRefusals(t *testing.T) {
	dir := files{
		"a.svs": "", "a.geojson": "[" + cell("x", square(1, 1, 3)) + "]",
		"b.png": photo(4, 2), "b_instances.png": deep("11..", "1..2"),
	}.write(t)
	for name, c := range map[string]struct {
		dir    string
		change func(*Config)
		want   string
	}{
		"nowhere":       {filepath.Join(dir, "c"), func(*Config) {}, "no such file"},
		"a file":        {filepath.Join(dir, "b.png"), func(*Config) {}, "not a folder"},
		"no opener":     {dir, func(c *Config) { c.Open = nil }, "a.svs: slides with annotations cannot be opened here"},
		"unknown class": {dir, func(c *Config) { c.Classes = []string{"y", "z"} }, `a.geojson: unknown class "x": it is none of y, z`},
		"debris":        {dir, func(c *Config) { c.MinInstance = -1 }, "smallest instance of -1"},
		"pixels":        {dir, func(c *Config) { c.MaxPixels = 0 }, "at most 0 pixels"},
		"mpp":           {dir, func(c *Config) { c.MPP = -1 }, "pixels of -1 µm"},
		"mpp NaN":       {dir, func(c *Config) { c.MPP = math.NaN() }, "pixels of NaN µm"},
		"margin":        {dir, func(c *Config) { c.Margin = -1 }, "margin of -1"},
		"class twice":   {dir, func(c *Config) { c.Classes = []string{"y", "y"} }, `class "y"`},
		"many classes":  {dir, func(c *Config) { c.Classes = make([]string, 300) }, "300 classes"},
	} {
		cfg := NewDefaultConfig()
		cfg.Open = fake
		c.change(&cfg)
		if _, err := Load(t.Context(), c.dir, cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
}
