package slide_test

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"microtome/bench/synthetic"
	"microtome/slide"
	"microtome/slide/slidetest"
)

// checkError wants a typed error of one line that starts in lower case and says what helps.
func checkError(t *testing.T, err error, op, helps string) *slide.Error {
	t.Helper()
	var e *slide.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v, want a *slide.Error", err)
	}
	text := e.Err.Error()
	if e.Op != op || strings.ContainsAny(text, "\n\r") || text == "" || text[:1] != strings.ToLower(text[:1]) || !strings.Contains(text, helps) {
		t.Errorf("error is %q %q, want %s, one line in lower case with %q", e.Op, text, op, helps)
	}
	return e
}

// readAll reads every block of every level.
func readAll(t *testing.T, s *slide.Slide) error {
	t.Helper()
	var all []error
	for n := range s.Info().Levels {
		_, err := failingBlocks(t, s, n)
		all = append(all, err...)
	}
	return errors.Join(all...)
}

// failingBlocks reads a level in blocks and draws it: # fails, . does not.
func failingBlocks(t *testing.T, s *slide.Slide, level int) (drawing string, failures []error) {
	t.Helper()
	v, err := s.AtLevel(level)
	if err != nil {
		t.Fatal(err)
	}
	l := s.Info().Levels[level]
	for y := 0; y < l.Size.Y; y += l.Block.Y {
		for x := 0; x < l.Size.X; x += l.Block.X {
			r := image.Rect(x, y, x+l.Block.X, y+l.Block.Y).Intersect(image.Rectangle{Max: l.Size})
			mark := "."
			if err := v.Read(t.Context(), make([]byte, 3*r.Dx()*r.Dy()), r); err != nil {
				failures = append(failures, err)
				mark = "#"
			}
			drawing += mark
		}
		drawing += "\n"
	}
	return drawing, failures
}

func TestOpenRefuses(t *testing.T) {
	svs := filepath.Join(t.TempDir(), "whole.svs")
	writeSVS(t, svs, image.Pt(600, 420))
	whole, err := os.ReadFile(svs)
	if err != nil {
		t.Fatal(err)
	}
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 9, 9))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		helps   string
	}{
		"picture.svs":    {picture.String(), "a picture (PNG): give the file the ending of what it is"},
		"text.svs":       {"dear reader", "OpenSlide does not recognise it"},
		"text.tif":       {"dear reader", "not an image"},
		"text.png":       {"3 4\nfive six", "not an image"},
		"empty.svs":      {"", "empty"},
		"empty.png":      {"", "empty"},
		"half.svs":       {string(whole[:len(whole)/2]), "truncated"},
		"shorter.svs":    {string(whole[:len(whole)-30]), "truncated"},
		"svs.tif":        {string(whole[:len(whole)-30]), "copy it again"},
		"header.tif":     {"II*\x00\x08\x00\x00\x00", "not an image"},
		"header big.tif": {"II+\x00\x08\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00", "copy it again"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := slide.Open(path, slide.NewDefaultConfig())
			if e := checkError(t, err, "open", c.helps); e.Path != path {
				t.Errorf("path is %q", e.Path)
			}
		})
	}
	t.Run("folder", func(t *testing.T) {
		_, err := slide.Open(t.TempDir(), slide.NewDefaultConfig())
		checkError(t, err, "open", "folder")
	})
	t.Run("absent", func(t *testing.T) {
		_, err := slide.Open(filepath.Join(t.TempDir(), "a.svs"), slide.NewDefaultConfig())
		checkError(t, err, "open", "does not exist: check the path")
		if !errors.Is(err, os.ErrNotExist) {
			t.Error("errors.Is does not find os.ErrNotExist")
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may read everything")
		}
		path := filepath.Join(t.TempDir(), "a.svs")
		if err := os.WriteFile(path, whole, 0); err != nil {
			t.Fatal(err)
		}
		_, err := slide.Open(path, slide.NewDefaultConfig())
		checkError(t, err, "open", "permission denied")
	})
	t.Run("negative cache", func(t *testing.T) {
		if _, err := slide.Open(svs, slide.Config{CacheBytes: -1}); err == nil {
			t.Error("opened")
		}
	})
}

