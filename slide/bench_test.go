package slide_test

import (
	"context"
	"image"
	"path/filepath"
	"testing"

	"microtome/bench/synthetic"
	"microtome/internal/raster"
	"microtome/slide"
	"microtome/slide/slidetest"
)

// perSecond reports the pixels of one round.
func perSecond(b *testing.B, pixels int) {
	b.ReportMetric(float64(pixels)*float64(b.N)/1e6/b.Elapsed().Seconds(), "Mpx/s")
}

// BenchmarkDecode reads each block of a JPEG pyramid once: the floor of everything else.
func BenchmarkDecode(b *testing.B) {
	const size = 2048
	dir := b.TempDir()
	path := filepath.Join(dir, "a.svs")
	if err := synthetic.WriteSlide(b.Context(), path, filepath.Join(dir, "truth.tif"), synthetic.Config{Size: size, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	s, err := slide.Open(path, slide.Config{}) // no cache
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	v, err := s.AtLevel(0)
	if err != nil {
		b.Fatal(err)
	}
	pix := make([]byte, 3*256*256)
	b.ReportAllocs()
	for b.Loop() {
		for y := 0; y < size; y += 256 {
			for x := 0; x < size; x += 256 {
				if err := v.Read(b.Context(), pix, image.Rect(x, y, x+256, y+256)); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	perSecond(b, size*size)
}

// cached returns a slide of noise whose blocks are all in the cache.
func cached(t testing.TB, size int) *slide.Slide {
	s := slide.New(slidetest.NewFake(slidetest.Noise, image.Pt(size, size), image.Pt(256, 256), 1), slide.Config{CacheBytes: 1 << 30})
	v, err := s.AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Read(t.Context(), make([]byte, 3*size*size), image.Rect(0, 0, size, size)); err != nil {
		t.Fatal(err)
	}
	return s
}

// Tiles with their margins, cut from cached blocks: in the middle, and at a corner with mirrored sides.
func BenchmarkCut(b *testing.B) {
	for name, at := range map[string]image.Point{"middle": {300, 300}, "corner": {-92, -92}} {
		b.Run(name, func(b *testing.B) {
			v, err := cached(b, 2048).AtLevel(0)
			if err != nil {
				b.Fatal(err)
			}
			const edge = 92 + 1024 + 96
			r := image.Rect(0, 0, edge, edge).Add(at)
			pix := make([]byte, 3*edge*edge)
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Read(b.Context(), pix, r); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, edge*edge)
		})
	}
}

// Pixels of the view, from cached blocks.
func BenchmarkResample(b *testing.B) {
	for name, mpp := range map[string]float64{"shrunk by 1.6": 0.4, "shrunk by 2": 0.5, "enlarged by 2": 0.125} {
		b.Run(name, func(b *testing.B) {
			v, err := cached(b, 2048).AtMPP(mpp, 0)
			if err != nil {
				b.Fatal(err)
			}
			const edge = 600
			pix := make([]byte, 3*edge*edge)
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Read(b.Context(), pix, image.Rect(50, 50, 50+edge, 50+edge)); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, edge*edge)
		})
	}
}

func BenchmarkReflectRuns(b *testing.B) {
	var stack [4]raster.Run
	b.ReportAllocs()
	for b.Loop() {
		if runs := raster.AppendRuns(stack[:0], -92, 1120, 1000); len(runs) != 3 {
			b.Fatal(runs)
		}
	}
}

func TestCachedReadDoesNotAllocate(t *testing.T) {
	v, err := cached(t, 512).AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 3*400*400)
	ctx := context.Background()
	for _, at := range []image.Point{{50, 50}, {-90, -90}} {
		n := testing.AllocsPerRun(20, func() {
			if err := v.Read(ctx, pix, image.Rect(0, 0, 400, 400).Add(at)); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("a cached read at %v allocates %g times", at, n)
		}
	}
}

// What a block costs beside its decoding, without a cache: the decoder does nothing.
func BenchmarkBlock(b *testing.B) {
	for name, cfg := range map[string]slide.Config{"plain": {}, "timeout": {Timeout: wait}, "unread": {Unread: true}} {
		b.Run(name, func(b *testing.B) {
			v, err := slide.New(&remembering{newHanging(-1, -1), func([]byte) {}}, cfg).AtLevel(0)
			if err != nil {
				b.Fatal(err)
			}
			pix := make([]byte, 3)
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Read(b.Context(), pix, image.Rect(0, 0, 1, 1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Asking for what is unread, of a slide of 100,000 × 100,000 pixels of which some blocks are, for a tile
// and for all of it.
func BenchmarkUnread(b *testing.B) {
	fake := slidetest.NewFake(slidetest.Noise, image.Pt(100_000, 100_000), image.Pt(256, 256), 1)
	v, err := slide.New(failing{fake}, slide.Config{Unread: true}).AtMPP(0.4, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := v.Read(b.Context(), make([]byte, 3*2000*2000), image.Rect(0, 0, 2000, 2000)); err != nil {
		b.Fatal(err)
	}
	for name, edge := range map[string]int{"a tile": 1212, "all": 62_500} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(v.Unread(image.Rect(0, 0, edge, edge))) == 0 {
					b.Fatal("none")
				}
			}
		})
	}
}

// A failing decodes no block.
type failing struct{ *slidetest.Fake }

func (failing) ReadBlock(context.Context, int, int, int, []byte) error { return errBlock }
