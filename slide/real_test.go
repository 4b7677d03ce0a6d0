package slide_test

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"microtome/internal/shared"
	"microtome/slide"
)

// openSlidePNG reads a rectangle of a level with OpenSlide's own tool. at is in pixels of level 0.
func openSlidePNG(t *testing.T, path string, at image.Point, level int, size image.Point) image.Image {
	t.Helper()
	tool, err := exec.LookPath("openslide-write-png")
	if err != nil {
		t.Skip("openslide-write-png is not here: it comes with the package openslide-tools")
	}
	out := filepath.Join(t.TempDir(), "a.png")
	args := []string{path}
	for _, n := range []int{at.X, at.Y, level, size.X, size.Y} {
		args = append(args, fmt.Sprint(n))
	}
	if text, err := exec.CommandContext(t.Context(), tool, append(args, out)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// sameAsOpenSlide compares a rectangle of a level, whose downsample is a whole number, to the byte.
func sameAsOpenSlide(t *testing.T, s *slide.Slide, level int, r image.Rectangle) {
	t.Helper()
	v, err := s.AtLevel(level)
	if err != nil {
		t.Fatal(err)
	}
	want := openSlidePNG(t, s.Info().Path, r.Min.Mul(int(s.Info().Levels[level].Downsample)), level, r.Size())
	for i, got := range read(t, v, r) {
		x, y := i/3%r.Dx(), i/3/r.Dx()
		red, green, blue, _ := want.At(x, y).RGBA()
		if w := [3]uint32{red, green, blue}[i%3] >> 8; uint32(got) != w {
			t.Fatalf("level %d: channel %d of (%d, %d) is %d, OpenSlide says %d", level, i%3, r.Min.X+x, r.Min.Y+y, got, w)
		}
	}
}

func TestAperio(t *testing.T) {
	s := opening(shared.File(t, "slides/CMU-1-Small-Region.svs"))(t)
	info := s.Info()
	if info.Vendor != "aperio" || info.MPP != 0.499 || info.Objective != 20 || len(info.Levels) != 1 ||
		info.Levels[0].Size != image.Pt(2220, 2967) || info.Levels[0].Block != image.Pt(240, 240) || info.Bounds != image.Rect(0, 0, 2220, 2967) {
		t.Errorf("%+v", info)
	}
	sameAsOpenSlide(t, s, 0, image.Rect(311, 507, 1101, 1107))
	sameAsOpenSlide(t, s, 0, image.Rect(2100, 2900, 2220, 2967))
}

func TestSyntheticAsOpenSlideShowsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.svs")
	writeSVS(t, path, image.Pt(1024, 768))
	s := opening(path)(t)
	sameAsOpenSlide(t, s, 0, image.Rect(100, 100, 700, 600))
	sameAsOpenSlide(t, s, 1, image.Rect(100, 100, 500, 380))
}

func TestHamamatsu(t *testing.T) {
	s := opening(shared.File(t, "slides/test3-DAPI-2-387.ndpi"))(t)
	info := s.Info()
	if info.Vendor != "hamamatsu" || math.Abs(info.MPP-0.22818) > 1e-5 || info.Objective != 40 || len(info.Levels) != 7 ||
		info.Levels[0].Size != image.Pt(3968, 4864) || info.Levels[6].Size != image.Pt(62, 76) {
		t.Errorf("%+v", info)
	}
	if block := info.Levels[0].Block; block.X%3968 != 0 { // its tiles are lines of 3968 × 8
		t.Errorf("blocks of %v cut the file's own tiles", block)
	}
	sameAsOpenSlide(t, s, 0, image.Rect(1000, 1500, 1500, 1900))
	sameAsOpenSlide(t, s, 2, image.Rect(100, 100, 600, 700))
}

// The tag of this file's JPEG tiles says RGB where they are YCbCr. It shows, as was seen by eye, an
// immunostain: nuclei blue by haematoxylin, or dark brown by DAB, on a grey ground. The mean colour is
// that of its tiles decoded as plain JPEG files. Taken by the tag, the ground is violet.
func TestOMETIFFOfBioFormats(t *testing.T) {
	s := opening(shared.File(t, "slides/OS-2-ndpi.ome.tif"))(t)
	info := s.Info()
	if info.Vendor != "ome-tiff" || math.Abs(info.MPP-0.2271) > 1e-4 || len(info.Levels) != 1 || info.Levels[0].Size != image.Pt(2202, 2202) {
		t.Errorf("%+v", info)
	}
	im, err := s.Thumbnail(t.Context(), 400)
	if err != nil {
		t.Fatal(err)
	}
	var mean [3]float64
	var dark, brown, mid, blue int
	for p := im.Pix; len(p) > 0; p = p[4:] {
		for c := range mean {
			mean[c] += float64(p[c]) / float64(len(im.Pix)/4)
		}
		switch {
		case p[1] < 60:
			if dark++; p[0] > p[2] {
				brown++
			}
		case p[1] < 180:
			if mid++; p[2] > p[0] {
				blue++
			}
		}
	}
	for c, want := range [3]float64{181, 188, 200} {
		if math.Abs(mean[c]-want) > 3 {
			t.Errorf("the mean colour is %.0f, want about [181 188 200]", mean)
			break
		}
	}
	if dark < 500 || brown < dark*9/10 || mid < 5000 || blue < mid*8/10 {
		t.Errorf("%d of %d dark pixels are brown, %d of %d others are blue", brown, dark, blue, mid)
	}
	if out := os.Getenv("SLIDE_TEST_PICTURE"); out != "" { // for a look at it
		f, err := os.Create(out)
		if err == nil {
			err = errors.Join(png.Encode(f, im), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
