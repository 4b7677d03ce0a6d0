package dataset

import (
	"bytes"
	"compress/gzip"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/tiff"

	"microtome/internal/raster"
)

// files are what lies in a folder, by path: text, or an image.
type files map[string]any

// write makes a folder of files.
func (f files) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range f {
		var b bytes.Buffer
		var err error
		switch content := content.(type) {
		case image.Image:
			switch strings.ToLower(filepath.Ext(name)) {
			case ".png":
				err = png.Encode(&b, content)
			case ".tif", ".tiff":
				err = tiff.Encode(&b, content, nil)
			default:
				err = jpeg.Encode(&b, content, nil)
			}
		case string:
			if strings.HasSuffix(name, ".gz") {
				z := gzip.NewWriter(&b)
				z.Write([]byte(content))
				z.Close()
			} else {
				b.WriteString(content)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// photo is a colour image with no two pixels the same.
func photo(w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(m.Pix[4*i:], []byte{byte(i), byte(i >> 8), 77, 255})
	}
	return m
}

// deep is a 16-bit grey image drawn with digits: 3 is the number 3, and . is 0.
func deep(rows ...string) image.Image {
	m := image.NewGray16(image.Rect(0, 0, len(rows[0]), len(rows)))
	for y, row := range rows {
		for x, c := range row {
			if c != '.' {
				m.SetGray16(x, y, color.Gray16{Y: uint16(c - '0')})
			}
		}
	}
	return m
}

// flat is an 8-bit grey image in which a digit stands for the given value.
func flat(values [10]uint8, rows ...string) image.Image {
	m := image.NewGray(image.Rect(0, 0, len(rows[0]), len(rows)))
	for y, row := range rows {
		for x, c := range row {
			if c != '.' {
				m.SetGray(x, y, color.Gray{Y: values[c-'0']})
			}
		}
	}
	return m
}

// drawn shows instances as deep takes them.
func drawn(l raster.Labels) string {
	var rows []string
	for y := range l.H {
		row := ""
		for x := range l.W {
			row += string(".123456789"[min(l.At(x, y), 9)])
		}
		rows = append(rows, row)
	}
	return strings.Join(rows, " ")
}

func load(t testing.TB, f files) *Set {
	t.Helper()
	s, err := Load(t.Context(), f.write(t), NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
