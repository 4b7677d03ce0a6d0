package ops

import (
	"fmt"
	"syscall"
	"unsafe"
)

// allocate returns n floats beside Go's heap, whose collector would else count them when it lets the heap grow, and
// what gives them back at once. Huge pages are asked for: rows of features lie far apart.
func allocate(n int) ([]float32, func(), error) {
	b, err := syscall.Mmap(-1, 0, 4*n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, nil, fmt.Errorf("no memory for %d MiB of features: give less --memory or fewer --workers: %w", n>>18, err)
	}
	const hugePage = 14              // MADV_HUGEPAGE
	_ = syscall.Madvise(b, hugePage) // or it is only slower
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), n), func() { _ = syscall.Munmap(b) }, nil
}