// Pixels without a stated range are refused rather than shown black.
func TestOpenRefusesFloats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tif")
	writeTIFF(t, path, page{size: image.Pt(300, 200), grey: true, pixel: slidetest.Noise})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// BitsPerSample, short, one value of 8 → SampleFormat and 32 bits need a tag more: turn Planar
	// configuration, which is 1 by default, into SampleFormat 2 (signed).
	planar := []byte{28, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0}
	signed := []byte{83, 1, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0}
	if bytes.Count(b, planar) != 1 {
		t.Fatal("no such tag")
	}
	if err := os.WriteFile(path, bytes.Replace(b, planar, signed, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = slide.Open(path, slide.NewDefaultConfig())
	checkError(t, err, "open", "type char: convert")
}

// A file that is cut short, or has a hole, opens; reading what is missing fails.
func TestReadRefusesWhatIsMissing(t *testing.T) {
	size := image.Pt(600, 420)
	picture := paint(image.NewRGBA(image.Rectangle{Max: size}), size, opaque(slidetest.Smooth))
	var asPNG, asJPEG bytes.Buffer
	if err := errors.Join(png.Encode(&asPNG, picture), jpeg.Encode(&asJPEG, picture, nil)); err != nil {
		t.Fatal(err)
	}
	cut := func(b []byte) []byte { return b[:len(b)*6/10] }
	hole := func(b []byte) []byte {
		b = bytes.Clone(b)
		clear(b[len(b)/2:][:100])
		return b
	}
	file := func(p page) []byte {
		path := filepath.Join(t.TempDir(), "a.tif")
		p.size, p.pixel = size, slidetest.Smooth
		writeTIFF(t, path, p)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, content := range map[string][]byte{
		"cut.png":  cut(asPNG.Bytes()),
		"hole.png": hole(asPNG.Bytes()),
		"cut.jpg":  cut(asJPEG.Bytes()),
		"hole.jpg": hole(asJPEG.Bytes()),
		"cut.tif":  headerFirst(t, file(page{tile: 128}), cut),
		"flat.tif": headerFirst(t, file(page{}), cut),
		"hole.tif": hole(file(page{tile: 256, jpeg: true})),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
			s := opening(path)(t)
			e := checkError(t, readAll(t, s), "read", "copy it again")
			if e.Rect.Empty() || e.Path != path {
				t.Errorf("error is for %v of %q", e.Rect, e.Path)
			}
		})
	}
}

// headerFirst moves the data of a TIFF of one page behind its directory: it is copied there, and the
// copy at the front is forgotten.
func headerFirst(t *testing.T, b []byte, change func([]byte) []byte) []byte {
	t.Helper()
	shift := uint32(len(b))
	out := append(bytes.Clone(b), b...)
	for _, id := range []uint16{273, 324} { // offsets of strips, of tiles
		for at := range len(b) - 12 {
			e := out[at:]
			if le16(e) != id || le16(e[2:]) != 4 || at%2 != 0 {
				continue
			}
			n, where := le32(e[4:]), e[8:]
			if n > 1 {
				where = out[le32(e[8:]):]
			}
			for i := range n {
				putLE32(where[4*i:], le32(where[4*i:])+shift)
			}
			return change(out)
		}
	}
	t.Fatal("no offsets")
	return nil
}

// An image that claims to be gigantic costs no memory to refuse.
func TestHugeClaims(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tif")
	for _, tile := range []int{0, 256} {
		writeTIFF(t, path, page{size: image.Pt(3000, 200), tile: tile, pixel: slidetest.Smooth})
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []byte{0, 1} { // width and height, 256 and 257
			at := bytes.Index(b, []byte{id, 1, 4, 0, 1, 0, 0, 0})
			putLE32(b[at+8:], 3_000_000)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := slide.Open(path, slide.NewDefaultConfig())
		if err == nil {
			var v *slide.View
			if v, err = s.AtLevel(0); err == nil {
				err = v.Read(t.Context(), make([]byte, 3), image.Rect(5000, 2_999_999, 5001, 3_000_000))
			}
			s.Close()
		}
		if err == nil {
			t.Errorf("tile %d: no error", tile)
		}
	}
}

// One tile of 25 is broken:
//
//	.....
//	.....
//	..#..
//	.....
//	.....
func TestBrokenTile(t *testing.T) {
	const drawing = ".....\n.....\n..#..\n.....\n.....\n"
	dir := t.TempDir()
	svs, tif := filepath.Join(dir, "a.svs"), filepath.Join(dir, "a.tif")
	if err := synthetic.WriteSlide(t.Context(), svs, filepath.Join(dir, "truth.tif"), synthetic.Config{Size: 1280, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(svs)
	if err != nil {
		t.Fatal(err)
	}
	tiles := writeTIFF(t, tif, page{size: image.Pt(1280, 1280), tile: 256, jpeg: true, pixel: slidetest.Smooth})
	for path, data := range map[string][2]int{svs: jpegAt(t, b, 1280, 12), tif: tiles[12]} {
		t.Run(filepath.Ext(path), func(t *testing.T) {
			before := opening(path)(t)
			if got, _ := failingBlocks(t, before, 0); strings.Contains(got, "#") {
				t.Fatalf("broken before it was broken:\n%s", got)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			clear(b[(data[0]+data[1])/2 : data[1]])
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			s := opening(path)(t)
			for range 2 { // a failure is not remembered, nor what follows it
				got, errs := failingBlocks(t, s, 0)
				if got != drawing {
					t.Fatalf("failing blocks:\n%s", got)
				}
				e := checkError(t, errs[0], "read", "copy it again")
				if want := image.Rect(512, 512, 768, 768); e.Level != 0 || e.Rect != want {
					t.Errorf("error names level %d %v, want level 0 %v", e.Level, e.Rect, want)
				}
			}
			var group sync.WaitGroup
			fresh := opening(path)(t)
			for range 4 { // the others do not suffer from it at the same time either
				group.Go(func() {
					if got, _ := failingBlocks(t, fresh, 0); got != drawing {
						t.Errorf("concurrently, failing blocks:\n%s", got)
					}
				})
			}
			group.Wait()
		})
	}
}
