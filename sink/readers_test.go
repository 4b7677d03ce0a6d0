package sink_test

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"microtome/sink"

	"github.com/davidbyttow/govips/v2/vips"
)

var (
	// oddSize is odd at every level. evenSize has levels that are whole fractions: OpenSlide's tools take
	// regions by their place in level 0, and interpolate where that is not a whole pixel of the level.
	// Both end with levels smaller than a tile.
	oddSize, evenSize = image.Pt(1111, 901), image.Pt(640, 576)

	readMPPs = []float64{0.499, 0.25, 0.1725, 1.0 / 3, 21.7}
)

const (
	software    = "microtome 1.2.3"
	description = "microtome mask of Präparat 7.svs"
)

// writeMask writes a mask of discs with the pyramid, and returns the labels of each level, which Levels
// and Majority are tested to give.
func writeMask(t *testing.T, cfg sink.TIFFConfig) (path string, levels [][]byte) {
	t.Helper()
	cfg.Software, cfg.Description = software, description
	readSize := cfg.Size
	path = filepath.Join(t.TempDir(), "mask.tif")
	tiff, err := sink.CreateTIFF(sink.Disk, path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 9))
	pix := make([]byte, readSize.X*readSize.Y)
	for range 300 {
		cx, cy, r, label := 300+rng.IntN(readSize.X-300), rng.IntN(readSize.Y), 5+rng.IntN(30), byte(rng.IntN(256))
		for y := max(0, cy-r); y < min(readSize.Y, cy+r); y++ {
			for x := max(0, cx-r); x < min(readSize.X, cx+r); x++ {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) < r*r {
					pix[y*readSize.X+x] = label
				}
			}
		}
	}
	p := sink.NewPyramid(readSize, cfg.Tile, sink.Majority, tiff)
	if err := p.Write(image.Rectangle{Max: readSize}, readSize.X, pix); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, s := range sink.Levels(readSize, cfg.Tile) {
		levels = append(levels, pix)
		half := make([]byte, len(pix))
		sink.Majority(half, pix, s.X, s.X, s.Y) // rows stay s.X apart
		pix = nil
		for y := range (s.Y + 1) / 2 {
			pix = append(pix, half[y*s.X:][:(s.X+1)/2]...)
		}
	}
	return path, levels
}

// allFiles returns every kind of file that a user can ask for.
func allFiles(size image.Point) []sink.TIFFConfig {
	var all []sink.TIFFConfig
	for i, compression := range sink.Compressions() {
		for _, tile := range []int{256, 512} {
			all = append(all, sink.TIFFConfig{Size: size, Tile: tile, Compression: compression, MPP: readMPPs[i]})
		}
	}
	return all
}

func eachFile(t *testing.T, size image.Point, test func(t *testing.T, cfg sink.TIFFConfig, path string, levels [][]byte)) {
	for _, cfg := range allFiles(size) {
		t.Run(fmt.Sprintf("%s-%d", cfg.Compression, cfg.Tile), func(t *testing.T) {
			path, levels := writeMask(t, cfg)
			test(t, cfg, path, levels)
		})
	}
}

// wantTile is the edge of the file's tiles along an axis of a level: a multiple of 32, never longer than the level.
func wantTile(cfg sink.TIFFConfig, edge int) int {
	n := cfg.Tile
	for n > edge {
		n -= 32
	}
	return n
}

func near(got, want float64) bool { return math.Abs(got/want-1) < 1e-6 }

// tool returns the path of a program, or skips the test.
func tool(t *testing.T, name, from string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: apt-get install %s", name, from)
	}
	return path
}

