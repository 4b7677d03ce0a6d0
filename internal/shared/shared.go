// Package shared finds what tests want and the repository does not hold: ONNX Runtime's library and a software Vulkan,
// where make setup and make vulkan have put them, and real slides and models, where somebody has them. It also tells what the kernel says of the process.
package shared

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// root is the folder of the repository.
func root() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..")
}

// Runtime points ONNXRUNTIME_LIB at the library that make setup installs, unless it is set. open says
// whether the library can be used; where it cannot, the test is skipped, but never by a CI.
func Runtime(t testing.TB, open func() error) {
	t.Helper()
	if os.Getenv("ONNXRUNTIME_LIB") == "" {
		if found, _ := filepath.Glob(filepath.Join(root(), "lib", "libonnxruntime*")); found != nil {
			if err := os.Setenv("ONNXRUNTIME_LIB", found[0]); err != nil {
				t.Fatal(err)
			}
		}
	}
	switch err := open(); {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
}

// Vulkan returns the variables of a process that make ONNX Runtime find the software Vulkan of make vulkan. It skips the
// test where that is not there.
func Vulkan(t testing.TB) []string {
	t.Helper()
	at := filepath.Join(root(), "lib", "vulkan")
	icd := filepath.Join(at, "icd.json")
	if _, err := os.Stat(icd); err != nil {
		t.Skip("there is no software Vulkan for the webgpu device: make vulkan gets it, on Debian")
	}
	return []string{"VK_ICD_FILENAMES=" + icd, "LD_LIBRARY_PATH=" + filepath.Join(at, "libraries") + ":" + os.Getenv("LD_LIBRARY_PATH")}
}

// File returns the path of a file in the folder that MICROTOME_SHARED names, by default ../shared beside
// the repository. It skips the test where the file is absent: no test needs it to be there.
func File(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("MICROTOME_SHARED")
	if dir == "" {
		dir = filepath.Join(root(), "..", "shared")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here: put it into the folder that MICROTOME_SHARED names", name)
	}
	return path
}

// Status returns a size that the kernel tells of this process, such as VmRSS: or VmHWM:, bytes; on Linux.
func Status(t testing.TB, field string) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == field {
			kib, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return kib << 10
		}
	}
	t.Fatalf("no %s", field)
	return 0
}
