// Package shared finds what tests want and the repository does not hold: ONNX Runtime's library and a software Vulkan,
// where make setup and make vulkan have put them, and real slides and models, where somebody has them.
package shared

import (
	"os"
	"path/filepath"
	"runtime"
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
