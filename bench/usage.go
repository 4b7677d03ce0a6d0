package bench

import (
	"context"
	"runtime/metrics"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A usage is what the process has used so far.
type usage struct {
	at        time.Time
	cpu       time.Duration // user and system
	gc        float64       // s of processor time
	allocated int64         // bytes on Go's heap
}

func usageNow() usage {
	samples := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	gc := samples[0].Value.Float64() - samples[1].Value.Float64() // what it does when nobody else would costs nothing
	return usage{at: time.Now(), cpu: cpuTime(), gc: gc, allocated: int64(samples[2].Value.Uint64())}
}

// cpuTime returns the processor time that the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A steady watches what each tile of the second half allocates.
type steady struct {
	mu    sync.Mutex
	of    int // tiles
	done  int
	last  int64   // bytes allocated until the last tile
	bytes []int64 // by each of the later tiles
}

// tile counts a tile.
func (s *steady) tile() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	if s.done < s.of/2 {
		return
	}
	now := usageNow().allocated
	if s.done > s.of/2 {
		s.bytes = append(s.bytes, now-s.last)
	}
	s.last = now
}

// perTile returns the median of the bytes that a tile allocates: a buffer that is made once, when more tiles than ever are in flight, is
// not what a tile takes. 0: there were too few.
func (s *steady) perTile() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bytes) < 4 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.bytes))
	return sorted[len(sorted)/2]
}

// watchCgroup follows the memory of the control group until stop is called, which returns the most that it was; 0: not known.
func watchCgroup(ctx context.Context) (stop func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	most := make(chan int64, 1)
	go func() {
		var high int64
		ticks := time.NewTicker(20 * time.Millisecond)
		defer ticks.Stop()
		for {
			high = max(high, cgroupMemory())
			select {
			case <-ticks.C:
			case <-ctx.Done():
				most <- high
				return
			}
		}
	}()
	return func() int64 { cancel(); return <-most }
}
