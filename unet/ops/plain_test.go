//go:build !cgo || purego

package ops

import "testing"

// each runs a test with each way to convolve that there is on this machine.
func each(t *testing.T, test func(*testing.T, Backend)) {
	t.Run("BLAS", func(t *testing.T) { test(t, BLAS{}) })
}
