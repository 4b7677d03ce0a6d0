package sink

import (
	"bytes"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// nuclei draws what a segmentation of nuclei looks like: discs of two labels, 12 to 30 pixels wide, all
// over the left two thirds of a square, nothing on the right.
func nuclei(edge int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	pix := make([]byte, edge*edge)
	for range edge * edge * 2 / 3 / 1200 {
		cx, cy, r := rng.IntN(edge*2/3), rng.IntN(edge), 6+rng.IntN(10)
		label := byte(1 + rng.IntN(5)/4)
		for y := max(0, cy-r); y < min(edge, cy+r); y++ {
			for x := max(0, cx-r); x < min(edge, cx+r); x++ {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) < r*r {
					pix[y*edge+x] = label
				}
			}
		}
	}
	return pix
}

// A clock measures the processor time of a benchmark's loop: other work on the machine does not count.
type clock struct{ start time.Duration }

func startClock() clock { return clock{cpu()} }

// report reports how many megapixels of level 0 a processor gets through in a second.
func (c clock) report(b *testing.B, pixels int) {
	b.ReportMetric(float64(b.N)*float64(pixels)/1e6/(cpu()-c.start).Seconds(), "Mpx/s")
	b.ReportMetric(0, "ns/op")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPyramid writes mask.tif as a run does: cores of 1024 in panels of 8, pyramid and compression
// included.
func BenchmarkPyramid(b *testing.B) {
	const edge, core = 8192, 1024
	for _, data := range []string{"labels", "blank"} {
		pix := bytes.Repeat([]byte{0}, edge*edge) // writes them: the first read must not pay for fresh pages
		if data == "labels" {
			pix = nuclei(edge)
		}
		for _, compression := range Compressions() {
			b.Run(data+"/"+compression, func(b *testing.B) {
				path := filepath.Join(b.TempDir(), "mask.tif")
				b.ReportAllocs()
				clock := startClock()
				for b.Loop() {
					t, err := CreateTIFF(Disk, path, TIFFConfig{Size: image.Pt(edge, edge), Tile: 256, Compression: compression})
					if err != nil {
						b.Fatal(err)
					}
					p := NewPyramid(image.Pt(edge, edge), 256, Majority, t)
					for i := range (edge / core) * (edge / core) {
						r := image.Rect(0, 0, core, core).Add(image.Pt(i%(edge/core), i/(edge/core)).Mul(core))
						if err := p.Write(r, edge, pix[r.Min.Y*edge+r.Min.X:]); err != nil {
							b.Fatal(err)
						}
					}
					if err := p.Commit(); err != nil {
						b.Fatal(err)
					}
				}
				clock.report(b, edge*edge)
			})
		}
	}
}

// BenchmarkCodec compresses tiles of labels, one after the other.
func BenchmarkCodec(b *testing.B) {
	const tile, n = 256, 16
	pix := nuclei(tile * n)
	var tiles [n * n][]byte
	for i := range tiles {
		tiles[i] = make([]byte, 0, tile*tile)
		for y := range tile {
			tiles[i] = append(tiles[i], pix[(i/n*tile+y)*tile*n+i%n*tile:][:tile]...)
		}
	}
	for _, name := range Compressions() {
		b.Run(name, func(b *testing.B) {
			c, err := newCodec(name)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			clock := startClock()
			var dst []byte
			size := 0
			for b.Loop() {
				size = 0
				for _, t := range tiles {
					if dst, err = c.encode(dst[:0], t, tile); err != nil {
						b.Fatal(err)
					}
					size += len(dst)
				}
			}
			clock.report(b, len(pix))
			b.ReportMetric(float64(len(pix))/float64(size), "ratio")
		})
	}
}

func BenchmarkReduce(b *testing.B) {
	const edge = 2048
	pix := nuclei(edge)
	dst := make([]byte, edge*edge/2)
	for name, reduce := range map[string]Reduce{"majority": Majority, "mean": Mean} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			clock := startClock()
			for b.Loop() {
				reduce(dst, pix, edge, edge, edge)
			}
			clock.report(b, len(pix))
		})
	}
	b.Run("count", func(b *testing.B) {
		var counts [256]int64
		b.ReportAllocs()
		clock := startClock()
		for b.Loop() {
			count(&counts, pix)
		}
		clock.report(b, len(pix))
	})
}

// BenchmarkOverview is what the overlay costs beside mask.tif.
func BenchmarkOverview(b *testing.B) {
	o := NewOverview(image.Pt(4096, 4096), 256, 1600)
	pix := make([]byte, 256*256)
	b.ReportAllocs()
	clock := startClock()
	for b.Loop() {
		for i := range 16 {
			if err := o.WriteTile(2, i%4, i/4, pix); err != nil {
				b.Fatal(err)
			}
		}
	}
	clock.report(b, 16*256*256)
}

// BenchmarkJournal appends tiles of 1024, and replays them. Compare Append with BenchmarkPyramid: the two
// are fed the same tiles, one after the other.
func BenchmarkJournal(b *testing.B) {
	const edge, core = 8192, 1024
	size := image.Pt(edge, edge)
	h := JournalHeader{Region: image.Rectangle{Max: size}, Core: core}
	open := func(b *testing.B, path string) *Journal {
		j, err := openJournal(disk{}, path, h, func() error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		return j
	}
	for _, data := range []string{"labels", "blank"} {
		pix := bytes.Repeat([]byte{0}, edge*edge)
		if data == "labels" {
			pix = nuclei(edge)
		}
		fill := func(b *testing.B, j *Journal) {
			for i := range (edge / core) * (edge / core) {
				r := image.Rect(0, 0, core, core).Add(image.Pt(i%(edge/core), i/(edge/core)).Mul(core))
				rec := Record{Index: i, Rect: r, Stride: edge, Labels: pix[r.Min.Y*edge+r.Min.X:]}
				if err := j.Append(rec); err != nil {
					b.Fatal(err)
				}
			}
			if err := j.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("append/"+data, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "journal")
			clock := startClock()
			for b.Loop() {
				if err := os.RemoveAll(path); err != nil {
					b.Fatal(err)
				}
				j := open(b, path)
				fill(b, j)
				b.ReportMetric(float64(j.pos)*100/float64(edge*edge), "MB/100Mpx")
				if err := j.file.Close(); err != nil {
					b.Fatal(err)
				}
			}
			clock.report(b, edge*edge)
		})
		b.Run("replay/"+data, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "journal")
			j := open(b, path)
			fill(b, j)
			if err := j.file.Close(); err != nil {
				b.Fatal(err)
			}
			clock := startClock()
			for b.Loop() {
				j := open(b, path)
				for _, err := range j.Replay() {
					if err != nil {
						b.Fatal(err)
					}
				}
				if err := j.file.Close(); err != nil {
					b.Fatal(err)
				}
			}
			clock.report(b, edge*edge)
		})
	}
}
