package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"
)

// An array is a tensor's shape and values, row by row.
type array struct {
	shape tensor.Shape
	v     []float32
}

func newArray(r *rand.Rand, shape ...int) array {
	a := array{shape, make([]float32, tensor.Shape(shape).TotalSize())}
	for i := range a.v {
		a.v[i] = float32(r.NormFloat64())
	}
	return a
}

// at returns where a value of a four-dimensional array lies.
func (a array) at(n, c, y, x int) int { return ((n*a.shape[1]+c)*a.shape[2]+y)*a.shape[3] + x }

// run computes layer of some inputs, and the gradients of the sum of what it puts out times factor, which is drawn.
func run(t *rapid.T, r *rand.Rand, layer func(gorgonia.Nodes) (*gorgonia.Node, error), in ...array) (out, factor array, grads [][]float32) {
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	g := gorgonia.NewGraph()
	node := func(name string, a array) *gorgonia.Node {
		value := tensor.New(tensor.WithShape(a.shape...), tensor.WithBacking(slices.Clone(a.v)))
		return gorgonia.NewTensor(g, tensor.Float32, len(a.shape), gorgonia.WithShape(a.shape...), gorgonia.WithName(name), gorgonia.WithValue(value))
	}
	var nodes gorgonia.Nodes
	for i, a := range in {
		nodes = append(nodes, node(fmt.Sprint("input", i), a))
	}
	y, err := layer(nodes)
	check(err)
	out.shape = y.Shape()
	root := y
	if !y.IsScalar() {
		factor = newArray(r, y.Shape()...)
		weighted, err := gorgonia.HadamardProd(y, node("factor", factor))
		check(err)
		root, err = gorgonia.Sum(weighted)
		check(err)
	} else {
		nodes = nodes[:1] // of the loss
	}
	d, err := gorgonia.Grad(root, nodes...)
	check(err)
	var value gorgonia.Value
	gorgonia.Read(y, &value)
	values := make([]gorgonia.Value, len(d))
	for i := range d {
		gorgonia.Read(d[i], &values[i])
	}
	machine := gorgonia.NewTapeMachine(g)
	defer machine.Close()
	for range 2 { // the second run must not see the first
		machine.Reset()
		check(machine.RunAll())
	}
	if v, ok := value.Data().([]float32); ok {
		out.v = slices.Clone(v)
	} else {
		out.v = []float32{value.Data().(float32)}
	}
	for _, v := range values {
		grads = append(grads, slices.Clone(v.Data().([]float32)))
	}
	return out, factor, grads
}

func drawSize(t *rapid.T) (n, c, h, w int) {
	return rapid.IntRange(1, 3).Draw(t, "batch"), rapid.IntRange(1, 5).Draw(t, "channels"), rapid.IntRange(1, 12).Draw(t, "h"), rapid.IntRange(1, 20).Draw(t, "w")
}

func drawOps(t *rapid.T) (*Ops, *rand.Rand) {
	o := &Ops{Threads: rapid.IntRange(0, 4).Draw(t, "threads"), Backend: rapid.SampledFrom([]Backend{nil, BLAS{}}).Draw(t, "backend")}
	return o, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
}

func equal(t *rapid.T, what string, got, want []float32) {
	if !slices.Equal(got, want) {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func TestPoolAndItsGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, r := drawOps(t)
		n, c, h, w := drawSize(t)
		x := newArray(r, n, c, 2*h, 2*w)
		if rapid.Bool().Draw(t, "ties") {
			for i := range x.v {
				x.v[i] = float32(r.IntN(3))
			}
		}
		y, factor, grads := run(t, r, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return o.Pool(in[0]) }, x)
		want, dx := make([]float32, len(y.v)), make([]float32, len(x.v))
		for to := range want {
			i, j, k := to/w/h, to/w%h, to%w
			best := x.at(i/c, i%c, 2*j, 2*k)
			for _, at := range []int{best + 1, best + 2*w, best + 2*w + 1} {
				if x.v[at] > x.v[best] {
					best = at
				}
			}
			want[to], dx[best] = x.v[best], factor.v[to]
		}
		equal(t, "pooled", y.v, want)
		equal(t, "gradient", grads[0], dx)
	})
}

