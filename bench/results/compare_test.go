package results

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// turned returns n runs of A and B of a setting by turns, of which B takes a factor of the CPU time of A.
func turned(seed uint64, n int, factor float64) (a, b []Result) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		ra, rb := run(rng, i, 2048, 512, 2), run(rng, i, 2048, 512, 2)
		ra.Time, rb.Time = ra.Time.Add(time.Duration(i%2)*20*time.Second), rb.Time.Add(time.Duration(1-i%2)*20*time.Second)
		for _, v := range []*float64{&rb.Figures.CPU, &rb.Figures.Seconds, &rb.Figures.CPUPerMPX, &rb.Figures.SecondsSlide} {
			*v *= factor
		}
		rb.Figures.MPXPerS /= factor
		a, b = append(a, ra), append(b, rb)
	}
	return a, b
}

func TestCompare(t *testing.T) {
	c := NewDefaultCompareConfig()
	mpx := c
	mpx.Metric, _ = ParseMetric("mpx_per_s")
	for _, x := range []struct {
		name   string
		n      int
		factor float64
		config CompareConfig
		want   Verdict
		says   string
	}{
		{"itself", 30, 1, c, Same, ": no difference"},
		{"a tenth slower", 30, 1.1, c, Slower, "more CPU time than A (p "},
		{"a tenth faster", 30, 1 / 1.1, c, Faster, ": faster"},
		{"within the threshold", 30, 1.04, c, Same, ": within the threshold of 5 %"},
		{"throughput", 30, 1.1, mpx, Slower, "less Mpx/s than A (p "},
		{"too few", 7, 1.5, c, Unclear, "it takes 8 of each"},
		{"enough", 8, 1.5, c, Slower, ": slower"},
	} {
		t.Run(x.name, func(t *testing.T) {
			a, b := turned(3, x.n, x.factor)
			all, err := Compare(a, b, x.config)
			if err != nil {
				t.Fatal(err)
			}
			if got := all[0]; len(all) != 1 || !got.Paired || got.Verdict != x.want || !strings.Contains(got.Sentence(), x.says) {
				t.Errorf("%d comparisons, paired %v: %s", len(all), got.Paired, got.Sentence())
			}
			// The order of a file's lines says nothing, and B against A is A against B turned round.
			slices.Reverse(a)
			back, err := Compare(b, a, x.config)
			if err != nil {
				t.Fatal(err)
			}
			p, q := all[0].Primary, back[0].Primary
			if math.Abs(p.P-q.P) > 1e-9 || math.Abs(p.Ratio*q.Ratio-1) > 1e-9 {
				t.Errorf("p %v and %v, ratios %v and %v", p.P, q.P, p.Ratio, q.Ratio)
			}
		})
	}
}

// Files that were not made by turns are no pairs; those of other settings or environments are left out, or said.
func TestCompareFiles(t *testing.T) {
	c := NewDefaultCompareConfig()
	a, b := turned(1, 10, 1.2)
	for i := range b {
		b[i].Time = b[i].Time.Add(time.Hour)
		b[i].Environment.CPU = "Another"
	}
	other := b[0]
	other.Setting.Workers = 1
	all, err := Compare(a, append(slices.Clone(b), other), c)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(all[0].Notes, "\n")
	if all[0].Paired || all[0].Verdict != Slower || all[0].Primary.NB != 10 {
		t.Errorf("%s", all[0].Sentence())
	}
	for _, want := range []string{"did not run by turns", "processor Imaginary 9000 @ 2.5 GHz against Another", "1 runs of settings"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q: %s", want, notes)
		}
	}
	if _, err := Compare(a, []Result{other}, c); err == nil || !strings.Contains(err.Error(), "workers 2 against 1") {
		t.Errorf("no common setting: %v", err)
	}
	// Alpha is shared out among settings: 5 runs of each may show p < 0.01, but not < 0.005.
	two := func(r []Result) []Result {
		var all []Result
		for _, x := range r[:5] {
			y := x
			y.Setting.Workers = 1
			all = append(all, x, y)
		}
		return all
	}
	one, err := Compare(a[:5], b[:5], c)
	if err != nil {
		t.Fatal(err)
	}
	both, err := Compare(two(a), two(b), c)
	if err != nil {
		t.Fatal(err)
	}
	if one[0].Verdict == Unclear || len(both) != 2 || both[1].Verdict != Unclear {
		t.Errorf("of one setting: %s; of two: %s", one[0].Sentence(), both[1].Sentence())
	}
	var table bytes.Buffer
	if err := all[0].WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "cpu_seconds") || !strings.Contains(table.String(), "10") {
		t.Errorf("%s", &table)
	}
}
