package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A sample is a convolution with operands of normally distributed numbers.
type sample struct {
	Convolution
	x, w, b, dy []float32
}

// draw returns any convolution: of images narrower and wider than vectors, and no multiple of them.
func draw(t *rapid.T) sample {
	c := Convolution{
		Batch: rapid.IntRange(1, 3).Draw(t, "batch"), In: rapid.IntRange(1, 9).Draw(t, "in"), Out: rapid.IntRange(1, 9).Draw(t, "out"),
		Side: rapid.SampledFrom([]int{1, 3}).Draw(t, "side"), ReLU: rapid.Bool().Draw(t, "relu"),
	}
	c.Pad = rapid.IntRange(0, c.Side-1).Draw(t, "pad")
	least := max(1, c.Side-2*c.Pad)
	c.H, c.W = rapid.IntRange(least, 40).Draw(t, "h"), rapid.IntRange(least, 40).Draw(t, "w")
	return newSample(c, rapid.Uint64().Draw(t, "seed"))
}

func newSample(c Convolution, seed uint64) sample {
	r := rand.New(rand.NewPCG(seed, 1))
	normal := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	oh, ow := c.size()
	return sample{c, normal(c.Batch * c.In * c.H * c.W), normal(c.Out * c.In * c.Side * c.Side), normal(c.Out), normal(c.Batch * c.Out * oh * ow)}
}

// results are what a backend makes of a sample.
type results struct{ y, dx, dw []float32 }

// names are those of the fields of results.
var names = []string{"forward", "gradient of the image", "gradient of the weights"}

func (r results) each() [][]float32 { return [][]float32{r.y, r.dx, r.dw} }

// rubbish is what memory holds before it is written.
func rubbish(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(math.NaN())
	}
	return v
}

func (s sample) compute(b Backend, o *Ops) results {
	for k, n := range b.Room(o, s.Convolution) {
		o.scratch[k] = rubbish(n)
	}
	r := results{rubbish(len(s.dy)), rubbish(len(s.x)), rubbish(len(s.w))}
	b.Forward(o, s.Convolution, s.x, s.w, s.b, r.y)
	b.Input(o, s.Convolution, s.w, s.dy, r.dx)
	b.Weights(o, s.Convolution, s.x, s.dy, r.dw)
	return r
}

// A sum is a number with the sum of its terms' magnitudes, to which rounding is proportional.
type sum struct{ value, size float64 }

func (s *sum) add(v float64) {
	s.value += v
	s.size += math.Abs(v)
}

// naive returns what results should be, from the definition.
func (s sample) naive() [][]sum {
	oh, ow := s.size()
	y, dx, dw := make([]sum, len(s.dy)), make([]sum, len(s.x)), make([]sum, len(s.w))
	for n := range s.Batch {
		for k := range s.Out {
			for r := range oh {
				for q := range ow {
					to := ((n*s.Out+k)*oh+r)*ow + q
					y[to].add(float64(s.b[k]))
					for c := range s.In {
						for ky := range s.Side {
							for kx := range s.Side {
								at, tap := r+ky-s.Pad, q+kx-s.Pad
								if at < 0 || at >= s.H || tap < 0 || tap >= s.W {
									continue
								}
								from, by := ((n*s.In+c)*s.H+at)*s.W+tap, ((k*s.In+c)*s.Side+ky)*s.Side+kx
								y[to].add(float64(s.x[from]) * float64(s.w[by]))
								dx[from].add(float64(s.dy[to]) * float64(s.w[by]))
								dw[by].add(float64(s.dy[to]) * float64(s.x[from]))
							}
						}
					}
				}
			}
		}
	}
	if s.ReLU {
		for i := range y {
			y[i].value = max(y[i].value, 0)
		}
	}
	return [][]sum{y, dx, dw}
}

// near reports where numbers are further from what they should be than rounding explains.
func near(got []float32, want []sum) error {
	for i, v := range got {
		if d := math.Abs(float64(v) - want[i].value); !(d <= 1e-5*want[i].size) {
			return fmt.Errorf("value %d is %g, want %g", i, v, want[i].value)
		}
	}
	return nil
}

func bits(v []float32) []uint32 {
	b := make([]uint32, len(v))
	for i := range v {
		b[i] = math.Float32bits(v[i])
	}
	return b
}

func TestConvolutionsEqualTheirDefinition(t *testing.T) {
	each(t, func(t *testing.T, b Backend) {
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t)
			got := s.compute(b, &Ops{Threads: rapid.IntRange(0, 4).Draw(t, "threads")})
			for i, want := range s.naive() {
				if err := near(got.each()[i], want); err != nil {
					t.Fatalf("%s: %v", names[i], err)
				}
			}
		})
	})
}

func TestThreadsChangeNoBit(t *testing.T) {
	each(t, func(t *testing.T, b Backend) {
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t)
			want, got := s.compute(b, &Ops{Threads: 1}), s.compute(b, &Ops{Threads: rapid.IntRange(2, 5).Draw(t, "threads")})
			for i := range names {
				if !slices.Equal(bits(got.each()[i]), bits(want.each()[i])) {
					t.Fatalf("%s depends on the number of threads", names[i])
				}
			}
		})
	})
}

// A large image is convolved in several strips, and its gradients are summed over many pixels.
func TestThreadsChangeNoBitOfLargeImages(t *testing.T) {
	each(t, func(t *testing.T, b Backend) {
		for _, c := range []Convolution{
			{Batch: 2, In: 5, H: 99, W: 131, Out: 6, Side: 3, Pad: 1, ReLU: true},
			{Batch: 1, In: 4, H: 67, W: 301, Out: 3, Side: 1},
		} {
			s := newSample(c, 1)
			want := s.compute(b, &Ops{Threads: 1})
			naive := s.naive()
			for _, threads := range []int{2, 3, 4} {
				got := s.compute(b, &Ops{Threads: threads})
				for i := range names {
					if !slices.Equal(bits(got.each()[i]), bits(want.each()[i])) {
						t.Errorf("%+v: %s depends on the number of threads", c, names[i])
					}
					if err := near(got.each()[i], naive[i]); err != nil {
						t.Errorf("%+v: %s: %v", c, names[i], err)
					}
				}
			}
		}
	})
}

// A value that is not a number makes all outputs that see it so, through ReLU too, and no other: so a network that has
// come apart says so in its loss.
func TestNaNIsSeen(t *testing.T) {
	each(t, func(t *testing.T, b Backend) {
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t)
			bad := rapid.IntRange(0, len(s.x)-1).Draw(t, "place")
			s.x[bad] = float32(math.NaN())
			y := s.compute(b, &Ops{Threads: 2}).y
			for i, want := range s.naive()[0] {
				if math.IsNaN(float64(y[i])) != math.IsNaN(want.size) {
					t.Fatalf("output %d is %g, want %g", i, y[i], want.size)
				}
			}
		})
	})
}
