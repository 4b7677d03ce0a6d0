package results

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/perf/benchmath"
	"pgregory.net/rapid"
)

// A noise is what a machine does to the CPU time of a run.
type noise struct {
	name   string
	each   float64 // standard deviation of the logarithm of one run
	drift  float64 // that of how fast the machine is, over some rounds
	wild   float64 // share of runs that take up to half as long again
	second float64 // what the later run of a round takes more, as a logarithm: the disk, a warm processor
}

var noises = []noise{
	{name: "quiet", each: 0.01},
	{name: "usual", each: 0.03, drift: 0.05, wild: 0.03},
	{name: "shared", each: 0.05, drift: 0.15, wild: 0.03},
	{name: "drifting", each: 0.02, drift: 0.4, wild: 0},
	{name: "order", each: 0.02, drift: 0.05, second: 0.03},
}

// measure returns what n rounds by turns measure where B takes so much more than A.
func (n noise) measure(rng *rand.Rand, rounds int, more float64) (a, b []float64) {
	speed := rng.NormFloat64() * n.drift
	const kept = 0.97 // of how fast the machine is, from one run to the next
	run := func(late bool) float64 {
		speed = kept*speed + math.Sqrt(1-kept*kept)*n.drift*rng.NormFloat64()
		v := speed + n.each*rng.NormFloat64()
		if rng.Float64() < n.wild {
			v += math.Log1p(rng.Float64() / 2)
		}
		if late {
			v += n.second
		}
		return math.Exp(v)
	}
	for i := range rounds {
		if i%2 == 0 {
			a = append(a, run(false))
			b = append(b, run(true)*(1+more))
		} else {
			b = append(b, run(false)*(1+more))
			a = append(a, run(true))
		}
	}
	return a, b
}

func logsOf(a, b []float64) []float64 {
	var d []float64
	for i := range a {
		d = append(d, math.Log(b[i]/a[i]))
	}
	return d
}

// statistics are what pairs may be compared by; the signed-rank test is what is used.
var statistics = []struct {
	name string
	p    func(a, b []float64) float64
}{
	{"signed rank", func(a, b []float64) float64 { return signedRank(logsOf(a, b)) }},
	{"U test", uTest},
	{"U test, each by the mean of its pair", func(a, b []float64) float64 {
		a, b = slices.Clone(a), slices.Clone(b)
		for i := range a {
			m := (a[i] + b[i]) / 2
			a[i], b[i] = a[i]/m, b[i]/m
		}
		return uTest(a, b)
	}},
	{"sign test", func(a, b []float64) float64 {
		d := logsOf(a, b)
		for i := range d {
			d[i] = math.Copysign(1, d[i])
		}
		return signedRank(d)
	}},
}

func uTest(a, b []float64) float64 {
	t := &benchmath.Thresholds{CompareAlpha: 0.01}
	return benchmath.AssumeNothing.Compare(benchmath.NewSample(slices.Clone(a), t), benchmath.NewSample(slices.Clone(b), t)).P
}

// The signed-rank test keeps its alpha whatever the machine does, and 30 rounds find 10 %. The U test of values by the mean of their
// pair does not keep it: two values of a pair are one, mirrored. The U test of the values alone finds nothing where the machine
// drifts. That is why pairs are compared by the first.
func TestPower(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: many trials")
	}
	const trials, rounds = 600, 30
	for _, n := range noises {
		alarm, found := map[string]float64{}, map[string]float64{}
		for _, s := range statistics {
			rng := rand.New(rand.NewPCG(1, 2))
			for range trials {
				a, b := n.measure(rng, rounds, 0)
				if s.p(a, b) < 0.01 {
					alarm[s.name] += 1.0 / trials
				}
				a, b = n.measure(rng, rounds, 0.1)
				if s.p(a, b) < 0.01 && shift(logsOf(a, b)) > math.Log(1.05) {
					found[s.name] += 1.0 / trials
				}
			}
			t.Logf("%-9s %-36s false %.4f found %.3f", n.name, s.name, alarm[s.name], found[s.name])
		}
		// Of 600 trials at 0.01, more than 14 are false alarms once in a thousand times.
		if alarm["signed rank"] > 14.5/trials {
			t.Errorf("%s: %.4f of comparisons of a build with itself are p < 0.01", n.name, alarm["signed rank"])
		}
		if found["signed rank"] < 0.95 {
			t.Errorf("%s: %.3f of slow-downs of 10 %% are found", n.name, found["signed rank"])
		}
		if n.name == "usual" && alarm["U test, each by the mean of its pair"] < 0.03 || n.name == "drifting" && found["U test"] > 0.3 {
			t.Errorf("%s: the other tests are no worse: %v, %v", n.name, alarm, found)
		}
	}
}

// p of a few differences, counted by hand; and for all others what must hold of it.
func TestSignedRank(t *testing.T) {
	for _, c := range []struct {
		differences []float64
		want        float64
	}{
		{nil, 1},
		{[]float64{0, 0}, 1},
		{[]float64{1}, 1},
		{[]float64{1, 2, 3}, 0.25},            // all of 8 signs: two are as far out
		{[]float64{-1, 2, 3, 4}, 0.25},        // sums 0 and 1 of 16, on both sides
		{[]float64{1, 2, 3, 4, 5, 0}, 0.0625}, // the zero says nothing
		{[]float64{1, 1, -1}, 1},              // ranks of 2 each: 1 of 3 negative
	} {
		if p := signedRank(c.differences); math.Abs(p-c.want) > 1e-12 {
			t.Errorf("p of %v is %v, want %v", c.differences, p, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SliceOfN(rapid.Float64Range(-3, 3), 1, 14).Draw(t, "differences")
		if rapid.Bool().Draw(t, "coarse") { // many are equal
			for i := range d {
				d[i] = math.Round(d[i])
			}
		}
		p := signedRank(d)
		if p <= 0 || p > 1 {
			t.Fatalf("p of %v is %v", d, p)
		}
		turned := make([]float64, len(d))
		for i := range d {
			turned[i] = -4 * d[len(d)-1-i]
		}
		if q := signedRank(turned); math.Abs(p-q) > 1e-9 {
			t.Fatalf("p is %v, and %v of the same turned round", p, q)
		}
		if s := shift(d); s < slices.Min(d) || s > slices.Max(d) || math.Abs(shift(turned)+4*s) > 1e-9 {
			t.Fatalf("%v lie around %v, and turned round around %v", d, s, shift(turned))
		}
	})
}
