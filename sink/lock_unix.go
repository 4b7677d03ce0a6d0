//go:build unix

package sink

import (
	"errors"
	"os"
	"syscall"
)

// lock locks a file for this process, or fails at once with errBusy. It reports false where the file
// system knows no locks.
func lock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		if o, _ := readOwner(f); o != (owner{}) {
			return false, o.busy()
		}
		return false, errBusy
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
		return false, nil
	}
	return err == nil, err
}
