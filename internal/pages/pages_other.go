//go:build !linux

package pages

// Huge does nothing: the system decides by itself.
func Huge([]byte) {}
