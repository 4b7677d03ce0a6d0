package ops

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Loss adds equation 1 of the paper: the sum over pixels of -weight · log softmax(logits)[class]. target holds the weight of each
// pixel at its class, and 0 at the others; both are N × classes × h × w. It must be the root that gradients are taken of.
func (o *Ops) Loss(logits, target *gorgonia.Node) (*gorgonia.Node, error) {
	s := logits.Shape()
	batch, classes, n := s[0], s[1], s[2]*s[3]
	rows := make([]float64, batch*s[2])
	row := func(i int) (at, w int) { return i/s[2]*classes*n + i%s[2]*s[3], s[3] }
	return (&op{
		name: "loss", shape: tensor.ScalarShape(), wrt: []bool{true, false},
		do: func(out []float32, in [][]float32) {
			parallel(o.Threads, len(rows), func(first, last int) {
				for i := first; i < last; i++ {
					at, w := row(i)
					rows[i] = rowLoss(in[0][at:], in[1][at:], classes, n, w)
				}
			})
			sum := 0.0
			for _, v := range rows {
				sum += v
			}
			out[0] = float32(sum)
		},
		diff: func(in gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
			d, err := (&op{name: "lossGrad", shape: s, do: func(out []float32, in [][]float32) {
				parallel(o.Threads, len(rows), func(first, last int) {
					for i := first; i < last; i++ {
						at, w := row(i)
						rowLossGrad(in[0][at:], in[1][at:], out[at:], classes, n, w)
					}
				})
			}}).apply(in[0], in[1])
			return gorgonia.Nodes{d, nil}, err
		},
	}).apply(logits, target)
}

// rowLoss sums the loss of w pixels whose values of a class are n apart from those of the next.
func rowLoss(logits, target []float32, classes, n, w int) float64 {
	sum := 0.0
	for p := range w {
		norm := logNorm(logits[p:], classes, n)
		for c := range classes {
			if t := target[c*n+p]; t != 0 {
				sum += float64(t) * (norm - float64(logits[c*n+p]))
			}
		}
	}
	return sum
}

// logNorm is the logarithm of the sum of the exponentials of a pixel's logits.
func logNorm(logits []float32, classes, n int) float64 {
	if classes == 2 { // one exponential instead of two
		a, b := float64(logits[0]), float64(logits[n])
		return max(a, b) + math.Log1p(math.Exp(-math.Abs(a-b)))
	}
	largest := logits[0]
	for c := 1; c < classes; c++ {
		largest = max(largest, logits[c*n])
	}
	sum := 0.0
	for c := range classes {
		sum += math.Exp(float64(logits[c*n] - largest))
	}
	return float64(largest) + math.Log(sum)
}

// rowLossGrad sets grad to softmax · (sum of the target over classes) - target.
func rowLossGrad(logits, target, grad []float32, classes, n, w int) {
	for p := range w {
		norm := logNorm(logits[p:], classes, n)
		weight := float32(0)
		for c := range classes {
			weight += target[c*n+p]
		}
		for c := range classes {
			grad[c*n+p] = weight*float32(math.Exp(float64(logits[c*n+p])-norm)) - target[c*n+p]
		}
	}
}
