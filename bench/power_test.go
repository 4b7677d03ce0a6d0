package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/perf/benchmath"
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
	{name: "drifting", each: 0.02, drift: 0.5, wild: 0},
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

// Which statistic keeps its alpha, and finds 10 %, where a machine drifts.
func TestPower(t *testing.T) {
	const trials = 4000
	for _, n := range noises {
		for _, rounds := range []int{8, 10, 12, 16, 20} {
			for _, s := range statistics {
				rng := rand.New(rand.NewPCG(1, 2))
				alarm, found, said := 0, 0, 0
				for range trials {
					a, b := n.measure(rng, rounds, 0)
					if s.p(a, b) < 0.01 {
						alarm++
					}
					a, b = n.measure(rng, rounds, 0.1)
					if s.p(a, b) < 0.01 {
						found++
						if shift(logsOf(a, b)) > math.Log(1.05) {
							said++
						}
					}
				}
				t.Logf("%-9s n %2d %-38s false %.4f found %.3f and past the threshold %.3f", n.name, rounds, s.name, float64(alarm)/trials, float64(found)/trials, float64(said)/trials)
			}
		}
	}
}
