package pipeline

import (
	"bytes"
	"os"
	"strconv"
)

// resident returns the bytes of memory that the process has now, and peak the most it ever had.
func resident() int64 { return status("VmRSS:") }
func peak() int64     { return status("VmHWM:") }

// status returns a field of /proc/self/status, 0 when it cannot be read.
func status(field string) int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == field {
			kib, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return kib << 10
		}
	}
	return 0
}
