// Package npy reads and writes arrays as NumPy files (numpy.lib.format, version 1.0): the test tensors that
// stand beside models.
package npy
