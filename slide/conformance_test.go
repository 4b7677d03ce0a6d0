package slide_test

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"microtome/sink"
	"microtome/slide"
	"microtome/slide/slidetest"
)

// opening returns a function that opens a file as the suite wants it.
func opening(path string) func(*testing.T) *slide.Slide {
	return func(t *testing.T) *slide.Slide {
		t.Helper()
		s, err := slide.Open(path, slide.NewDefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
}

func create(t testing.TB, name string, encode func(f *os.File) error) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err == nil {
		err = encode(f)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// paint fills an image by a formula.
func paint[T interface{ Set(x, y int, c color.Color) }](im T, size image.Point, at func(x, y int) color.Color) T {
	for y := range size.Y {
		for x := range size.X {
			im.Set(x, y, at(x, y))
		}
	}
	return im
}

func opaque(pixel slidetest.Pixel) func(x, y int) color.Color {
	return func(x, y int) color.Color {
		p := pixel(0, x, y)
		return color.NRGBA{p[0], p[1], p[2], 255}
	}
}

func grey(pixel slidetest.Pixel) slidetest.Pixel {
	return func(level, x, y int) [3]byte {
		r := pixel(level, x, y)[0]
		return [3]byte{r, r, r}
	}
}

func TestFake(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {1, 40}, {2, 3}, {64, 64}, {131, 77}} {
		for _, block := range []image.Point{{16, 16}, {64, 8}, {500, 500}} {
			t.Run(fmt.Sprintf("%v in %v", size, block), func(t *testing.T) {
				slidetest.TestReader(t, func(*testing.T) *slide.Slide {
					return slide.New(slidetest.NewFake(slidetest.Noise, size, block, 1, 2, 5), slide.Config{CacheBytes: 1 << 20})
				}, slidetest.Noise, 0)
			})
		}
	}
}

// Aperio's format goes through OpenSlide.
func TestSVS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.svs")
	writeSVS(t, path, image.Pt(1000, 700))
	slidetest.TestReader(t, opening(path), slidetest.Smooth, 14)
	info := opening(path)(t).Info()
	if info.Vendor != "aperio" || info.MPP != 0.25 || info.Objective != 40 || len(info.Levels) != 3 {
		t.Errorf("%+v", info)
	}
	if info.Resident <= 0 || info.Resident > 64<<20 {
		t.Errorf("OpenSlide keeps %d bytes", info.Resident)
	}
}

// writeSVS writes a JPEG pyramid that OpenSlide takes for Aperio's, painted with Smooth.
func writeSVS(t testing.TB, path string, size image.Point) {
	t.Helper()
	w, err := sink.CreateTIFF(sink.Disk, path, sink.TIFFConfig{
		Size: size, Tile: 256, RGB: true, Compression: "jpeg",
		Description: "Aperio of a test\r\n|AppMag = 40|MPP = 0.25",
	})
	if err != nil {
		t.Fatal(err)
	}
	for level, l := range sink.Levels(size, 256) {
		for y := 0; y*256 < l.Y; y++ {
			for x := 0; x*256 < l.X; x++ {
				r := image.Rect(x*256, y*256, (x+1)*256, (y+1)*256)
				if err := w.WriteTile(level, x, y, slidetest.Picture(slidetest.Smooth, level, r)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestTiledTIFFPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tif")
	writeTIFF(t, path,
		page{size: image.Pt(600, 420), tile: 128, mpp: 0.5, pixel: slidetest.Noise},
		page{size: image.Pt(300, 210), tile: 128, level: 1, pixel: slidetest.Noise},
		page{size: image.Pt(150, 105), tile: 64, level: 2, pixel: slidetest.Noise})
	slidetest.TestReader(t, opening(path), slidetest.Noise, 0)
	if info := opening(path)(t).Info(); len(info.Levels) != 3 || info.MPP != 0.5 {
		t.Errorf("%+v", info)
	}
}

// Labels, macro pictures and unrelated pages are no levels:
//
//	page 0   page 1  page 2   page 3      page 4
//	######   ##      ###      ###         ###
//	######   ##      ###      ###         ###
//	######   label   strips   same size   a level
func TestOnlyTheSamePictureIsALevel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tif")
	writeTIFF(t, path,
		page{size: image.Pt(600, 420), tile: 128, pixel: slidetest.Noise},
		page{size: image.Pt(150, 420), tile: 64, level: 8, pixel: slidetest.Noise},
		page{size: image.Pt(300, 210), level: 9, pixel: slidetest.Noise},
		page{size: image.Pt(600, 420), tile: 128, level: 7, pixel: slidetest.Noise},
		page{size: image.Pt(299, 210), tile: 64, level: 1, pixel: slidetest.Noise})
	slidetest.TestReader(t, opening(path), slidetest.Noise, 0)
	if info := opening(path)(t).Info(); len(info.Levels) != 2 {
		t.Errorf("%+v", info.Levels)
	}
}

const omeXML = `<?xml version="1.0" encoding="UTF-8"?><OME><Instrument><Objective NominalMagnification="20"/></Instrument>` +
	`<Image><Pixels PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="0.0005" PhysicalSizeYUnit="mm"/></Image></OME>`

func TestOMETIFFSubIFDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ome.tif")
	writeTIFF(t, path, page{size: image.Pt(500, 380), tile: 64, pixel: slidetest.Noise, description: omeXML, sub: []page{
		{size: image.Pt(250, 190), tile: 64, level: 1, pixel: slidetest.Noise},
		{size: image.Pt(125, 95), tile: 64, level: 2, pixel: slidetest.Noise},
	}})
	slidetest.TestReader(t, opening(path), slidetest.Noise, 0)
	info := opening(path)(t).Info()
	if len(info.Levels) != 3 || info.Vendor != "ome-tiff" || info.MPP != 0.5 || info.Objective != 20 {
		t.Errorf("%+v", info)
	}
}

// JPEG tiles hold YCbCr; the tag says so, or says RGB as Bio-Formats writes it.
func TestTIFFOfJPEGTiles(t *testing.T) {
	for name, photometric := range map[string]uint16{"YCbCr": 6, "called RGB": 2} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.tif")
			writeTIFF(t, path,
				page{size: image.Pt(600, 420), tile: 256, jpeg: true, photometric: photometric, pixel: slidetest.Smooth},
				page{size: image.Pt(300, 210), tile: 256, jpeg: true, photometric: photometric, level: 1, pixel: slidetest.Smooth})
			slidetest.TestReader(t, opening(path), slidetest.Smooth, 9)
		})
	}
}