func TestPoolKeepsNaN(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, w := rapid.IntRange(1, 3).Draw(t, "h"), rapid.IntRange(1, 20).Draw(t, "w")
		x, y := make([]float32, 4*h*w), make([]float32, h*w)
		at := rapid.IntRange(0, len(x)-1).Draw(t, "place")
		x[at] = float32(math.NaN())
		poolPlane(x, y, 2*h, 2*w)
		for i, v := range y {
			if math.IsNaN(float64(v)) != (i == at/(4*w)*w+at%(2*w)/2) {
				t.Fatalf("value %d is %g", i, v)
			}
		}
	})
}

func TestCropConcatAndItsGradients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, r := drawOps(t)
		n, c, h, w := drawSize(t)
		top, left := rapid.IntRange(0, 3).Draw(t, "top"), rapid.IntRange(0, 3).Draw(t, "left")
		skip, x := newArray(r, n, rapid.IntRange(1, 4).Draw(t, "skipped"), h+2*top, w+2*left), newArray(r, n, c, h, w)
		y, factor, grads := run(t, r, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return o.CropConcat(in[0], in[1]) }, skip, x)
		want, dskip, dx := make([]float32, len(y.v)), make([]float32, len(skip.v)), make([]float32, len(x.v))
		for to := range want {
			i, k, j, q := to/w/h/y.shape[1], to/w/h%y.shape[1], to/w%h, to%w
			if k < skip.shape[1] {
				from := skip.at(i, k, j+top, q+left)
				want[to], dskip[from] = skip.v[from], factor.v[to]
			} else {
				from := x.at(i, k-skip.shape[1], j, q)
				want[to], dx[from] = x.v[from], factor.v[to]
			}
		}
		equal(t, "joined", y.v, want)
		equal(t, "gradient of what is skipped", grads[0], dskip)
		equal(t, "gradient of what comes from below", grads[1], dx)
	})
}

func TestUpConvAndItsGradients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, r := drawOps(t)
		n, c, h, w := drawSize(t)
		out := rapid.IntRange(1, 4).Draw(t, "out")
		x, weights, bias := newArray(r, n, c, h, w), newArray(r, 4*out, c, 1, 1), newArray(r, out)
		got, factor, grads := run(t, r, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return o.UpConv(in[0], in[1], in[2]) }, x, weights, bias)
		y, dx, dw, db := make([]sum, len(got.v)), make([]sum, len(x.v)), make([]sum, len(weights.v)), make([]sum, out)
		for to := range y {
			i, k, j, q := to/(4*h*w*out), to/(4*h*w)%out, to/(2*w)%(2*h), to%(2*w)
			f := float64(factor.v[to])
			y[to].add(float64(bias.v[k]))
			db[k].add(f)
			for ch := range c {
				from, by := x.at(i, ch, j/2, q/2), (4*k+2*(j%2)+q%2)*c+ch
				y[to].add(float64(x.v[from]) * float64(weights.v[by]))
				dx[from].add(f * float64(weights.v[by]))
				dw[by].add(f * float64(x.v[from]))
			}
		}
		for name, err := range map[string]error{
			"output": near(got.v, y), "gradient of the image": near(grads[0], dx),
			"gradient of the weights": near(grads[1], dw), "gradient of the bias": near(grads[2], db),
		} {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	})
}

