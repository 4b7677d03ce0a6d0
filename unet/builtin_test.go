package unet

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// stained returns a picture in the colours of a stained section: white, haematoxylin, eosin, and noise.
func stained(r *rand.Rand, w, h int) picture {
	colours := [][3]int{{245, 244, 246}, {90, 70, 150}, {225, 150, 190}, {150, 110, 180}}
	p := picture{w, h, make([]byte, 3*w*h)}
	for i := range w * h {
		x, y := i%w, i/w
		c := colours[(x/9+y/7*3)%len(colours)]
		for k := range 3 {
			p.pixels[3*i+k] = byte(min(max(c[k]+r.IntN(41)-20, 0), 255))
		}
	}
	return p
}

// absorbed is the formula's h of a pixel.
func (p picture) absorbed(x, y int) int {
	c := p.read(x, y, 1, 1)
	return max(0, 2*(255-int(c[0]))-(255-int(c[2])))
}

func TestHaematoxylinIsItsFormula(t *testing.T) {
	needRuntime(t)
	m, err := OpenLogits("haematoxylin", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	g := m.Spec().Geometry
	r := rand.New(rand.NewPCG(1, 2))
	noise := randomPicture(r, 96, 96)
	for i, v := range noise.pixels { // so bright that both labels are common
		noise.pixels[i] = byte(120 + int(v)*135/255)
	}
	for name, p := range map[string]picture{"noise": noise, "stained": stained(r, 96, 96)} {
		want := formula(p)
		ones := 0
		for _, v := range want {
			if v > 0 {
				ones++
			}
		}
		if ones < len(want)/20 || ones > len(want)*19/20 {
			t.Errorf("%s: label 1 on %d of %d pixels: the comparison is blind", name, ones, len(want))
		}
		for _, core := range []int{4, 12, 32, 96} {
			for y := 0; y < p.h; y += core {
				for x := 0; x < p.w; x += core {
					in := p.read(x-g.Before, y-g.Before, g.Input(core), g.Input(core))
					labels, logits := make([]byte, core*core), make([]float32, core*core)
					if err := m.Predict(t.Context(), 1, in, labels); err != nil {
						t.Fatal(err)
					}
					if err := m.Logits(t.Context(), core, core, in, logits); err != nil {
						t.Fatal(err)
					}
					for i := range labels {
						v := want[(y+i/core)*p.w+x+i%core]
						if logits[i] != float32(v) || (labels[i] == 1) != (v > 0) || labels[i] > 1 {
							t.Fatalf("%s, core %d, pixel %d,%d: logit %g, label %d, want %d", name, core, x+i%core, y+i/core, logits[i], labels[i], v)
						}
					}
				}
			}
		}
	}
}

// formula computes the logits of haematoxylin in whole numbers, as haematoxylin.go states them.
func formula(p picture) []int {
	const pad = 12 // pixels computed around the picture, on the lattice
	w, h := p.w+2*pad, p.h+2*pad
	sum := make([]int, w*h) // S
	for y := 1; y < h-1; y++ {
		for x := 1; x < w-1; x++ {
			for k := range 9 {
				sum[y*w+x] += p.absorbed(x-pad+k%3-1, y-pad+k/3-1)
			}
		}
	}
	most := func(bx, by int) int { // P
		v := 0
		for k := range 16 {
			v = max(v, sum[(4*by-2+k/4)*w+4*bx-2+k%4])
		}
		return v
	}
	out := make([]int, 0, p.w*p.h)
	for y := pad; y < h-pad; y++ {
		for x := pad; x < w-pad; x++ {
			t := 0
			for k := range 9 {
				t += most((x+2)/4+k%3-1, (y+2)/4+k/3-1)
			}
			out = append(out, 8*sum[y*w+x]+t-haematoxylinThreshold)
		}
	}
	return out
}

func TestPassthroughIsItsThreshold(t *testing.T) {
	needRuntime(t)
	m, err := OpenLogits("passthrough", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, core := range []int{1, 16, 77} {
		p := randomPicture(rand.New(rand.NewPCG(1, uint64(core))), core, core)
		if core == 16 { // every value of green, the threshold too
			for i := range 256 {
				p.pixels[3*i+1] = byte(i)
			}
		}
		labels := make([]byte, core*core)
		if err := m.Predict(t.Context(), 1, p.pixels, labels); err != nil {
			t.Fatal(err)
		}
		logits := make([]float32, core*core)
		if err := m.Logits(t.Context(), core, core, p.pixels, logits); err != nil {
			t.Fatal(err)
		}
		for i, l := range labels {
			if want := passthroughThreshold - float32(p.pixels[3*i+1]); logits[i] != want {
				t.Fatalf("core %d: logit %g, want %g", core, logits[i], want)
			}
			if green := p.pixels[3*i+1]; (l == 1) != (green < passthroughThreshold) || l > 1 {
				t.Fatalf("core %d: green %d has label %d", core, green, l)
			}
		}
	}
}

// Equal logits give the lower label, and a single logit of 0 gives label 0.
func TestTies(t *testing.T) {
	needRuntime(t)
	for _, classes := range []int{1, 2, 3} {
		for _, c := range []struct {
			bias []float32
			want [4]byte // by the number of classes
		}{
			{[]float32{0, 0, 0}, [4]byte{0, 0, 0, 0}},
			{[]float32{-1, 2, 2}, [4]byte{0, 0, 1, 1}},
			{[]float32{1, 0, 5}, [4]byte{0, 1, 0, 2}},
		} {
			a := Architecture{Depth: 1, Base: 1, Classes: classes, weights: func(name string, dims []int) (w, bias []float32) {
				w, bias = make([]float32, dims[0]*dims[1]*dims[2]*dims[3]), make([]float32, dims[0])
				if name == "head" {
					copy(bias, c.bias)
				}
				if name == "up0" {
					bias = make([]float32, dims[1])
				}
				return w, bias
			}}
			m, err := Open(writeModel(t, a), Config{})
			if err != nil {
				t.Fatal(err)
			}
			out := []byte{9, 9, 9, 9}
			edge := m.Spec().Geometry.Input(2)
			if err := m.Predict(t.Context(), 1, make([]byte, 3*edge*edge), out); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(string(out)); got != fmt.Sprint(string([]byte{c.want[classes], c.want[classes], c.want[classes], c.want[classes]})) {
				t.Errorf("%d classes, logits %v: labels %s, want %d", classes, c.bias, got, c.want[classes])
			}
			m.Close()
		}
	}
}
