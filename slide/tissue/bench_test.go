package tissue_test

import (
	"os"
	"testing"

	"microtome/internal/shared"
	"microtome/slide/tissue"
)

// BenchmarkFind looks for the tissue of a slide, by default a small one; TISSUE_BENCH_SLIDE names another.
func BenchmarkFind(b *testing.B) {
	path := os.Getenv("TISSUE_BENCH_SLIDE")
	if path == "" {
		path = shared.File(b, "slides/CMU-1-Small-Region.svs")
	}
	v := open(b, path)
	b.ReportAllocs()
	for b.Loop() {
		find(b, v, tissue.NewDefaultConfig())
	}
	b.ReportMetric(float64(v.Size().X)*float64(v.Size().Y)*float64(b.N)/1e6/b.Elapsed().Seconds(), "Mpx/s")
}
