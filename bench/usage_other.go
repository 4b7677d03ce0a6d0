//go:build !linux

package bench

import (
	"errors"
	"syscall"
	"time"
)

func cpuTime() time.Duration {
	u := rusage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func rusage() (u syscall.Rusage) {
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u
}

func cgroupMemory() int64 { return 0 }

func machineMemory() int64 { return 0 }

func evict(string) error {
	return errors.New("--cache cold needs Linux: it alone lets go of a file's pages when asked to")
}

func processorName() string { return "" }
