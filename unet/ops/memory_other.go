//go:build !linux

package ops

// allocate returns n floats, and what gives them back: to the garbage collector.
func allocate(n int) ([]float32, func(), error) { return make([]float32, n), func() {}, nil }
