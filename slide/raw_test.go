package slide_test

import (
	"image"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"microtome/bench/synthetic"
	"microtome/slide"
)

// BenchmarkDecodeToRaw reads a slide as a run with a U-Net of depth 4 does, each tile with its margins, and, in turn
// with that, as raw.c does. raw/ours is the processor time of the second to that of the first.
func BenchmarkDecodeToRaw(b *testing.B) {
	const size, core, before, after, panel, cacheBytes = 10240, 1024, 92, 96, 8, 128 << 20
	dir := b.TempDir()
	path, raw := filepath.Join(dir, "a.svs"), filepath.Join(dir, "raw")
	if out, err := exec.Command("cc", "-O2", "-o", raw, "testdata/raw.c", "-ldl").CombinedOutput(); err != nil {
		b.Skipf("there is no C compiler: %v: %s", err, out)
	}
	if err := synthetic.WriteSlide(b.Context(), path, filepath.Join(dir, "truth.tif"), synthetic.Config{Size: size, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	pix := make([]byte, 3*(before+core+after)*(before+core+after))
	grid := slide.Grid{Region: image.Rect(0, 0, size, size), Core: core, Before: before, After: after, Panel: panel}
	ours := func() {
		s, err := slide.Open(path, slide.Config{CacheBytes: cacheBytes, Timeout: slide.NewDefaultConfig().Timeout})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		v, err := s.AtLevel(0)
		if err != nil {
			b.Fatal(err)
		}
		for t := range grid.All() {
			if err := v.Read(b.Context(), pix, t.Halo); err != nil {
				b.Fatal(err)
			}
		}
	}
	var own, bare float64
	b.ReportAllocs()
	for b.Loop() {
		since := processorTime(b)
		ours()
		own += (processorTime(b) - since).Seconds()
		out, err := exec.CommandContext(b.Context(), raw, path).Output()
		if err != nil {
			b.Skipf("OpenSlide cannot be measured: %v", err)
		}
		seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			b.Fatal(err)
		}
		bare += seconds
	}
	pixels := float64(size) * size * float64(b.N) / 1e6
	b.ReportMetric(pixels/own, "Mpx/s")
	b.ReportMetric(pixels/bare, "raw-Mpx/s")
	b.ReportMetric(bare/own, "raw/ours")
}

// processorTime returns what this process has taken so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
