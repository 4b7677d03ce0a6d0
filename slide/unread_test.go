package slide_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"microtome/bench/synthetic"
	"microtome/internal/raster"
	"microtome/internal/shared"
	"microtome/slide"
	"microtome/slide/slidetest"
)

var errBlock = errors.New("planted")

// in reports whether a pixel of a mirrored view lies in one of the rectangles.
func in(rs []image.Rectangle, x, y int, size image.Point) bool {
	at := image.Pt(raster.Reflect(x, size.X), raster.Reflect(y, size.Y))
	return slices.ContainsFunc(rs, at.In)
}

// sameOutside compares two pictures of a rectangle but for what is unread.
func sameOutside(got, want []byte, r image.Rectangle, unread []image.Rectangle, size image.Point) (at image.Point, same bool) {
	for i := 0; i < len(got); i += 3 {
		x, y := r.Min.X+i/3%r.Dx(), r.Min.Y+i/3/r.Dx()
		if !bytes.Equal(got[i:i+3], want[i:i+3]) && !in(unread, x, y, size) {
			return image.Pt(x, y), false
		}
	}
	return at, true
}

// Views of a black slide of which some blocks fail: what is white, or grey, is told, and all that is
// told is.
func TestUnreadIsWhatBlocksHaveAPartIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		between := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
		size := image.Pt(between(1, 70, "width"), between(1, 70, "height"))
		block := image.Pt(between(1, 30, "block width"), between(1, 30, "block height"))
		seed := rapid.Uint64().Draw(t, "seed")
		broken := func(level, x, y int) bool {
			return rand.New(rand.NewPCG(seed, uint64(level<<40|y<<20|x))).IntN(6) == 0
		}
		fake := slidetest.NewFake(func(_, _, _ int) [3]byte { return [3]byte{} }, size, block, 1, 2, 4)
		fake.Before = func(level, x, y int) error {
			if broken(level, x, y) {
				return errBlock
			}
			return nil
		}
		s := slide.New(fake, slide.Config{CacheBytes: int64(between(0, 10_000, "cache")), Unread: true})
		var v *slide.View
		var err error
		if rapid.Bool().Draw(t, "resampled") {
			v, err = s.AtMPP(rapid.Float64Range(0.05, 3).Draw(t, "mpp"), 0.25)
		} else {
			v, err = s.AtLevel(between(0, 2, "level"))
		}
		if err != nil {
			t.Fatal(err)
		}
		r := drawRect(t, v.Size())
		pix := read(t, v, r)
		unread := v.Unread(r)
		shown := map[image.Point]bool{}
		for i := 0; i < len(pix); i += 3 {
			x, y := r.Min.X+i/3%r.Dx(), r.Min.Y+i/3/r.Dx()
			told := in(unread, x, y, v.Size())
			if pix[i] > 0 && !told {
				t.Fatalf("scale %.3f: (%d, %d) of %v is %d and not told: %v", v.Scale(), x, y, r, pix[i], unread)
			}
			if v.Scale() == 1 && pix[i] == 0 && told {
				t.Fatalf("(%d, %d) of %v is told and read", x, y, r)
			}
			if told {
				shown[image.Pt(raster.Reflect(x, v.Size().X), raster.Reflect(y, v.Size().Y))] = true
			}
		}
		// Whoever asks gets the same answer for a pixel: all of the view tells of no other within r.
		whole := image.Rectangle{Max: v.Size()}
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if one := image.Rect(x, y, x+1, y+1); in(v.Unread(whole), x, y, v.Size()) != in(unread, x, y, v.Size()) || (len(v.Unread(one)) > 0) != in(unread, x, y, v.Size()) {
					t.Fatalf("(%d, %d): asked for all %v, for %v %v, for itself %v", x, y, v.Unread(whole), r, unread, v.Unread(one))
				}
			}
		}
		for _, u := range unread {
			if u.Empty() || !u.In(whole) {
				t.Fatalf("%v of a view of %v", u, v.Size())
			}
		}
	})
}

