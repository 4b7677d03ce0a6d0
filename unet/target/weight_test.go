package target

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// bruteGap is what the equation adds at pixel i, from the distances to every pixel of every instance.
func bruteGap(l raster.Labels, i int, w0, sigma float64) float64 {
	nearest := map[uint32]float64{}
	for j, n := range l.Pix {
		if n == 0 {
			continue
		}
		d := math.Hypot(float64(i%l.W-j%l.W), float64(i/l.W-j/l.W))
		if old, ok := nearest[n]; !ok || d < old {
			nearest[n] = d
		}
	}
	if len(nearest) < 2 {
		return 0
	}
	d := make([]float64, 0, len(nearest))
	for _, v := range nearest {
		d = append(d, v)
	}
	slices.Sort(d)
	return w0 * math.Exp(-(d[0]+d[1])*(d[0]+d[1])/(2*sigma*sigma))
}

func TestWeightsAreTheEquation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLabels(t, 24)
		if rapid.Bool().Draw(t, "cut") {
			l, _ = Cut(l, 1)
		}
		c := NewDefaultConfig()
		c.W0 = rapid.SampledFrom([]float64{0, 1, 10}).Draw(t, "w0")
		c.Sigma = rapid.SampledFrom([]float64{0.01, 0.5, 5, 20, 1e4}).Draw(t, "sigma")
		classWeight := func(int) float64 { return 1 }
		var class []uint8
		switch rapid.IntRange(0, 2).Draw(t, "classes") {
		case 1:
			c.Class = []float64{0.5, 2}
			classWeight = func(i int) float64 {
				if l.Pix[i] == 0 {
					return 0.5
				}
				return 2
			}
		case 2:
			c.Class = []float64{0.25, 1.5, 3}
			class = rapid.SliceOfN(rapid.Uint8Range(0, 2), len(l.Pix), len(l.Pix)).Draw(t, "class")
			classWeight = func(i int) float64 { return c.Class[class[i]] }
		}
		for i, got := range NewWeigher(c).Weights(nil, l, class) {
			want := classWeight(i) + bruteGap(l, i, c.W0, c.Sigma)
			if !(math.Abs(float64(got)-want) <= 1e-6) {
				t.Fatalf("pixel %d weighs %v, want %v", i, got, want)
			}
		}
	})
}

// What one map leaves in the buffers does not show in the next, of another size, and a dst is used.
func TestWeigherIsReusable(t *testing.T) {
	w := NewWeigher(NewDefaultConfig())
	dst := make([]float32, 0, 100*100)
	for _, edge := range []int{100, 1, 60, 0, 90} {
		l := tissue(max(edge, 1), edge/5)
		got := w.Weights(dst, l, nil)
		if want := NewWeigher(NewDefaultConfig()).Weights(nil, l, nil); !slices.Equal(got, want) {
			t.Errorf("edge %d: a used Weigher differs from a new one", edge)
		}
		if len(got) != len(l.Pix) || &got[0] != &dst[:1][0] {
			t.Errorf("edge %d: %d weights, want %d in dst", edge, len(got), len(l.Pix))
		}
	}
	l := tissue(100, 20)
	if n := testing.AllocsPerRun(3, func() { w.Weights(dst, l, nil) }); n > 100 {
		t.Errorf("%v allocations for 20 instances on 10000 pixels", n)
	}
}

func TestBalanceHasAMeanOfOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.IntRange(0, 1e9), 0, 8).Draw(t, "counts")
		var sum, pixels, part float64
		for i, w := range Balance(counts) {
			n := float64(counts[i])
			if n == 0 {
				if w != 1 {
					t.Fatalf("class %d has no pixels and weighs %v", i, w)
				}
				continue
			}
			if part != 0 && math.Abs(n*w-part) > 1e-9*part {
				t.Fatalf("class %d has a part of %v, another one of %v", i, n*w, part)
			}
			part = n * w
			sum += n * w
			pixels += n
		}
		if math.Abs(sum-pixels) > 1e-9*pixels {
			t.Fatalf("mean weight %v", sum/pixels)
		}
	})
}

func TestValidate(t *testing.T) {
	if err := NewDefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []Config{
		{W0: -1, Sigma: 5},
		{W0: nan, Sigma: 5},
		{W0: inf, Sigma: 5},
		{W0: 10},
		{W0: 10, Sigma: -5},
		{W0: 10, Sigma: nan},
		{W0: 10, Sigma: inf},
		{W0: 10, Sigma: 5, Class: []float64{1, -1}},
		{W0: 10, Sigma: 5, Class: []float64{nan}},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v passes", c)
		}
	}
	if err := (Config{W0: -1, Sigma: -1}).Validate(); strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want both complaints at once, got %v", err)
	}
}

// report says how fast the benchmark went over l.
func report(b *testing.B, l raster.Labels) {
	s := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(1e3*s, "ms/op")
	b.ReportMetric(float64(len(l.Pix))/1e6/s, "Mpx/s")
}

func BenchmarkWeights(b *testing.B) {
	l, _ := Cut(tissue(1000, 1000), 1)
	w := NewWeigher(NewDefaultConfig())
	dst := w.Weights(nil, l, nil)
	b.ReportAllocs()
	for b.Loop() {
		w.Weights(dst, l, nil)
	}
	report(b, l)
}
