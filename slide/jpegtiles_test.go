package slide_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/davidbyttow/govips/v2/vips"
	"pgregory.net/rapid"

	"microtome/bench/synthetic"
	"microtome/internal/shared"
	"microtome/slide"
	"microtome/slide/slidetest"
)

const aperio = "Aperio of a test\r\n|AppMag = 40|MPP = 0.25"

// asVips returns a picture as an image of libvips.
func asVips(t *testing.T, r image.Rectangle, pixel slidetest.Pixel) *vips.ImageRef {
	t.Helper()
	slide.Libraries() // starts libvips
	var b bytes.Buffer
	shifted := func(level, x, y int) [3]byte { return pixel(level, x+r.Min.X, y+r.Min.Y) }
	if err := png.Encode(&b, paint(image.NewRGBA(image.Rectangle{Max: r.Size()}), r.Size(), opaque(shifted))); err != nil {
		t.Fatal(err)
	}
	im, err := vips.NewImageFromBuffer(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(im.Close)
	return im
}

// writeVips writes a pyramid as libvips does, with tables for all tiles of a page: below a quality of 90 as YCbCr of which
// the colours have half the resolution, from there on as RGB.
func writeVips(t *testing.T, path string, size, tile image.Point, quality int) {
	t.Helper()
	im := asVips(t, image.Rectangle{Max: size}, slidetest.Smooth)
	im.SetString("image-description", aperio)
	b, _, err := im.ExportTiff(&vips.TiffExportParams{
		Quality: quality, Compression: vips.TiffCompressionJpeg, Pyramid: true, Tile: true, TileWidth: tile.X, TileHeight: tile.Y,
	})
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	colours := bytes.Index(b[le32(b[4:]):], []byte{6, 1, 3, 0, 1, 0, 0, 0}) // tag 262, one short
	if got := le16(b[int(le32(b[4:]))+colours+8:]); colours < 0 || (got == 2) != (quality >= 90) {
		t.Fatalf("colours are %d with a quality of %d", got, quality)
	}
}

// inFull encodes a tile with colours of full resolution.
func inFull(t *testing.T, r image.Rectangle) []byte { return encoded(t, r, false) }

func progressively(t *testing.T, r image.Rectangle) []byte { return encoded(t, r, true) }

func encoded(t *testing.T, r image.Rectangle, progressive bool) []byte {
	t.Helper()
	b, _, err := asVips(t, r, slidetest.Smooth).ExportJpeg(&vips.JpegExportParams{
		Quality: 80, Interlace: progressive, SubsampleMode: vips.VipsForeignSubsampleOff,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each block of each level has the bytes that it has by OpenSlide; and JPEG tiles are read as such.
func TestJPEGTilesAsByOpenSlide(t *testing.T) {
	written := func(write func(t *testing.T, path string)) func(t *testing.T) string {
		return func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "a.svs")
			write(t, path)
			return path
		}
	}
	byVips := func(size, tile image.Point, quality int) func(t *testing.T) string {
		return written(func(t *testing.T, path string) { writeVips(t, path, size, tile, quality) })
	}
	ofPage := func(p page, encoded func(*testing.T, image.Rectangle) []byte) func(t *testing.T) string {
		return written(func(t *testing.T, path string) {
			p.description, p.pixel = aperio, slidetest.Smooth
			if encoded != nil {
				p.encoded = func(r image.Rectangle) []byte { return encoded(t, r) }
			}
			writeTIFF(t, path, p)
		})
	}
	const all = -1
	for name, c := range map[string]struct {
		file  func(t *testing.T) string
		jpegs []int // blocks of each level that are read as JPEG tiles
	}{
		"ours":                {written(func(t *testing.T, path string) { writeSVS(t, path, image.Pt(1024, 768)) }), []int{all, all, all}},
		"ours, odd":           {written(func(t *testing.T, path string) { writeSVS(t, path, image.Pt(1001, 703)) }), []int{all, 0, 0}},
		"synthetic":           {written(func(t *testing.T, path string) { writeSynthetic(t, path, 700) }), []int{all, all, all}},
		"RGB":                 {byVips(image.Pt(1000, 600), image.Pt(256, 256), 92), []int{all, all, all}},
		"shared colours":      {byVips(image.Pt(1000, 600), image.Pt(256, 256), 75), []int{all, all, all}},
		"small tiles":         {byVips(image.Pt(768, 512), image.Pt(64, 96), 75), []int{all, all, all, all}},
		"small, odd":          {byVips(image.Pt(333, 517), image.Pt(48, 80), 75), []int{all, 0, 0}},
		"large tiles":         {byVips(image.Pt(1536, 1100), image.Pt(1024, 512), 75), []int{all, all}},
		"full colours":        {ofPage(page{size: image.Pt(600, 420), tile: 256, jpeg: true}, inFull), []int{all}},
		"progressive":         {ofPage(page{size: image.Pt(600, 420), tile: 256, jpeg: true}, progressively), []int{all}},
		"taken for RGB":       {ofPage(page{size: image.Pt(600, 420), tile: 256, jpeg: true, photometric: 2}, nil), []int{all}},
		"not JPEG":            {ofPage(page{size: image.Pt(600, 420), tile: 256}, nil), []int{0}},
		"tile of libvips":     {byVips(image.Pt(4200, 300), image.Pt(4096, 2048), 75), []int{0}},
		"Aperio's own":        {func(t *testing.T) string { return shared.File(t, "slides/CMU-1-Small-Region.svs") }, []int{all}},
		"not of Aperio's own": {func(t *testing.T) string { return shared.File(t, "slides/test3-DAPI-2-387.ndpi") }, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.file(t)
			for level, jpegs := range c.jpegs {
				got, _, read, err := slide.ReadBlocks(path, level, slide.Shortest)
				if err != nil {
					t.Fatal(err)
				}
				want, _, _, err := slide.ReadBlocks(path, level, slide.ByOpenSlide)
				if err != nil {
					t.Fatal(err)
				}
				if jpegs == all {
					jpegs = len(want)
				}
				if read != jpegs || len(got) != len(want) {
					t.Errorf("level %d: of %d blocks %d are read as JPEG tiles, want %d of %d", level, len(got), read, jpegs, len(want))
				}
				for i := range want {
					if !bytes.Equal(got[i], want[i]) {
						t.Errorf("level %d: block %d differs from what OpenSlide gives", level, i)
					}
				}
			}
		})
	}
}

func writeSynthetic(t testing.TB, path string, size int) {
	t.Helper()
	if err := synthetic.WriteSlide(t.Context(), path, path+".tif", synthetic.Config{Size: size, Seed: 5}); err != nil {
		t.Fatal(err)
	}
}

// All that may be wrong with a tile, and with what is said of it, ends as it does by OpenSlide: in the same pixels, or in
// the same error.
func TestDamagedTileAsByOpenSlide(t *testing.T) {
	svs := filepath.Join(t.TempDir(), "a.svs")
	writeVips(t, svs, image.Pt(700, 500), image.Pt(256, 256), 75)
	whole, err := os.ReadFile(svs)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, jpegs, err := slide.ReadBlocks(svs, 0, slide.Shortest); jpegs != 6 || err != nil {
		t.Fatalf("%d of 6 blocks are JPEG tiles: %v", jpegs, err)
	}
	data := classicTile(t, whole, 4)
	le := binary.LittleEndian
	// value returns where the offset (324) or the length (325) of tile 4 stands.
	value := func(id uint16) int {
		ifd := int(le32(whole[4:]))
		for i := range int(le16(whole[ifd:])) {
			if e := ifd + 2 + 12*i; le16(whole[e:]) == id {
				return int(le32(whole[e+8:])) + 4*4
			}
		}
		t.Fatalf("no tag %d", id)
		return 0
	}
	offset, length := value(324), value(325)
	tables := bytes.Index(whole, []byte{0xff, 0xd8, 0xff, 0xdb})
	if tables < 0 {
		t.Fatal("no tables")
	}
	frame := data[0] + bytes.Index(whole[data[0]:data[1]], []byte{0xff, 0xc0})
	put := func(at int, v int) func(b []byte) { return func(b []byte) { le.PutUint32(b[at:], uint32(v)) } }
	outcomes := map[bool]int{}
	check := func(t tester, name string, change func(b []byte)) {
		b := bytes.Clone(whole)
		change(b)
		path := filepath.Join(filepath.Dir(svs), "b.svs")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		got, want := allOf(path, slide.Shortest), allOf(path, slide.ByOpenSlide)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: blocks are\n%.400q\nand by OpenSlide\n%.400q", name, got, want)
		}
		outcomes[slices.ContainsFunc(want, func(s string) bool { return len(s) < 1000 })]++
	}
	for name, change := range map[string]func(b []byte){
		"nothing":                 func([]byte) {},
		"no length":               put(length, 0),
		"a length of 1":           put(length, 1),
		"cut short":               put(length, (data[1]-data[0])/2),
		"without its end":         put(length, data[1]-data[0]-2),
		"longer":                  put(length, data[1]-data[0]+100),
		"longer than the file":    put(length, len(whole)),
		"as long as can be":       put(length, 1<<32-1),
		"longer than a tile":      put(length, 4*256*256+1<<17),
		"beyond the file":         put(offset, len(whole)+1000),
		"at the end of the file":  put(offset, len(whole)-10),
		"at no place":             put(offset, 0),
		"at the file's head":      put(offset, 4),
		"a hole":                  func(b []byte) { clear(b[(data[0]+data[1])/2 : data[1]]) },
		"no picture":              func(b []byte) { clear(b[data[0]:data[1]]) },
		"bytes that are flipped":  func(b []byte) { b[(data[0]+data[1])/2] ^= 0x55 },
		"tables of nothing":       func(b []byte) { clear(b[tables:][:100]) },
		"tables that are flipped": func(b []byte) { b[tables+10] ^= 0x11 },
		"another height":          func(b []byte) { b[frame+5] ^= 1 },
		"another width":           func(b []byte) { b[frame+8] ^= 0x10 },
		"12 bits":                 func(b []byte) { b[frame+4] = 12 },
		"other sampling":          func(b []byte) { b[frame+11] = 0x11 },
	} {
		check(t, name, change)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, "random", func(b []byte) {
			for range rapid.IntRange(1, 3).Draw(t, "bytes") {
				at := rapid.SampledFrom([][2]int{data, {data[0], frame + 30}, {tables, tables + 300}}).Draw(t, "part")
				b[rapid.IntRange(at[0], at[1]-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			}
		})
	})
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("%d files with errors, %d without", outcomes[true], outcomes[false])
	}
}

