//go:build unix

package sink

import (
	"errors"
	"os"
	"syscall"
)

// lock locks a file for this process, or fails at once. File systems that know no locks let everybody in.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return errors.New("another microtome is writing here: wait for it, or choose another folder with -o")
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
		return nil
	}
	return err
}