// A block that fails is tried once, also when the cache has forgotten it, and is white for all who wait.
func TestUnreadBlockIsTriedOnce(t *testing.T) {
	fake := slidetest.NewFake(slidetest.Noise, image.Pt(100, 100), image.Pt(10, 10), 1)
	fake.Before = func(_, x, y int) error {
		if x == y {
			return errBlock
		}
		return nil
	}
	s := slide.New(fake, slide.Config{Unread: true}) // no cache
	v, err := s.AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	if v.Unread(image.Rect(0, 0, 100, 100)) != nil || s.Unread() != 0 {
		t.Error("unread before it is read")
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for y := 0; y < 100; y += 10 {
				if pix := read(t, v, image.Rect(y, y, y+10, y+10)); !bytes.Equal(pix, bytes.Repeat([]byte{255}, 300)) {
					t.Errorf("block %d is not white", y/10)
				}
			}
		})
	}
	group.Wait()
	if n := fake.Decodes.Load(); n < 10 || n > 80 { // goroutines may come between, without a cache
		t.Errorf("%d decodes", n)
	}
	before := fake.Decodes.Load()
	read(t, v, image.Rect(0, 0, 10, 10))
	if fake.Decodes.Load() != before {
		t.Error("a block that fails is tried again")
	}
	if s.Unread() != 10 {
		t.Errorf("%d blocks are unread, want 10", s.Unread())
	}
	want := []image.Rectangle{image.Rect(10, 10, 20, 20), image.Rect(20, 20, 30, 30)}
	if got := v.Unread(image.Rect(15, 0, 21, 29)); !slices.Equal(got, want) {
		t.Errorf("unread are %v, want %v", got, want)
	}
	if got := v.Unread(image.Rect(-20, -29, -11, 0)); !slices.Equal(got, want) { // mirrored, 12 to 20 and 1 to 29
		t.Errorf("beyond the edge unread are %v, want %v", got, want)
	}
	if got := v.Unread(image.Rectangle{}); got != nil {
		t.Errorf("of nothing, %v", got)
	}
	if _, err := s.Thumbnail(t.Context(), 50); err != nil {
		t.Error(err)
	}
	if _, err := s.Shrunk(t.Context(), 3); err != nil {
		t.Error(err)
	}
}

// Where on the slide blocks of any level lie is told in pixels of level 0.
func TestUnreadAreas(t *testing.T) {
	fake := slidetest.NewFake(slidetest.Noise, image.Pt(101, 90), image.Pt(30, 20), 1, 4)
	fake.Before = func(level, x, y int) error {
		if level == 0 && x == 1 && y == 2 || level == 1 && x == 0 && y == 1 {
			return errBlock
		}
		return nil
	}
	s := slide.New(fake, slide.Config{Unread: true})
	for level := range 2 {
		v := must(s.AtLevel(level))
		read(t, v, image.Rectangle{Max: v.Size()})
	}
	got := s.UnreadAreas()
	slices.SortFunc(got, func(a, b image.Rectangle) int { return a.Min.Y - b.Min.Y })
	if want := []image.Rectangle{image.Rect(30, 40, 60, 60), image.Rect(0, 80, 101, 90)}; !slices.Equal(got, want) {
		t.Errorf("unread are %v, want %v", got, want)
	}
	if got := slide.New(fake, slide.Config{}).UnreadAreas(); got != nil {
		t.Errorf("%v of a slide of which none may be", got)
	}
}

// A failure that is not the block's fails the read.
func TestUnreadIsForDamageOnly(t *testing.T) {
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded, slide.ErrTimeout} {
		fake := slidetest.NewFake(slidetest.Noise, image.Pt(10, 10), image.Pt(10, 10), 1)
		fake.Before = func(_, _, _ int) error { return cause }
		s := slide.New(fake, slide.Config{Unread: true})
		if _, _, err := readBlock(t, s, 0, 0); !errors.Is(err, cause) || s.Unread() != 0 {
			t.Errorf("%v: the read ends with %v, %d blocks are unread", cause, err, s.Unread())
		}
	}
}

// damage overwrites the second half of some bytes of a file.
func damage(t *testing.T, path string, data [2]int) (broken string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[(data[0]+data[1])/2 : data[1]])
	broken = filepath.Join(t.TempDir(), "broken"+filepath.Ext(path))
	if err := os.WriteFile(broken, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return broken
}

