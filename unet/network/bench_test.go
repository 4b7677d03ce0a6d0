package network

import (
	"testing"

	"microtome/unet/ops"
)

// flop returns how many floating-point operations one forward pass over an image takes, two for each multiply-add.
func (s Shape) flop(edge int) float64 {
	sum := 0.0
	pad := 0
	if s.Same {
		pad = 1
	}
	conv := func(in, out, side, pad int) {
		edge += 2*pad - side + 1
		sum += 2 * float64(in) * float64(out) * float64(side*side) * float64(edge*edge)
	}
	in, out := s.Channels, s.Base
	for range s.Depth {
		conv(in, out, 3, pad)
		conv(out, out, 3, pad)
		in, out, edge = out, 2*out, edge/2
	}
	conv(in, out, 3, pad)
	conv(out, out, 3, pad)
	for range s.Depth {
		conv(out, 2*out, 1, 0)
		edge, out = 2*edge, out/2
		conv(2*out, out, 3, pad)
		conv(out, out, 3, pad)
	}
	conv(out, s.Classes, 1, 0)
	return sum
}

// BenchmarkStep is a training step, forward and backward, counted as three times the forward pass. BLAS is gonum's, or
// OpenBLAS under its build tag.
func BenchmarkStep(b *testing.B) {
	for _, s := range []Shape{
		{Depth: 4, Base: 16, Channels: 3, Classes: 2, Same: true},
		{Depth: 4, Base: 16, Channels: 3, Classes: 2},
	} {
		edge, name := 256, "256 same"
		if !s.Same {
			edge, name = 268, "268 valid"
		}
		for _, with := range []struct {
			name   string
			layers Layers
		}{
			{"direct 1 thread", &ops.Ops{Threads: 1}},
			{"direct 2 threads", &ops.Ops{Threads: 2}},
			{blas + " 1 thread", &ops.Ops{Threads: 1, Backend: ops.BLAS{}}},
			{blas + " 2 threads", &ops.Ops{Threads: 2, Backend: ops.BLAS{}}},
			{"stock", Stock{}},
		} {
			b.Run(name+"/"+with.name, func(b *testing.B) {
				params := s.Init(1)
				image, target, dropout := example(s, edge, 1)
				step, err := NewStep(s, params, edge, edge, with.layers)
				if err != nil {
					b.Fatal(err)
				}
				defer step.Close()
				run := func() {
					if _, err := step.Run(image, target, dropout); err != nil {
						b.Fatal(err)
					}
				}
				run() // makes the outputs, which are kept
				b.ReportAllocs()
				for b.Loop() {
					run()
				}
				b.ReportMetric(3*s.flop(edge)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
