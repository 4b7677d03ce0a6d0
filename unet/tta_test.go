package unet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"microtome/unet/network"
	"microtome/unet/onnx"
)

// ttaModel is a network under augmentation, on Gorgonia.
func ttaModel(t *testing.T, s network.Shape, c Card) Engine {
	m, err := NewGorgonia(s, randomParams(s, 5), c, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return TTA(m)
}

// TestTTASeams is TestSeams, with its control, under augmentation: margins must hold for turned tiles too.
func TestTTASeams(t *testing.T) {
	onDirect(t)
	for _, a := range []Architecture{{Depth: 1, Base: 3}, {Depth: 3, Base: 3}, {Depth: 3, Base: 3, Same: true}, {Depth: 2, Base: 3, Same: true}} {
		t.Run(fmt.Sprintf("same %v/%d", a.Same, a.Depth), func(t *testing.T) {
			a.Seed = 4
			n := openNetworkOn(t, a, Config{Device: "gorgonia", TTA: true})
			if g := a.Geometry(); n.geometry.Before != g.After || n.geometry.After != g.After {
				t.Errorf("geometry %+v of a network with %+v", n.geometry, g)
			}
			p := randomPicture(rand.New(rand.NewPCG(8, uint64(a.Depth))), 140, 113)
			differ, share := n.tilesDiffer(t, p, 64, 0)
			if differ > 0 || share < 0.05 || share > 0.95 {
				t.Errorf("%d pixels differ, label 1 on %.1f %%", differ, 100*share)
			}
			if a.Depth == 1 {
				return
			}
			if differ, _ := n.forgetting(n.geometry.Stride).tilesDiffer(t, p, 64, 0); differ == 0 {
				t.Errorf("tiles that see one stride less make no difference")
			}
		})
	}
}

// What comes of a turned image is what comes of the image, turned. The model itself is not like that.
func TestTTATurnsWithTheImage(t *testing.T) {
	for classes := 1; classes <= 3; classes++ {
		m := ttaModel(t, network.Shape{Depth: 3, Base: 3, Channels: 3, Classes: classes}, Card{})
		bare := m.(*tta).Engine
		g := m.Spec().Geometry
		w, h := 2*g.Stride, 3*g.Stride
		iw, ih := g.Input(w), g.Input(h)
		image := randomPicture(rand.New(rand.NewPCG(3, 3)), iw, ih).pixels
		probabilities := func(w, h int, in []byte) []float32 {
			out := make([]float32, classes*w*h)
			if err := m.Logits(t.Context(), w, h, in, out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		want := probabilities(w, h, image)
		differ := 0
		for k := range 8 {
			turnedIn, v := make([]byte, 0, len(image)), turned(k, iw, ih)
			tw, th := w, h
			if v.swapped {
				tw, th = h, w
			}
			for y := range g.Input(th) {
				for x := range g.Input(tw) {
					turnedIn = append(turnedIn, image[3*v.at(x, y):][:3]...)
				}
			}
			got := probabilities(tw, th, turnedIn)
			v = turned(k, w, h)
			for c := range classes {
				for y := range th {
					for x := range tw {
						a, b := got[(c*th+y)*tw+x], want[c*w*h+v.at(x, y)]
						if !(math.Abs(float64(a-b)) < 1e-5) {
							t.Fatalf("%d classes, turned by %d: %g at %d, %d, want %g", classes, k, a, x, y, b)
						}
					}
				}
			}
			if k > 0 && k < 4 {
				b := bare.Spec().Geometry
				cut := func(in []byte) (out []float32) {
					p := picture{iw, ih, in}
					d := g.Before - b.Before
					out = make([]float32, classes*w*h)
					if err := bare.Logits(t.Context(), w, h, p.read(d, d, b.Input(w), b.Input(h)), out); err != nil {
						t.Fatal(err)
					}
					return out
				}
				x, y := cut(turnedIn), cut(image)
				for i := range w * h {
					if math.Abs(float64(x[i]-y[v.at(i%w, i/w)])) > 1e-3 {
						differ++
					}
				}
			}
		}
		if differ < w*h/10 {
			t.Errorf("the model alone turns with the image: the test is blind")
		}
	}
}

// The eight views are all different, and each shows every pixel once.
func TestViews(t *testing.T) {
	const w, h = 3, 2
	seen := map[string]bool{}
	for k := range 8 {
		v := turned(k, w, h)
		tw, th := w, h
		if v.swapped {
			tw, th = h, w
		}
		var order []int
		hit := [w * h]bool{}
		for y := range th {
			for x := range tw {
				order = append(order, v.at(x, y))
				hit[v.at(x, y)] = true
			}
		}
		if hit != [w * h]bool{true, true, true, true, true, true} {
			t.Errorf("view %d shows %v", k, order)
		}
		seen[fmt.Sprint(v.swapped, order)] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d different views", len(seen))
	}
}

// Labels follow the averaged probabilities and the threshold, and a batch is its tiles.
func TestTTALabels(t *testing.T) {
	for classes := 1; classes <= 3; classes++ {
		threshold := 0.5
		for range 2 { // the second time at the median, so that both sides are common
			m := ttaModel(t, network.Shape{Depth: 1, Base: 4, Channels: 3, Classes: classes, Same: true}, Card{Threshold: threshold})
			var ps []float64
			const core = 16
			edge := m.Spec().Geometry.Input(core)
			in := randomPicture(rand.New(rand.NewPCG(2, 2)), edge, 2*edge).pixels
			labels := make([]byte, 2*core*core)
			if err := m.Predict(t.Context(), 2, in, labels); err != nil {
				t.Fatal(err)
			}
			counts := map[byte]int{}
			for tile := range 2 {
				log := make([]float32, classes*core*core)
				if err := m.Logits(t.Context(), core, core, in[tile*3*edge*edge:][:3*edge*edge], log); err != nil {
					t.Fatal(err)
				}
				for i := range core * core {
					got := labels[tile*core*core+i]
					counts[got]++
					background, best, value := 0.0, 1, float64(log[i])
					if classes > 1 {
						background, value = float64(log[i]), math.Inf(-1)
						for c := 1; c < classes; c++ {
							if v := float64(log[c*core*core+i]); v > value {
								best, value = c, v
							}
						}
					}
					p := 1 / (1 + math.Exp(background-value))
					ps = append(ps, p)
					want := byte(0)
					if p > threshold {
						want = byte(best)
					}
					if got != want && math.Abs(p-threshold) > 1e-5 {
						t.Fatalf("%d classes, threshold %g: label %d, p %g", classes, threshold, got, p)
					}
				}
			}
			if threshold != 0.5 && (counts[0] < 100 || counts[0] > 412) {
				t.Errorf("%d classes, threshold %g: labels %v: the test is blind", classes, threshold, counts)
			}
			slices.Sort(ps)
			threshold = ps[len(ps)/2]
		}
	}
}

// Labels cannot be averaged. Probabilities can, and so can what an argmax has before it.
func TestTTAWantsProbabilities(t *testing.T) {
	needRuntime(t)
	for tail, want := range map[string]string{
		"Softmax":        "",
		"Softmax ArgMax": "",
		"Greater":        "--tta averages probabilities, and the model gives labels: export it without its last step",
	} {
		g := guest{channels: 3, element: onnx.Float32, classes: 2, tail: tail, opset: 17}
		if tail == "Greater" {
			g.classes = 1
		}
		m, err := Open(writeFile(t, withMetadata(g.model().Encode(), keyClasses, "a,b")), Config{TTA: true})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", tail, err)
		}
		if err == nil {
			_ = m.Close()
		}
	}
}

// A grid is an image by rows, for turning it without arithmetic on indices.
type grid[T any] [][]T

func (g grid[T]) mirrored() (out grid[T]) {
	for _, row := range g {
		row = slices.Clone(row)
		slices.Reverse(row)
		out = append(out, row)
	}
	return out
}

func (g grid[T]) transposed() (out grid[T]) {
	for x := range g[0] {
		var row []T
		for _, from := range g {
			row = append(row, from[x])
		}
		out = append(out, row)
	}
	return out
}

// quarters turns an image by 90° to the right.
func (g grid[T]) quarters(n int) grid[T] {
	for range n {
		g = g.transposed().mirrored()
	}
	return g
}

// The average is what it says: of the model's probabilities on the image turned in eight ways, turned back.
func TestTTAIsTheAverage(t *testing.T) {
	m := ttaModel(t, network.Shape{Depth: 3, Base: 3, Channels: 3, Classes: 2}, Card{})
	bare := m.(*tta).Engine
	wide, narrow := m.Spec().Geometry, bare.Spec().Geometry
	w, h := 2*wide.Stride, 3*wide.Stride
	in := randomPicture(rand.New(rand.NewPCG(9, 9)), wide.Input(w), wide.Input(h))
	var image grid[[3]byte]
	for y := range in.h {
		var row [][3]byte
		for x := range in.w {
			row = append(row, [3]byte(in.pixels[3*(y*in.w+x):]))
		}
		image = append(image, row)
	}
	// foreground runs the model and gives the probability of label 1.
	foreground := func(image grid[[3]byte]) (p grid[float64]) {
		cut := wide.Before - narrow.Before
		w, h := len(image[0])-wide.Before-wide.After, len(image)-wide.Before-wide.After
		var pixels []byte
		for _, row := range image[cut:][:narrow.Input(h)] {
			for _, px := range row[cut:][:narrow.Input(w)] {
				pixels = append(pixels, px[:]...)
			}
		}
		logits := make([]float32, 2*w*h)
		if err := bare.Logits(t.Context(), w, h, pixels, logits); err != nil {
			t.Fatal(err)
		}
		for y := range h {
			var row []float64
			for x := range w {
				row = append(row, 1/(1+math.Exp(float64(logits[y*w+x]-logits[w*h+y*w+x]))))
			}
			p = append(p, row)
		}
		return p
	}
	want := make([]float64, w*h)
	for n := range 4 {
		for _, p := range []grid[float64]{foreground(image.quarters(n)).quarters(4 - n), foreground(image.mirrored().quarters(n)).quarters(4 - n).mirrored()} {
			for i := range want {
				want[i] += p[i/w][i%w] / 8
			}
		}
	}
	got := make([]float32, 2*w*h)
	if err := m.Logits(t.Context(), w, h, in.pixels, got); err != nil {
		t.Fatal(err)
	}
	for i, p := range want {
		if math.Abs(math.Exp(float64(got[w*h+i]))-p) > 1e-5 {
			t.Fatalf("pixel %d: probability %g, want %g", i, math.Exp(float64(got[w*h+i])), p)
		}
	}
}
