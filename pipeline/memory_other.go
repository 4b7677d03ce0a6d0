//go:build !linux

package pipeline

import "syscall"

// Peak returns the most memory that the process ever had, bytes.
func Peak() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss // bytes on macOS
}
