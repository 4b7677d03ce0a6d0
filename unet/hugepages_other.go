//go:build !linux

package unet

// adviseHugePages does nothing: the system decides by itself.
func adviseHugePages() {}
