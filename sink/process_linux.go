package sink

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// kernelID returns what this start of the kernel is called, the same in all containers on it; empty when
// it is not told.
func kernelID() string { return oneLine("/proc/sys/kernel/random/boot_id") }

// machineID returns what this installation is called, whenever it started; often empty in containers.
func machineID() string { return oneLine("/etc/machine-id") }

// pidSpace returns the namespace in which this process's number counts.
func pidSpace() string {
	space, _ := os.Readlink("/proc/self/ns/pid") // empty: not told
	return space
}

// processStart returns when a process started, in ticks since the kernel did; empty when there is none.
func processStart(pid int) string {
	stat := oneLine(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	// Field 22. Field 2 is the command in brackets and may hold spaces and brackets itself.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" { // ended, and not yet waited for
		return ""
	}
	return fields[19]
}

func oneLine(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}