// Real files of which a tile of level 0 is broken: any rectangle of any view, read by several at once,
// is that of the whole file but for what is unread; and a part of that is not.
func TestUnreadTileOfFile(t *testing.T) {
	for name, file := range map[string]func(t *testing.T) (path string, data [2]int, tile image.Rectangle){
		"svs": func(t *testing.T) (string, [2]int, image.Rectangle) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.svs")
			if err := synthetic.WriteSlide(t.Context(), path, filepath.Join(dir, "truth.tif"), synthetic.Config{Size: 1280, Seed: 3}); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return path, jpegAt(t, b, 1280, 12), image.Rect(512, 512, 768, 768)
		},
		"tif": func(t *testing.T) (string, [2]int, image.Rectangle) {
			path := filepath.Join(t.TempDir(), "a.tif")
			tiles := writeTIFF(t, path, page{size: image.Pt(1280, 1280), tile: 256, jpeg: true, mpp: 0.25, pixel: slidetest.Smooth})
			return path, tiles[12], image.Rect(512, 512, 768, 768)
		},
		"tif, at the corner": func(t *testing.T) (string, [2]int, image.Rectangle) {
			path := filepath.Join(t.TempDir(), "a.tif")
			tiles := writeTIFF(t, path, page{size: image.Pt(1200, 1100), tile: 256, jpeg: true, mpp: 0.25, pixel: slidetest.Smooth})
			return path, tiles[24], image.Rect(1024, 1024, 1200, 1100)
		},
		"of Aperio": func(t *testing.T) (string, [2]int, image.Rectangle) {
			path := shared.File(t, "slides/CMU-1-Small-Region.svs")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return path, classicTile(t, b, 52), image.Rect(480, 1200, 720, 1440) // row 5, column 2 of 10
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, data, tile := file(t)
			whole := opening(path)(t)
			s, err := slide.Open(damage(t, path, data), slide.Config{CacheBytes: 4 << 20, Unread: true, Timeout: wait})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			own := whole.Info().MPP
			views := []func(s *slide.Slide) (*slide.View, error){
				func(s *slide.Slide) (*slide.View, error) { return s.AtLevel(0) },
				func(s *slide.Slide) (*slide.View, error) { return s.AtMPP(own*0.7, 0) },
				func(s *slide.Slide) (*slide.View, error) { return s.AtMPP(own*1.6, 0) },
			}
			rounds := 12
			if testing.Short() {
				rounds = 3
			}
			var group sync.WaitGroup
			for n, view := range views {
				v, err := view(s)
				if err != nil {
					t.Fatal(err)
				}
				w, err := view(whole)
				if err != nil {
					t.Fatal(err)
				}
				if v.Level() != 0 {
					t.Fatalf("view %d is of level %d", n, v.Level())
				}
				group.Go(func() {
					random := rand.New(rand.NewPCG(7, uint64(n)))
					near := image.Pt(int(float64(tile.Min.X)/v.Scale()), int(float64(tile.Min.Y)/v.Scale()))
					for range rounds {
						at := near.Add(image.Pt(random.IntN(500)-400, random.IntN(500)-400))
						r := image.Rectangle{Min: at, Max: at.Add(image.Pt(1+random.IntN(700), 1+random.IntN(700)))}
						got, want := read(t, v, r), read(t, w, r)
						if at, same := sameOutside(got, want, r, v.Unread(r), v.Size()); !same {
							t.Errorf("view %d, %v: (%d, %d) is not that of the whole file, unread are %v", n, r, at.X, at.Y, v.Unread(r))
						}
					}
					inside := image.Rectangle{Min: near, Max: near.Add(image.Pt(40, 40))}
					if got := read(t, v, inside); bytes.Equal(got, read(t, w, inside)) {
						t.Errorf("view %d shows what is broken", n)
					}
				})
			}
			group.Wait()
			v, err := views[0](s)
			if err != nil {
				t.Fatal(err)
			}
			full := image.Rectangle{Max: v.Size()}
			if at, same := sameOutside(read(t, v, full), read(t, must(whole.AtLevel(0)), full), full, v.Unread(full), v.Size()); !same {
				t.Errorf("(%d, %d) is not that of the whole file", at.X, at.Y)
			}
			if got := v.Unread(full); s.Unread() != 1 || len(got) != 1 || got[0] != tile {
				t.Errorf("%d blocks are unread: %v, want %v", s.Unread(), got, tile)
			}
			if _, err := s.Thumbnail(t.Context(), 300); err != nil {
				t.Error(err)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A picture without tiles is decoded whole, and fails as a whole.
func TestFlatFileIsNotUnread(t *testing.T) {
	size := image.Pt(600, 420)
	path := create(t, "a.png", func(f *os.File) error {
		return png.Encode(f, paint(image.NewRGBA(image.Rectangle{Max: size}), size, opaque(slidetest.Noise)))
	})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := slide.Open(damage(t, path, [2]int{0, int(info.Size())}), slide.Config{Unread: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v, err := s.AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	err = v.Read(t.Context(), make([]byte, 3), image.Rect(599, 419, 600, 420))
	if checkError(t, err, "read", "copy it again"); s.Unread() != 0 {
		t.Errorf("%d blocks are unread", s.Unread())
	}
}

// A file that is gone while it is read fails the slide: its blocks are not damaged.
func TestGoneFileIsNotUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tif")
	writeTIFF(t, path,
		page{size: image.Pt(1024, 1024), tile: 256, pixel: slidetest.Smooth},
		page{size: image.Pt(512, 512), tile: 256, level: 1, pixel: slidetest.Smooth})
	s, err := slide.Open(path, slide.Config{Unread: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := readBlock(t, s, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	v, err := s.AtLevel(1)
	if err != nil {
		t.Fatal(err)
	}
	err = v.Read(t.Context(), make([]byte, 3), image.Rect(0, 0, 1, 1))
	if checkError(t, err, "read", "cannot be opened"); s.Unread() != 0 {
		t.Errorf("%d blocks are unread", s.Unread())
	}
}
