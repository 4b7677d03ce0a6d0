package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"microtome/unet/ops"
)

// example returns an image, a target and dropout factors for a network.
func example(s Shape, edge int, seed uint64) (image, target, dropout []float32) {
	r := rand.New(rand.NewPCG(seed, 1))
	out, _ := s.Output(edge)
	image = make([]float32, s.Channels*edge*edge)
	for i := range image {
		image[i] = float32(r.NormFloat64())
	}
	target = make([]float32, s.Classes*out*out)
	for p := range out * out {
		target[r.IntN(s.Classes)*out*out+p] = float32(r.ExpFloat64()) / float32(out*out)
	}
	c, h, w := s.Bottom(edge, edge)
	dropout = make([]float32, c*h*w)
	for i := range dropout {
		if r.Float64() > 0.3 {
			dropout[i] = 1 / 0.7
		}
	}
	return image, target, dropout
}

func bias(p Params, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	for _, t := range p {
		if len(t.Shape) == 1 {
			for i := range t.Value {
				t.Value[i] = float32(r.NormFloat64() * 0.1)
			}
		}
	}
}

func TestOwnLayersEqualStock(t *testing.T) {
	for _, s := range []Shape{
		{Depth: 1, Base: 3, Channels: 3, Classes: 2},
		{Depth: 2, Base: 4, Channels: 1, Classes: 3, Same: true},
		{Depth: 2, Base: 5, Channels: 3, Classes: 2},
	} {
		for _, own := range []*ops.Ops{{Threads: 1}, {Threads: 3}, {Threads: 2, Backend: ops.BLAS{}}} {
			edge := s.Input(9)
			if s.Same {
				edge = 20
			}
			t.Run(fmt.Sprintf("%+v %T %d", s, own.Backend, own.Threads), func(t *testing.T) {
				params := s.Init(3)
				bias(params, 1)
				image, target, dropout := example(s, edge, 7)
				a, err := NewStep(s, params, edge, edge, Stock{})
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				b, err := NewStep(s, params, edge, edge, own)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				for round := range 2 { // the second run must not see the first
					la, err := a.Run(image, target, dropout)
					if err != nil {
						t.Fatal(err)
					}
					lb, err := b.Run(image, target, dropout)
					if err != nil {
						t.Fatal(err)
					}
					if math.Abs(la-lb) > 1e-5*math.Abs(la) {
						t.Fatalf("round %d: loss %g with stock operations, %g with our own", round, la, lb)
					}
					for i, p := range params {
						ga, gb := a.Grad(i), b.Grad(i)
						scale := 0.0
						for _, v := range ga {
							scale = max(scale, math.Abs(float64(v)))
						}
						for j := range ga {
							if d := math.Abs(float64(ga[j] - gb[j])); d > 1e-5*scale+1e-7 {
								t.Fatalf("round %d: gradient of %s[%d] is %g with stock operations, %g with our own", round, p.Name, j, ga[j], gb[j])
							}
						}
					}
				}
			})
		}
	}
}

func TestGradientsAgainstFiniteDifferences(t *testing.T) {
	for name, layers := range map[string]func() Layers{
		"stock": func() Layers { return Stock{} },
		"own":   func() Layers { return &ops.Ops{Threads: 2} },
		"BLAS":  func() Layers { return &ops.Ops{Threads: 2, Backend: ops.BLAS{}} },
	} {
		for _, s := range []Shape{{Depth: 1, Base: 2, Channels: 2, Classes: 2}, {Depth: 2, Base: 2, Channels: 1, Classes: 3, Same: true}} {
			t.Run(fmt.Sprintf("%s same=%v", name, s.Same), func(t *testing.T) {
				edge := s.Input(6)
				params := s.Init(5)
				bias(params, 3)
				image, target, dropout := example(s, edge, 11)
				step, err := NewStep(s, params, edge, edge, layers())
				if err != nil {
					t.Fatal(err)
				}
				defer step.Close()
				loss := func() float64 {
					if _, err := step.Run(image, target, dropout); err != nil {
						t.Fatal(err)
					}
					return lossOf(step.Logits(), target, s.Classes)
				}
				loss()
				grads := make([][]float32, len(params))
				for i := range params {
					grads[i] = append(grads[i], step.Grad(i)...)
				}
				for i, p := range params {
					// A direction at a time: single numbers drown in float32's rounding.
					r := rand.New(rand.NewPCG(uint64(i), 9))
					dir := make([]float64, len(p.Value))
					want := 0.0
					for j := range dir {
						dir[j] = r.NormFloat64() / math.Sqrt(float64(len(dir)))
						want += dir[j] * float64(grads[i][j])
					}
					keep := append([]float32(nil), p.Value...)
					const h = 3e-4 // small beside the distance of values from the kinks of ReLU and pooling
					at := func(f float64) float64 {
						for j := range p.Value {
							p.Value[j] = keep[j] + float32(f*dir[j])
						}
						return loss()
					}
					got := (at(h) - at(-h)) / (2 * h)
					copy(p.Value, keep)
					if math.Abs(got-want) > 1e-2*math.Abs(want)+1e-4 {
						t.Errorf("%s: slope %g by differences, %g by gradients", p.Name, got, want)
					}
				}
			})
		}
	}
}

// lossOf is the loss in float64: float32 is too coarse for differences of it.
func lossOf(logits, target []float32, classes int) float64 {
	n, sum := len(logits)/classes, 0.0
	for p := range n {
		z := 0.0
		for c := range classes {
			z += math.Exp(float64(logits[c*n+p]))
		}
		for c := range classes {
			sum -= float64(target[c*n+p]) * (float64(logits[c*n+p]) - math.Log(z))
		}
	}
	return sum
}
