//go:build !linux

package bench

import "errors"

func cgroupMemory() int64 { return 0 }

func machineMemory() int64 { return 0 }

func evict(string) error {
	return errors.New("--cache cold needs Linux: it alone lets go of a file's pages when asked to")
}

func processorName() string { return "" }