func TestTIFFOfOtherPixels(t *testing.T) {
	for name, p := range map[string]page{
		"strips":        {pixel: slidetest.Noise},
		"grey":          {tile: 128, grey: true, pixel: grey(slidetest.Noise)},
		"16 bits":       {tile: 128, bits: 16, pixel: slidetest.Noise},
		"16 bits, grey": {grey: true, bits: 16, pixel: grey(slidetest.Noise)},
		"huge tile":     {tile: 4096, pixel: slidetest.Noise},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.tif")
			p.size = image.Pt(300, 210)
			writeTIFF(t, path, p)
			slidetest.TestReader(t, opening(path), p.pixel, 0)
		})
	}
}

func TestPNG(t *testing.T) {
	size := image.Pt(300, 210)
	full := image.Rectangle{Max: size}
	palette := color.Palette{}
	for i := range 200 {
		palette = append(palette, color.NRGBA{byte(i), byte(3 * i), byte(7 * i), 255})
	}
	index := func(x, y int) int { return int(slidetest.Noise(0, x, y)[0]) % 200 }
	veil := func(x, y int) byte { return slidetest.Noise(0, x, y)[2] }
	for name, c := range map[string]struct {
		im        image.Image
		want      slidetest.Pixel
		tolerance int
	}{
		"8 bits":  {paint(image.NewRGBA(full), size, opaque(slidetest.Noise)), slidetest.Noise, 0},
		"1 × 1":   {paint(image.NewRGBA(image.Rect(0, 0, 1, 1)), image.Pt(1, 1), opaque(slidetest.Noise)), slidetest.Noise, 0},
		"16 bits": {paint(image.NewNRGBA64(full), size, opaque(slidetest.Noise)), slidetest.Noise, 0},
		"grey": {
			paint(image.NewGray(full), size, func(x, y int) color.Color { return color.Gray{slidetest.Noise(0, x, y)[0]} }),
			grey(slidetest.Noise), 0,
		},
		"grey, 16 bits": {paint(image.NewGray16(full), size, func(x, y int) color.Color {
			return color.Gray16{uint16(slidetest.Noise(0, x, y)[0])<<8 | 77}
		}), grey(slidetest.Noise), 0},
		"palette": {
			paint(image.NewPaletted(full, palette), size, func(x, y int) color.Color { return palette[index(x, y)] }),
			func(_, x, y int) [3]byte {
				c := palette[index(x, y)].(color.NRGBA)
				return [3]byte{c.R, c.G, c.B}
			}, 0,
		},
		"transparency, laid on white": {paint(image.NewNRGBA(full), size, func(x, y int) color.Color {
			return color.NRGBA{10, 20, 30, veil(x, y)}
		}), func(_, x, y int) [3]byte {
			a := int(veil(x, y))
			on := func(c int) byte { return byte((c*a + 255*(255-a)) / 255) }
			return [3]byte{on(10), on(20), on(30)}
		}, 1},
		"transparency, 16 bits": {paint(image.NewNRGBA64(full), size, func(_, _ int) color.Color {
			return color.NRGBA64{10 << 8, 20 << 8, 30 << 8, 0x8080}
		}), func(_, _, _ int) [3]byte { return [3]byte{132, 137, 142} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := create(t, "a.png", func(f *os.File) error { return png.Encode(f, c.im) })
			slidetest.TestReader(t, opening(path), c.want, c.tolerance)
		})
	}
}

func TestJPEG(t *testing.T) {
	size := image.Pt(600, 420)
	path := create(t, "a.jpg", func(f *os.File) error {
		return jpeg.Encode(f, paint(image.NewRGBA(image.Rectangle{Max: size}), size, opaque(slidetest.Smooth)), &jpeg.Options{Quality: 95})
	})
	slidetest.TestReader(t, opening(path), slidetest.Smooth, 9)
}