// Logits may be as large as a network that starts badly makes them: the loss stays a number, and the right one.
func TestLossAndItsGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, r := drawOps(t)
		n, _, h, w := drawSize(t)
		classes := rapid.IntRange(2, 5).Draw(t, "classes")
		logits, target := newArray(r, n, classes, h, w), newArray(r, n, classes, h, w)
		size := rapid.SampledFrom([]float32{1, 100, 1e4}).Draw(t, "size")
		for i := range logits.v {
			if size == 1e4 && r.IntN(2) == 0 {
				logits.v[i] = float32(1 - 2*r.IntN(2))
			}
			logits.v[i] *= size
			target.v[i] = 0
		}
		var want sum
		grad := make([]sum, len(logits.v))
		for p := range n * h * w {
			pixel := func(c int) int { return logits.at(p/(h*w), c, p/w%h, p%w) }
			weight, class := r.ExpFloat64(), r.IntN(classes)
			if r.IntN(4) == 0 {
				weight = 0 // a pixel that does not count
			}
			target.v[pixel(class)] = float32(weight)
			largest, norm := math.Inf(-1), 0.0
			for c := range classes {
				largest = max(largest, float64(logits.v[pixel(c)]))
			}
			for c := range classes {
				norm += math.Exp(float64(logits.v[pixel(c)]) - largest)
			}
			want.add(weight * (math.Log(norm) + largest - float64(logits.v[pixel(class)])))
			for c := range classes {
				grad[pixel(c)].add(weight * math.Exp(float64(logits.v[pixel(c)])-largest) / norm)
			}
			grad[pixel(class)].add(-weight)
		}
		want.size += 1e-30 // where nothing counts
		got, _, grads := run(t, r, func(in gorgonia.Nodes) (*gorgonia.Node, error) { return o.Loss(in[0], in[1]) }, logits, target)
		if err := near(got.v, []sum{want}); err != nil {
			t.Fatalf("loss: %v", err)
		}
		for i := range grad {
			grad[i].size += 1e-30
		}
		if err := near(grads[0], grad); err != nil {
			t.Fatalf("gradient: %v", err)
		}
	})
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	g := gorgonia.NewGraph()
	node := func(shape ...int) *gorgonia.Node {
		return gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(fmt.Sprint(shape)))
	}
	conv := func(pad int, x, w, b *gorgonia.Node) func() (*gorgonia.Node, error) {
		return func() (*gorgonia.Node, error) { return (&Ops{}).Conv(x, w, b, pad, true) }
	}
	up := func(x, w, b *gorgonia.Node) func() (*gorgonia.Node, error) {
		return func() (*gorgonia.Node, error) { return (&Ops{}).UpConv(x, w, b) }
	}
	x := node(1, 3, 8, 8)
	for name, add := range map[string]func() (*gorgonia.Node, error){
		"channels":               conv(1, x, node(4, 2, 3, 3), node(4)),
		"side 2":                 conv(0, x, node(4, 3, 2, 2), node(4)),
		"kernel not square":      conv(0, x, node(4, 3, 3, 1), node(4)),
		"biases":                 conv(1, x, node(4, 3, 3, 3), node(3)),
		"padding of one pixel":   conv(1, x, node(4, 3, 1, 1), node(4)),
		"padding of three":       conv(3, x, node(4, 3, 3, 3), node(4)),
		"negative padding":       conv(-1, x, node(4, 3, 3, 3), node(4)),
		"image too small":        conv(0, node(1, 3, 2, 9), node(4, 3, 3, 3), node(4)),
		"up: channels":           up(x, node(8, 2, 1, 1), node(2)),
		"up: not by fours":       up(x, node(6, 3, 1, 1), node(2)),
		"up: kernel":             up(x, node(8, 3, 3, 3), node(2)),
		"up: biases":             up(x, node(8, 3, 1, 1), node(8)),
		"odd image":              func() (*gorgonia.Node, error) { return (&Ops{}).Pool(node(1, 3, 8, 7)) },
		"skip smaller":           func() (*gorgonia.Node, error) { return (&Ops{}).CropConcat(node(1, 3, 6, 8), x) },
		"skip not in the middle": func() (*gorgonia.Node, error) { return (&Ops{}).CropConcat(node(1, 3, 9, 8), x) },
	} {
		if _, err := add(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
