// Package shared finds the real slides and models that some tests want and the repository does not hold.
package shared

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// File returns the path of a file in the folder that MICROTOME_SHARED names, by default ../shared beside
// the repository. It skips the test where the file is absent: no test needs it to be there.
func File(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("MICROTOME_SHARED")
	if dir == "" {
		_, here, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(here), "..", "..", "..", "shared")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here: put it into the folder that MICROTOME_SHARED names", name)
	}
	return path
}
