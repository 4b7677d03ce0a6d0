//go:build unix && cgo && !purego

package ops

import (
	"math"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// guarded returns a copy of v that touches a page which nobody may read or write: the one after it, or the one before.
func guarded(t *rapid.T, v []float32, after bool) []float32 {
	page := syscall.Getpagesize()
	n := (4*len(v) + page - 1) / page * page
	b, err := syscall.Mmap(-1, 0, n+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(b) })
	for _, side := range [][]byte{b[:page], b[page+n:]} {
		if err := syscall.Mprotect(side, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	at := page
	if after {
		at += n - 4*len(v)
	}
	copied := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b[at:]))), len(v))
	copy(copied, v)
	return copied
}

// Kernels read and write nothing but the operands and the scratch they ask for. One that does ends the test with SIGSEGV.
func TestKernelsStayInTheirMemory(t *testing.T) {
	eachWidth(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t)
			guard := func(v []float32) []float32 { return guarded(t, v, rapid.Bool().Draw(t, "after")) }
			threads := rapid.IntRange(1, 2).Draw(t, "threads")
			g := sample{s.Convolution, guard(s.x), guard(s.w), guard(s.b), guard(s.dy)}
			for i, run := range []func(o *Ops, s sample, to []float32){
				func(o *Ops, s sample, to []float32) { Direct{}.Forward(o, s.Convolution, s.x, s.w, s.b, to) },
				func(o *Ops, s sample, to []float32) { Direct{}.Input(o, s.Convolution, s.w, s.dy, to) },
				func(o *Ops, s sample, to []float32) { Direct{}.Weights(o, s.Convolution, s.x, s.dy, to) },
			} {
				want := [][]float32{rubbish(len(s.dy)), rubbish(len(s.x)), rubbish(len(s.w))}[i]
				got := guard(want)
				free, tight := &Ops{Threads: threads}, &Ops{Threads: threads}
				run(free, s, want)
				for k, room := range free.scratch { // as much as was asked for
					tight.scratch[k] = guard(rubbish(cap(room)))
					if i == 0 && cap(room) != (Direct{}).Room(tight, s.Convolution)[k] {
						t.Fatalf("scratch %d has %d floats, but %d were announced", k, cap(room), Direct{}.Room(tight, s.Convolution)[k])
					}
				}
				run(tight, g, got)
				if !slices.Equal(bits(got), bits(want)) {
					t.Fatalf("%s differs in other memory", names[i])
				}
			}
		})
	})
}

// So do the small ones, in which the compiler makes the vectors.
func TestSmallKernelsStayInTheirMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, w := 2*rapid.IntRange(1, 20).Draw(t, "h"), 2*rapid.IntRange(1, 40).Draw(t, "w")
		s := newSample(Convolution{Batch: 1, In: 1, H: h, W: w, Out: 1, Side: 1}, 1)
		after := rapid.Bool().Draw(t, "after")
		x, dy := guarded(t, s.x, after), guarded(t, s.dy, after)
		pooled, grad := guarded(t, rubbish(h*w/4), after), guarded(t, rubbish(h*w), after)
		poolPlane(x, pooled, h, w)
		reluGrad(x, dy, grad)
		for i, v := range slices.Concat(pooled, grad) {
			if math.IsNaN(float64(v)) {
				t.Fatalf("value %d is not set", i)
			}
		}
	})
}
