package sink

import (
	"image"
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{
		"microtome mask of a.svs":  "microtome mask of a.svs",
		"a\x00b":                   "a b", // readers would stop here
		"a\x1b[31mb\x7f":           "a [31mb ",
		"Aperio\r\n1x1|MPP = 0.5":  "Aperio\r\n1x1|MPP = 0.5",
		"tab\there":                "tab\there",
		"Präparat 腫瘍":              "Präparat 腫瘍",
		"latin-1 \xe4.svs":         "latin-1 ?.svs",
		"cut short \xe8\x85\nnext": "cut short ?\nnext",
	} {
		tag := ascii(270, in)
		if got := string(tag.data); got != want+"\x00" || tag.n != uint64(len(got)) {
			t.Errorf("%q became %q, %d bytes; want %q", in, got, tag.n, want)
		}
	}
}

// TestRational goes through the resolutions of scanners, at all levels of a pyramid.
func TestRational(t *testing.T) {
	for _, mpp := range []float64{0.1725, 0.25, 0.2528, 0.499, 0.5, 1.0 / 3, 2.0213, 1e-3, 117, 1000} {
		for level := range 14 {
			want := 1e4 / mpp / math.Exp2(float64(level))
			data := rational(282, want).data
			n, d := le.Uint32(data), le.Uint32(data[4:])
			if got := float64(n) / float64(d); d == 0 || math.Abs(got/want-1) > 1e-6 {
				t.Errorf("%g µm, level %d: %d/%d is not %g", mpp, level, n, d, want)
			}
		}
	}
	if d := rational(282, 40000).data; le.Uint32(d) != 40000*1000 || le.Uint32(d[4:]) != 1000 {
		t.Errorf("40000 became %d/%d", le.Uint32(d), le.Uint32(d[4:]))
	}
}

// TestTagsInOrder: TIFF 6.0, section 2, wants the tags of a page in ascending order.
func TestTagsInOrder(t *testing.T) {
	for _, cfg := range []TIFFConfig{
		{Compression: "lzw"},
		{Compression: "none", MPP: 0.25, Software: "s", Description: "d"},
		{Compression: "jpeg", RGB: true, MPP: 0.25, Software: "s", Description: "d"},
	} {
		cfg.Size, cfg.Tile = image.Pt(1000, 700), 256
		tiff, err := CreateTIFF(Disk, filepath.Join(t.TempDir(), "a.tif"), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for level := range tiff.levels {
			last := uint16(0)
			for _, tag := range tiff.page(level) {
				if tag.id <= last {
					t.Errorf("%v: tag %d after %d", cfg, tag.id, last)
				}
				last = tag.id
			}
		}
		if err := tiff.Abort(); err != nil {
			t.Error(err)
		}
	}
}

func TestTIFFConfigValidate(t *testing.T) {
	good := TIFFConfig{Size: image.Pt(1, 1), Tile: 256, Compression: "lzw"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		change func(*TIFFConfig)
		want   string
	}{
		{func(c *TIFFConfig) { c.Size.X = 0 }, "image of (0,1) pixels"},
		{func(c *TIFFConfig) { c.Size.Y = math.MaxUint32 + 1 }, "image of (1,4294967296) pixels"},
		{func(c *TIFFConfig) { c.Tile = 0 }, "tile of 0 pixels"},
		{func(c *TIFFConfig) { c.Tile = 250 }, "multiple of 16"},
		{func(c *TIFFConfig) { c.Tile = 1 << 20 }, "tile of 1048576"},
		{func(c *TIFFConfig) { c.RGB = true }, "colour is stored as jpeg"},
		{func(c *TIFFConfig) { c.Compression = "jpeg" }, "labels never are"},
		{func(c *TIFFConfig) { c.Compression = "lzma" }, "give one of [lzw"},
		{func(c *TIFFConfig) { c.MPP = -0.5 }, "resolution of -0.5"},
		{func(c *TIFFConfig) { c.MPP = math.NaN() }, "resolution of NaN"},
		{func(c *TIFFConfig) { c.MPP = math.Inf(1) }, "resolution of +Inf"},
		{func(c *TIFFConfig) { c.MPP = 1e-9 }, "resolution of 1e-09"},
	} {
		cfg := good
		c.change(&cfg)
		dir := t.TempDir()
		_, err := CreateTIFF(Disk, filepath.Join(dir, "mask.tif"), cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
		if got := left(t, dir); len(got) > 0 {
			t.Errorf("%q left %v", c.want, got)
		}
	}
}

// TestBlankTilesFitTheirLevel: levels whose tiles differ in size do not share them.
func TestBlankTilesFitTheirLevel(t *testing.T) {
	size := image.Pt(1024, 512)
	tiff, err := CreateTIFF(Disk, filepath.Join(t.TempDir(), "mask.tif"), TIFFConfig{Size: size, Tile: 256, Compression: "none"})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPyramid(size, 256, Majority, tiff)
	if err := p.Write(image.Rectangle{Max: size}, size.X, make([]byte, size.X*size.Y)); err != nil {
		t.Fatal(err)
	}
	for level, want := range []uint32{256 * 256, 256 * 256, 256 * 128} {
		for _, n := range tiff.levels[level].counts {
			if n != want {
				t.Errorf("level %d has a tile of %d bytes, want %d", level, n, want)
			}
		}
	}
	if err := p.Abort(); err != nil {
		t.Error(err)
	}
}
