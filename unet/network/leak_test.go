package network

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"microtome/unet/ops"
)

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// resident returns how many bytes of memory the process has, C's with Go's; 0 where nobody says.
func resident() int64 {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	var kilobytes int64
	_, _ = fmt.Sscan(after, &kilobytes)
	return kilobytes << 10
}

func TestNothingLeaks(t *testing.T) {
	s := Shape{Depth: 2, Base: 4, Channels: 3, Classes: 2}
	edge := s.Input(40)
	params := s.Init(1)
	image, target, dropout := example(s, edge, 1)
	step, err := NewStep(s, params, edge, edge, &ops.Ops{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer step.Close()
	run := func(n int) int64 {
		for range n {
			if _, err := step.Run(image, target, dropout); err != nil {
				t.Fatal(err)
			}
		}
		return heap()
	}
	run(20)
	before, all := run(20), resident()
	if after := run(1000); after > before+1<<20 {
		t.Errorf("a thousand steps leave %d bytes", after-before)
	}
	if after := resident(); !testing.Short() && after > all+8<<20 { // the race detector, which is run with -short, adds its own
		t.Errorf("a thousand steps leave %d bytes, counting C's", after-all)
	}
	forward := func(n int) int64 {
		for range n {
			f, err := NewForward(s, params, edge, edge, &ops.Ops{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Run(image); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		return heap()
	}
	forward(5)
	before = forward(5)
	if after := forward(100); after > before+1<<20 {
		t.Errorf("a hundred graphs leave %d bytes", after-before)
	}
}
