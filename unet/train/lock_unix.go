//go:build unix

package train

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps other processes from training in a folder, until unlock or the end of the process.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("%s: another process trains in this folder: wait for it, or give another", dir), f.Close())
	}
	// Other errors are of file systems that know no locks, which let everybody in.
	return func() { _ = f.Close() }, nil // which gives the lock back
}
