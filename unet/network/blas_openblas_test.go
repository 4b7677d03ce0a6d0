//go:build openblas

package network

// blas is whose products of matrices are measured.
const blas = "OpenBLAS"