func TestLibvipsReadsTIFF(t *testing.T) {
	eachFile(t, oddSize, func(t *testing.T, cfg sink.TIFFConfig, path string, levels [][]byte) {
		for level, pix := range readLibvips(t, path, sink.Levels(oddSize, cfg.Tile)) {
			if !bytes.Equal(pix, levels[level]) {
				t.Errorf("level %d: other pixels", level)
			}
		}
		img, err := vips.LoadThumbnailFromFile(path, oddSize.X, oddSize.Y, vips.InterestingNone, vips.SizeForce, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		if !near(img.ResX(), 1e3/cfg.MPP) || !near(img.ResY(), 1e3/cfg.MPP) {
			t.Errorf("%g × %g pixels a millimetre, want %g", img.ResX(), img.ResY(), 1e3/cfg.MPP)
		}
		if got := img.GetString("image-description"); got != description {
			t.Errorf("description %q", got)
		}
	})
}

func TestOpenSlideReadsTIFF(t *testing.T) {
	show, write := tool(t, "openslide-show-properties", "openslide-tools"), tool(t, "openslide-write-png", "openslide-tools")
	eachFile(t, evenSize, func(t *testing.T, cfg sink.TIFFConfig, path string, levels [][]byte) {
		out, err := exec.Command(show, path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		property := map[string]string{}
		for line := range strings.Lines(string(out)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			property[name] = strings.Trim(value, "'")
		}
		sizes := sink.Levels(evenSize, cfg.Tile)
		want := map[string]string{
			"openslide.vendor": "generic-tiff", "openslide.level-count": strconv.Itoa(len(sizes)),
			"tiff.Software": software, "tiff.ImageDescription": description, "tiff.ResolutionUnit": "centimeter",
		}
		for level, s := range sizes {
			prefix := fmt.Sprintf("openslide.level[%d].", level)
			want[prefix+"width"], want[prefix+"height"] = strconv.Itoa(s.X), strconv.Itoa(s.Y)
			want[prefix+"tile-width"], want[prefix+"tile-height"] = strconv.Itoa(wantTile(cfg, s.X)), strconv.Itoa(wantTile(cfg, s.Y))
		}
		for name, value := range want {
			if property[name] != value {
				t.Errorf("%s is %q, want %q", name, property[name], value)
			}
		}
		for _, name := range []string{"tiff.XResolution", "tiff.YResolution"} {
			if got, err := strconv.ParseFloat(property[name], 64); err != nil || !near(got, 1e4/cfg.MPP) {
				t.Errorf("%s is %q, want %g", name, property[name], 1e4/cfg.MPP)
			}
		}
		for level, s := range sizes {
			picture := filepath.Join(t.TempDir(), "level.png")
			args := []string{path, "0", "0", strconv.Itoa(level), strconv.Itoa(s.X), strconv.Itoa(s.Y), picture}
			if out, err := exec.Command(write, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			f, err := os.Open(picture)
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(f)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			for i, label := range levels[level] {
				if r, g, b, a := img.At(i%s.X, i/s.X).RGBA(); r != uint32(label)*257 || g != r || b != r || a != 0xffff {
					t.Fatalf("level %d: pixel (%d, %d) is %x %x %x %x, want %x", level, i%s.X, i/s.X, r, g, b, a, label)
				}
			}
		}
	})
}

//go:embed testdata/pages.py
var pagesScript string

// A tifffilePage is what tifffile says of a page: see testdata/pages.py.
type tifffilePage struct {
	Width, Height, Tile, TileLength, Compression, Photometric, Subfile, Bits, Samples, Planar, Unit int

	XResolution, YResolution []float64 // numerator, denominator
	Software, Description    string
	SmallestOffset           int
	SmallestCount            int
	Tiles                    int
	Tags                     []int  // in the order of the file
	SHA256                   string // of the pixels, "" when this tifffile cannot decode them
}

type tifffileFile struct {
	Version     string
	Big         bool
	Endian      string
	Levels      int // of the series that tifffile makes of the pages
	Pages       []tifffilePage
	Undecodable string
}

func TestTifffileReadsTIFF(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's, which python3-tifffile belongs to
	if err := exec.Command(python, "-c", "import tifffile").Run(); err != nil {
		t.Skipf("%s has no tifffile: apt-get install python3-tifffile", python)
	}
	var cfgs []sink.TIFFConfig
	var pixels [][][]byte
	args := []string{"-c", pagesScript}
	for _, cfg := range allFiles(oddSize) {
		path, levels := writeMask(t, cfg)
		cfgs, pixels, args = append(cfgs, cfg), append(pixels, levels), append(args, path)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(python, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var files []tifffileFile
	if err := json.Unmarshal(out, &files); err != nil {
		t.Fatal(err)
	}
	for i, cfg := range cfgs {
		t.Run(fmt.Sprintf("%s-%d", cfg.Compression, cfg.Tile), func(t *testing.T) { files[i].check(t, cfg, pixels[i]) })
	}
}

func (file tifffileFile) check(t *testing.T, cfg sink.TIFFConfig, levels [][]byte) {
	sizes := sink.Levels(cfg.Size, cfg.Tile)
	if !file.Big || file.Endian != "<" || len(file.Pages) != len(sizes) {
		t.Fatalf("big %v, endian %s, %d pages", file.Big, file.Endian, len(file.Pages))
	}
	if file.Undecodable != "" {
		if cfg.Compression == "none" || cfg.Compression == "deflate" {
			t.Error(file.Undecodable)
		}
		t.Logf("tifffile %s compares no pixels here: %s", file.Version, file.Undecodable)
	}
	for level, p := range file.Pages {
		s := sizes[level]
		w, h := wantTile(cfg, s.X), wantTile(cfg, s.Y)
		if p.Width != s.X || p.Height != s.Y || p.Tile != w || p.TileLength != h {
			t.Errorf("level %d: %d × %d in tiles of %d × %d", level, p.Width, p.Height, p.Tile, p.TileLength)
		}
		if p.Compression != map[string]int{"none": 1, "lzw": 5, "deflate": 8, "packbits": 32773, "zstd": 50000}[cfg.Compression] || p.Photometric != 1 || p.Bits != 8 || p.Samples != 1 || p.Planar != 1 {
			t.Errorf("level %d: compression %d, photometric %d, %d bits, %d samples, planar %d", level, p.Compression, p.Photometric, p.Bits, p.Samples, p.Planar)
		}
		if p.Subfile != min(level, 1) {
			t.Errorf("level %d: subfile type %d", level, p.Subfile)
		}
		for i, r := range [][]float64{p.XResolution, p.YResolution} {
			full, here := []int{oddSize.X, oddSize.Y}[i], []int{s.X, s.Y}[i]
			if want := 1e4 / cfg.MPP * float64(here) / float64(full); len(r) != 2 || !near(r[0]/r[1], want) || p.Unit != 3 {
				t.Errorf("level %d: resolution %v in unit %d, want %g a centimetre", level, r, p.Unit, want)
			}
		}
		if want := []string{description}[min(level, 1):]; p.Software != software || strings.Join(want, "") != p.Description {
			t.Errorf("level %d: software %q, description %q", level, p.Software, p.Description)
		}
		if p.SmallestOffset < 16 || p.SmallestCount < 1 || p.Tiles != (s.X+w-1)/w*((s.Y+h-1)/h) {
			t.Errorf("level %d: %d tiles, the smallest offset is %d, the smallest count %d", level, p.Tiles, p.SmallestOffset, p.SmallestCount)
		}
		for i := 1; i < len(p.Tags); i++ {
			if p.Tags[i] <= p.Tags[i-1] {
				t.Errorf("level %d: tags are not in order: %v", level, p.Tags)
			}
		}
		if sum := sha256.Sum256(levels[level]); file.Undecodable == "" && p.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("level %d: other pixels", level)
		}
	}
}

// TestTilesOfOneLabelAreShared: a blank slide costs its index alone.
func TestTilesOfOneLabelAreShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mask.tif")
	size := image.Pt(256*40, 256*40)
	tiff, err := sink.CreateTIFF(sink.Disk, path, sink.TIFFConfig{Size: size, Tile: 256, Compression: "lzw"})
	if err != nil {
		t.Fatal(err)
	}
	p := sink.NewPyramid(size, 256, sink.Majority, tiff)
	if err := p.Write(image.Rectangle{Max: size}, size.X, make([]byte, size.X*size.Y)); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if tiles := int64(40*40*4/3 + 10); info.Size() > 16*tiles+4096 {
		t.Errorf("%d bytes for about %d blank tiles", info.Size(), tiles)
	}
}
