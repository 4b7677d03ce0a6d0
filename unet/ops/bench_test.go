package ops

import (
	"fmt"
	"testing"

	"gonum.org/v1/gonum/blas"
)

// BenchmarkConvolution is one thread on what a network of base 16 at 256 px consists of: wide images of few channels at the top, small
// ones of many at the bottom.
func BenchmarkConvolution(b *testing.B) {
	for _, c := range []Convolution{
		{Batch: 1, In: 3, H: 256, W: 256, Out: 16, Side: 3, Pad: 1, ReLU: true},
		{Batch: 1, In: 16, H: 256, W: 256, Out: 16, Side: 3, Pad: 1, ReLU: true},
		{Batch: 1, In: 64, H: 64, W: 64, Out: 64, Side: 3, Pad: 1, ReLU: true},
		{Batch: 1, In: 256, H: 16, W: 16, Out: 256, Side: 3, Pad: 1, ReLU: true},
		{Batch: 1, In: 64, H: 64, W: 64, Out: 128, Side: 1},
	} {
		s := newSample(c, 1)
		h, w := c.size()
		flop := 2 * float64(c.In*c.Out*c.Side*c.Side) * float64(h*w)
		to := s.compute(fastest(), &Ops{Threads: 1})
		for _, backend := range []Backend{fastest(), BLAS{}} {
			o := &Ops{Threads: 1}
			for i, run := range []func(){
				func() { backend.Forward(o, c, s.x, s.w, s.b, to.y) },
				func() { backend.Input(o, c, s.w, s.dy, to.dx) },
				func() { backend.Weights(o, c, s.x, s.dy, to.dw) },
			} {
				b.Run(fmt.Sprintf("%d to %d of %d at %d px/%s/%T", c.In, c.Out, c.Side, c.W, names[i], backend), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						run()
					}
					b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}

// BenchmarkProduct multiplies large matrices: what BLAS's convolutions could reach if unfolding cost nothing.
func BenchmarkProduct(b *testing.B) {
	const n = 512
	s := newSample(Convolution{Batch: 1, In: n, H: 1, W: n, Out: n, Side: 1}, 1)
	c := make([]float32, n*n)
	b.ReportAllocs()
	for b.Loop() {
		sgemm(blas.NoTrans, blas.NoTrans, n, n, n, s.x, n, s.w, n, 0, c, n)
	}
	b.ReportMetric(2*n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
