package unet

import (
	"testing"
)

// needRuntime skips a test where ONNX Runtime is not installed.
func needRuntime(t testing.TB) {
	t.Helper()
	if _, _, err := Libraries(Config{}); err != nil {
		t.Skip(err)
	}
}
