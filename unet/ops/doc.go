// Package ops holds the operations of a U-Net for Gorgonia: convolutions with their bias and ReLU, pooling,
// up-convolution, cropped concatenation and the weighted loss, each with its gradient.
//
// They do what chains of Gorgonia's own operations do, which are their oracle in the tests, at many times the
// speed and a fraction of the memory. Tensors are float32, N × channels × height × width.
//
// # Backends
//
// A [Backend] computes convolutions. [Direct] is used where there is a C compiler: kernels that the compiler turns
// into AVX-512, AVX2 or NEON, with no unfolding of the image (im2col). Its sums are made in one order whatever the
// image's size, so tiles of an image get the values that the whole would get, bit for bit. [BLAS] unfolds strips of the
// image and multiplies matrices: with OpenBLAS under the build tag openblas, else with gonum's pure Go, which the build
// tag purego makes the only backend.
//
// What is not a number stays so through convolutions, ReLU and pooling, so that the loss tells when a network has come
// apart. Only where gonum multiplies by a weight of exactly 0 is it lost.
//
// Work is split among threads by outputs, each computed whole by one thread: results do not depend on
// how many there are.
package ops
