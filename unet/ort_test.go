package unet

import (
	"os"
	"path/filepath"
	"testing"

	"microtome/internal/shared"
)

// needRuntime skips a test where ONNX Runtime is not installed.
func needRuntime(t testing.TB) {
	t.Helper()
	shared.Runtime(t, func() error { return startRuntime("") })
}

// writeModel writes a network to a file and returns its path.
func writeModel(t testing.TB, a Architecture) string {
	t.Helper()
	data, err := a.ONNX()
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, data)
}

func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}
