//go:build !linux

package pipeline

import "syscall"

// resident returns the bytes of memory that the process has had at most: what it has now cannot be
// told without cgo on this system, and at the start of a run the two are close.
func resident() int64 { return peak() }

func peak() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss // bytes on macOS
}
