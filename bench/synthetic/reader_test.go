package synthetic

import (
	"image"
	"testing"

	"microtome/slide"
	"microtome/slide/slidetest"
)

// TestReader: the slide in memory is a slide, whose levels are what doc.go says.
func TestReader(t *testing.T) {
	for _, size := range []int{200, 1100, 2300} {
		c := Config{Size: size, Seed: 3}
		p := &painter{scene: newScene(c)}
		const edge = 2304 // of what levels 1 and 2 are means of
		levels := [3][]byte{make([]byte, 3*edge*edge)}
		p.paint(levels[0], nil, image.Rect(0, 0, edge, edge))
		mean := func(src []byte, wide, x, y, n int) (rgb [3]byte) {
			for band := range 3 {
				sum := n * n / 2
				for i := range n * n {
					sum += int(src[3*((y+i/n)*wide+x+i%n)+band])
				}
				rgb[band] = byte(sum / (n * n))
			}
			return rgb
		}
		for level := 1; level < 3; level++ {
			wide := edge >> level
			for i := range wide * wide {
				rgb := mean(levels[level-1], 2*wide, i%wide*2, i/wide*2, 2)
				levels[level] = append(levels[level], rgb[:]...)
			}
		}
		want := func(level, x, y int) [3]byte {
			if level < 3 {
				return [3]byte(levels[level][3*(y*(edge>>level)+x):])
			}
			at := image.Pt(x<<level+1<<level/2-2, y<<level+1<<level/2-2)
			return mean(levels[0], edge, at.X, at.Y, 4)
		}
		slidetest.TestReader(t, func(*testing.T) *slide.Slide { return Open(c, slide.NewDefaultConfig()) }, want, 0)
	}
}

// TestFileIsTheReader: the file has the pixels of the slide in memory, but for JPEG.
func TestFileIsTheReader(t *testing.T) {
	c := Config{Size: 1500, Seed: 2}
	path, _ := write(t, c)
	file, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	memory := Open(c, slide.NewDefaultConfig())
	for level, l := range memory.Info().Levels {
		if got := file.Info().Levels[level].Size; got != l.Size {
			t.Fatalf("level %d has %v pixels in the file, %v in memory", level, got, l.Size)
		}
		var pix [2][]byte
		for i, s := range []*slide.Slide{file, memory} {
			v, err := s.AtLevel(level)
			if err != nil {
				t.Fatal(err)
			}
			pix[i] = make([]byte, 3*l.Size.X*l.Size.Y)
			if err := v.Read(t.Context(), pix[i], image.Rectangle{Max: l.Size}); err != nil {
				t.Fatal(err)
			}
		}
		off := 0
		for i := range pix[0] {
			off += max(int(pix[0][i])-int(pix[1][i]), int(pix[1][i])-int(pix[0][i]))
		}
		if mean := float64(off) / float64(len(pix[0])); level <= exact && mean > 6 {
			t.Errorf("level %d differs by %.1f on average", level, mean)
		}
	}
}

// BenchmarkPaint measures level 0 of the slide in memory on one processor: tissue and glass as they come,
// and tissue alone.
func BenchmarkPaint(b *testing.B) {
	const size = 8192
	r := NewReader(Config{Size: size, Seed: 1})
	dst, truth := make([]byte, 3*tile*tile), make([]byte, tile*tile)
	p := &painter{scene: newScene(Config{Size: size, Seed: 1})}
	var tissue [][2]int
	for i := range size / tile * size / tile {
		x, y := i%(size/tile), i/(size/tile)
		if p.paint(dst, truth, image.Rect(x*tile, y*tile, (x+1)*tile, (y+1)*tile)) {
			tissue = append(tissue, [2]int{x, y})
		}
	}
	run := func(name string, at func(i int) (x, y int)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				x, y := at(i)
				i++
				if err := r.ReadBlock(b.Context(), 0, x, y, dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(tile*tile*float64(b.N)/1e6/b.Elapsed().Seconds(), "Mpx/s")
		})
	}
	run("all", func(i int) (x, y int) {
		i = i * 37 % (size / tile * size / tile)
		return i % (size / tile), i / (size / tile)
	})
	run("tissue", func(i int) (x, y int) { at := tissue[i*37%len(tissue)]; return at[0], at[1] })
}

// BenchmarkTissueLevel measures the level that tissue is looked for on, of a slide of 20,000 pixels.
func BenchmarkTissueLevel(b *testing.B) {
	r := NewReader(Config{Size: 20000, Seed: 1})
	const level = 4
	size := r.Info().Levels[level].Size
	for b.Loop() {
		for y := range (size.Y + tile - 1) / tile {
			for x := range (size.X + tile - 1) / tile {
				if err := r.ReadBlock(b.Context(), level, x, y, make([]byte, 3*tile*tile)); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
