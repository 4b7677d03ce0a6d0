package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cgroupMemory returns the memory of the control group that the process is in, page cache included, bytes; 0: not known.
func cgroupMemory() int64 { return number(cgroupFile("memory.current", "memory.usage_in_bytes")) }

// cgroupLimit returns the memory that the control group may have; 0: any.
func cgroupLimit() int64 {
	if n := number(cgroupFile("memory.max", "memory.limit_in_bytes")); n < 1<<60 {
		return n
	}
	return 0
}

// cgroupFile returns what a file of the control group holds: v2 or v1 name it.
func cgroupFile(v2, v1 string) []byte {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(groups)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) < 3 {
			continue
		}
		root, name := "/sys/fs/cgroup", v2
		if part[1] == "memory" {
			root, name = "/sys/fs/cgroup/memory", v1
		} else if part[1] != "" {
			continue
		}
		for _, dir := range []string{part[2], "/"} { // in a container the path may be the host's
			if b, err := os.ReadFile(filepath.Join(root, dir, name)); err == nil {
				return b
			}
		}
	}
	return nil
}

func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	return n
}

// machineMemory returns the memory of the machine, or of the control group where that may have less, bytes.
func machineMemory() int64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	all := int64(info.Totalram) * int64(info.Unit)
	if limit := cgroupLimit(); limit > 0 {
		return min(all, limit)
	}
	return all
}

// evict lets go of a file's pages in the system's cache.
func evict(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err == nil && fs.Type == unix.TMPFS_MAGIC {
		return fmt.Errorf("--cache cold: %s lies in memory (tmpfs): give --dir on a disk", path)
	}
	if err := f.Sync(); err != nil { // pages that are not on the disk yet stay
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// processorName returns what the processor calls itself.
func processorName() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
