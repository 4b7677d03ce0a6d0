package raster

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// drawLabels draws an image of instances: rectangles laid over each other, with pixels strewn over them.
// Numbers are sparse, and an instance need not be connected.
func drawLabels(t *rapid.T, most int) Labels {
	l := NewLabels(rapid.IntRange(0, most).Draw(t, "w"), rapid.IntRange(0, most).Draw(t, "h"))
	if len(l.Pix) == 0 {
		return l
	}
	number := rapid.SampledFrom([]uint32{0, 1, 2, 3, 7, 8, 9, 1 << 16, 1<<31 + 5, math.MaxUint32 - 1, math.MaxUint32})
	for range rapid.IntRange(0, 12).Draw(t, "rectangles") {
		n := number.Draw(t, "number")
		x, y := rapid.IntRange(0, l.W-1).Draw(t, "x"), rapid.IntRange(0, l.H-1).Draw(t, "y")
		w, h := rapid.IntRange(1, 8).Draw(t, "width"), rapid.IntRange(1, 8).Draw(t, "height")
		for j := y; j < min(y+h, l.H); j++ {
			for i := x; i < min(x+w, l.W); i++ {
				l.Pix[j*l.W+i] = n
			}
		}
	}
	for range rapid.IntRange(0, 12).Draw(t, "pixels") {
		l.Pix[rapid.IntRange(0, len(l.Pix)-1).Draw(t, "pixel")] = number.Draw(t, "number")
	}
	return l
}

// bruteNearest2 measures from a pixel to every other.
func bruteNearest2(l Labels, x, y int) (d1, d2 float64) {
	squares := map[uint32]int{}
	for j := range l.H {
		for i := range l.W {
			if n := l.At(i, j); n != 0 {
				q := (i-x)*(i-x) + (j-y)*(j-y)
				if old, ok := squares[n]; !ok || q < old {
					squares[n] = q
				}
			}
		}
	}
	d1, d2 = math.Inf(1), math.Inf(1)
	for _, q := range squares {
		r := math.Sqrt(float64(q))
		d1, d2 = min(d1, r), min(d2, max(d1, r))
	}
	return d1, d2
}

func checkNearest2(t rapid.TB, d *Distance, l Labels) {
	d1, d2 := make([]float32, len(l.Pix)), make([]float32, len(l.Pix))
	d.Nearest2(l, d1, d2)
	for i := range l.Pix {
		x, y := i%l.W, i/l.W
		if w1, w2 := bruteNearest2(l, x, y); d1[i] != float32(w1) || d2[i] != float32(w2) {
			t.Fatalf("at (%d, %d) of %d × %d: %v and %v, want %v and %v\n%v", x, y, l.W, l.H, d1[i], d2[i], w1, w2, l.Pix)
		}
	}
}

func TestNearest2IsExact(t *testing.T) {
	var d Distance // one for all: what an image leaves in its buffers must not show in the next
	rapid.Check(t, func(t *rapid.T) { checkNearest2(t, &d, drawLabels(t, 24)) })
}

// Every pixel an instance of its own, or one of few strewn about: as many codes in a row as can be, and
// three instances and more in a column.
func TestNearest2OfManyInstances(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var d Distance
	for range 60 {
		l := NewLabels(1+rnd.IntN(40), 1+rnd.IntN(40))
		share, numbers := rnd.Float64(), 1+rnd.Uint32N(40)
		for i := range l.Pix {
			if rnd.Float64() < share*share {
				l.Pix[i] = 1 + rnd.Uint32N(numbers)
			}
		}
		checkNearest2(t, &d, l)
	}
}

func TestNearest2OfFewerThanTwo(t *testing.T) {
	inf := float32(math.Inf(1))
	var d Distance
	d.Nearest2(NewLabels(0, 0), nil, nil)
	d.Nearest2(NewLabels(0, 5), nil, nil)
	for _, c := range []struct {
		l      Labels
		d1, d2 []float32
	}{
		{Labels{1, 1, []uint32{0}}, []float32{inf}, []float32{inf}},
		{Labels{1, 1, []uint32{math.MaxUint32}}, []float32{0}, []float32{inf}},
		{Labels{3, 1, []uint32{5, 0, 0}}, []float32{0, 1, 2}, []float32{inf, inf, inf}},
		{Labels{1, 3, []uint32{5, 0, 6}}, []float32{0, 1, 0}, []float32{2, 1, 2}},
	} {
		d1, d2 := make([]float32, len(c.l.Pix)), make([]float32, len(c.l.Pix))
		d.Nearest2(c.l, d1, d2)
		for i := range d1 {
			if d1[i] != c.d1[i] || d2[i] != c.d2[i] {
				t.Errorf("%v: %v and %v, want %v and %v", c.l.Pix, d1, d2, c.d1, c.d2)
			}
		}
	}
}