// Whole pictures that are no tiles of this slide.
func TestOtherTilesAsByOpenSlide(t *testing.T) {
	grey := func(r image.Rectangle) []byte {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, image.NewGray(image.Rectangle{Max: r.Size()}), nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	sized := func(w, h int) func(r image.Rectangle) []byte {
		return func(r image.Rectangle) []byte { return inFull(t, image.Rectangle{r.Min, r.Min.Add(image.Pt(w, h))}) }
	}
	for name, other := range map[string]func(image.Rectangle) []byte{
		"narrow": sized(240, 256), "wide": sized(512, 256), "low": sized(256, 255), "high": sized(256, 257), "grey": grey,
	} {
		path := filepath.Join(t.TempDir(), "a.svs")
		writeTIFF(t, path, page{
			size: image.Pt(600, 420), tile: 256, jpeg: true, description: aperio, encoded: func(r image.Rectangle) []byte {
				if r.Min.X == 256 {
					return other(r)
				}
				return inFull(t, r)
			},
		})
		got, want := allOf(path, slide.Shortest), allOf(path, slide.ByOpenSlide)
		if !slices.Equal(got, want) {
			t.Errorf("%s: blocks are\n%.400q\nand by OpenSlide\n%.400q", name, got, want)
		}
		if len(want[0]) < 1000 || name != "grey" && len(want[1]) > 1000 {
			t.Errorf("%s: blocks are\n%.400q", name, want)
		}
	}
}

// allOf returns the pixels of each block of level 0, or else its error.
func allOf(path string, way slide.Way) (all []string) {
	s, err := slide.OpenBy(path, slide.Config{}, way)
	if err != nil {
		return []string{err.Error()}
	}
	defer s.Close()
	v, err := s.AtLevel(0)
	if err != nil {
		return []string{err.Error()}
	}
	l := s.Info().Levels[0]
	for y := 0; y < l.Size.Y; y += l.Block.Y {
		for x := 0; x < l.Size.X; x += l.Block.X {
			r := image.Rect(x, y, x+l.Block.X, y+l.Block.Y).Intersect(image.Rectangle{Max: l.Size})
			pix := make([]byte, 3*r.Dx()*r.Dy())
			if err := v.Read(context.Background(), pix, r); err != nil {
				all = append(all, err.Error())
			} else {
				all = append(all, string(pix))
			}
		}
	}
	return all
}

// A slide that is closed while others read it gives them pixels or an error, and is not open any more.
func TestCloseWhileTilesAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.svs")
	writeSVS(t, path, image.Pt(1024, 768))
	want := allOf(path, slide.ByOpenSlide)
	for range 10 {
		s, err := slide.Open(path, slide.Config{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.AtLevel(0)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		read := make(chan bool, 100)
		for n := range 4 {
			group.Go(func() {
				for i := range 12 {
					i = (i + 3*n) % 12
					pix := make([]byte, 3*256*256)
					err := v.Read(t.Context(), pix, image.Rect(i%4*256, i/4*256, i%4*256+256, i/4*256+256))
					var typed *slide.Error
					switch {
					case err == nil && string(pix) != want[i]:
						t.Errorf("block %d is another", i)
					case err != nil && !errors.As(err, &typed):
						t.Error(err)
					}
					read <- err == nil
				}
			})
		}
		<-read
		if openFiles(t, path) == 0 {
			t.Error("it is read, and not open")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
		if err := v.Read(t.Context(), make([]byte, 3), image.Rect(0, 0, 1, 1)); err == nil {
			t.Error("a closed slide is read")
		}
		if n := openFiles(t, path); n > 0 {
			t.Fatalf("closed, the file is open %d times", n)
		}
	}
}

// A file that is gone, or another one by now, is not read on.
func TestTilesOfFileThatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.svs")
	writeSVS(t, path, image.Pt(1024, 768))
	s := opening(path)(t)
	if _, _, err := readBlock(t, s, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readBlock(t, s, 60, 60); err == nil {
		t.Error("it is read on")
	}
}

// openFiles returns how many times a file is open.
func openFiles(t *testing.T, path string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("which files are open is not to be had here")
	}
	for _, fd := range fds {
		if name, _ := os.Readlink("/proc/self/fd/" + fd.Name()); name == path {
			n++
		}
	}
	return n
}

// The ways to read the blocks of one level.
func BenchmarkWays(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.svs")
	writeSynthetic(b, path, 1024)
	for way, name := range []string{"shortest", "OpenSlide", "through libvips"} {
		b.Run(name, func(b *testing.B) {
			s, err := slide.OpenBy(path, slide.Config{}, slide.Way(way))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			v, err := s.AtLevel(0)
			if err != nil {
				b.Fatal(err)
			}
			pix := make([]byte, 3*1024*1024)
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Read(b.Context(), pix, image.Rect(0, 0, 1024, 1024)); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, 1024*1024)
		})
	}
}
