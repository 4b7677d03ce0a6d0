package pipeline

import (
	"runtime/metrics"
	"testing"
)

// Once the cache of blocks is full and buffers go round, a tile allocates next to nothing on Go's heap: from the first
// quarter of the tiles to the last one.
func TestSteadyStateAllocatesLittle(t *testing.T) {
	const most = 64 << 10 // bytes a tile
	path := syntheticSlide(t, 4096)
	allocated := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	for _, name := range []string{"passthrough", "haematoxylin"} {
		m := openModel(t, name)
		for _, tile := range []int{256, 512} {
			var done, todo, from int
			var begun, ended uint64
			p := Pipeline{Model: m, Config: NewDefaultConfig(), Events: Events{
				SlideBegin: func(e SlideBegin) { todo = e.Todo },
				TileDone: func(TileDone) {
					if done++; done == todo/4 {
						begun, from = allocated(), done
					}
					ended = allocated()
				},
			}}
			p.Config.Out, p.Config.Tissue, p.Config.Tile = t.TempDir(), TissueOff, tile
			p.Config.Memory = 320 << 20 // 8 MiB of it keep blocks: full after a quarter
			if err := p.Run(t.Context(), Items(func(yield func(string, error) bool) { yield(path, nil) })); err != nil {
				t.Fatal(err)
			}
			if done != todo || from == 0 {
				t.Fatalf("%d of %d tiles are done", done, todo)
			}
			each := (ended - begun) / uint64(done-from)
			t.Logf("%s, tiles of %d px: %d bytes a tile", name, tile, each)
			if each > most {
				t.Errorf("%s, tiles of %d px: each of %d allocates %d bytes, want %d at most", name, tile, done-from, each, most)
			}
		}
	}
}
