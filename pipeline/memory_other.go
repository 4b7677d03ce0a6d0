//go:build !linux

package pipeline

import "syscall"

// peak returns the most memory that the process ever had, bytes.
func peak() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss // bytes on macOS
}
