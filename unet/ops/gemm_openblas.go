//go:build openblas

package ops

// #cgo pkg-config: openblas
// void openblas_set_num_threads(int);
import "C"

import (
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/netlib/blas/netlib"
)

// oneThread keeps OpenBLAS from starting threads of its own beside ours.
var oneThread = sync.OnceFunc(func() { C.openblas_set_num_threads(1) })

// sgemm sets c to a · b + beta · c.
func sgemm(ta, tb blas.Transpose, m, n, k int, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	oneThread()
	netlib.Implementation{}.Sgemm(ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
}
