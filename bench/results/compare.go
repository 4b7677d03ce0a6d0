package results

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"
)

// A CompareConfig says when one build counts as slower than another.
type CompareConfig struct {
	Metric    Metric  // that the verdict goes by
	Threshold float64 // an effect that matters, as a share: 0.05 is 5 %
	Alpha     float64 // chance of a false alarm where there is no difference
}

// NewDefaultCompareConfig returns what microtome bench compare does without flags.
func NewDefaultCompareConfig() CompareConfig {
	return CompareConfig{Metric: Metrics()[0], Threshold: 0.05, Alpha: 0.01}
}

// Validate returns an error that says what is wrong with c.
func (c CompareConfig) Validate() error {
	if !(c.Threshold >= 0) || math.IsInf(c.Threshold, 0) {
		return errors.New("a threshold is a share of A such as 5%")
	}
	if !(c.Alpha > 0 && c.Alpha < 1) {
		return errors.New("alpha is a chance between 0 and 1 such as 0.01")
	}
	return nil
}

// Rounds returns how many rounds of A and B by turns it takes for p to go below alpha at all.
func (c CompareConfig) Rounds() int {
	n := 1
	for p := 1.0; p >= c.Alpha; p /= 2 { // of n differences that all have one sign: 2 of 2ⁿ
		n++
	}
	return n
}

// A Verdict is what a comparison comes to.
type Verdict int

// What a comparison may come to.
const (
	Same   Verdict = iota // no difference, or none that matters
	Slower                // B is worse than A, past the threshold
	Faster
	Unclear // too few runs for p to go below alpha, whatever they measured
)

// A Comparison is two builds, A and B, compared in one setting.
type Comparison struct {
	Setting Setting // that of A
	Rows    []Row   // in the order of Metrics
	Paired  bool    // the runs took turns
	Config  CompareConfig
	Primary Row
	Verdict Verdict
	Notes   []string // what to know of the runs
}

// A Row is one metric of both.
type Row struct {
	Metric Metric
	A, B   benchmath.Summary // medians
	NA, NB int
	Ratio  float64 // of B to A
	P      float64 // chance of such a difference where there is none
}

// Compare compares the runs of two results files, setting by setting. Alpha is shared out among the settings.
//
// Of runs that took turns, A and B of each round are a pair: the machine was as fast for one as for the other, and what it did in
// between drops out. They are compared by the signed-rank test on the logarithms of B ÷ A. Others get the U test, as benchstat does
// it, and what the machine did between them counts as a difference.
//
// An error says why there is nothing to compare.
func Compare(a, b []Result, c CompareConfig) ([]Comparison, error) {
	type both struct{ a, b []Result }
	of := map[Setting]*both{}
	var settings []Setting
	for _, r := range a {
		if of[r.Setting] == nil {
			of[r.Setting] = &both{}
			settings = append(settings, r.Setting)
		}
		of[r.Setting].a = append(of[r.Setting].a, r)
	}
	others := 0
	for _, r := range b {
		if of[r.Setting] == nil {
			others++
			continue
		}
		of[r.Setting].b = append(of[r.Setting].b, r)
	}
	common := slices.DeleteFunc(slices.Clone(settings), func(s Setting) bool { return of[s].b == nil })
	if len(common) == 0 {
		return nil, fmt.Errorf("the two have no setting in common: %s", differences(a[0].Setting, b[0].Setting))
	}
	each := c
	each.Alpha /= float64(len(common))
	var all []Comparison
	for _, s := range common {
		one, err := compareOne(of[s].a, of[s].b, false, each)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	left := others
	for _, s := range settings {
		if of[s].b == nil {
			left += len(of[s].a)
		}
	}
	if left > 0 {
		all[0].Notes = append(all[0].Notes, fmt.Sprintf("%d runs of settings that only one of A and B has are left out", left))
	}
	if len(common) > 1 {
		all[0].Notes = append(all[0].Notes, fmt.Sprintf("%d settings are compared: each must show p < %s", len(common), short(each.Alpha)))
	}
	return all, nil
}

// ComparePairs compares rounds of two programs that took turns, whatever they settled on: that, too, is a difference of builds.
func ComparePairs(a, b []Result, c CompareConfig) (Comparison, error) {
	one, err := compareOne(a, b, true, c)
	if err == nil && a[0].Setting != b[0].Setting {
		one.Notes = append(one.Notes, "A and B did not do the same: "+differences(a[0].Setting, b[0].Setting))
	}
	return one, err
}

func compareOne(a, b []Result, turns bool, c CompareConfig) (Comparison, error) {
	one := Comparison{Setting: a[0].Setting, Config: c}
	a, b = byTime(a), byTime(b)
	one.Paired = turns && len(a) == len(b) || tookTurns(a, b)
	as, bs := series{rounds: a}, series{rounds: b}
	found := false
	for _, m := range Metrics() {
		va, vb := as.values(m), bs.values(m)
		if va == nil || vb == nil {
			continue
		}
		row := Row{Metric: m, NA: len(a), NB: len(b), A: summarise(va), B: summarise(vb)}
		if one.Paired {
			logs := make([]float64, len(va))
			for i := range va {
				logs[i] = math.Log(vb[i] / va[i])
			}
			row.P, row.Ratio = signedRank(logs), math.Exp(shift(logs))
		} else {
			t := &benchmath.Thresholds{CompareAlpha: c.Alpha}
			row.P = benchmath.AssumeNothing.Compare(benchmath.NewSample(va, t), benchmath.NewSample(vb, t)).P
			row.Ratio = row.B.Center / row.A.Center
		}
		one.Rows = append(one.Rows, row)
		if m.Name == c.Metric.Name {
			one.Primary, found = row, true
		}
	}
	if !found {
		return one, fmt.Errorf("the runs have no %s: choose another metric", c.Metric.Name)
	}
	one.Verdict = one.Primary.verdict(one.Paired, c)
	if !one.Paired {
		one.Notes = append(one.Notes, "A and B did not run by turns: what the machine did between them counts as a difference; compare the programs themselves")
	}
	if other := elsewhere(a[0].Environment, b[0].Environment); other != "" {
		one.Notes = append(one.Notes, "A and B ran in different environments: "+other)
	}
	return one, nil
}

func (r Row) verdict(paired bool, c CompareConfig) Verdict {
	if least(r.NA, r.NB, paired) >= c.Alpha {
		return Unclear
	}
	cost := -float64(r.Metric.Better) * math.Log(r.Ratio)
	switch limit := math.Log1p(c.Threshold); {
	case r.P >= c.Alpha || math.Abs(cost) <= limit:
		return Same
	case cost > 0:
		return Slower
	}
	return Faster
}

// least returns the smallest p that so many runs can have.
func least(na, nb int, paired bool) float64 {
	if paired {
		return 2 * math.Pow(0.5, float64(na))
	}
	all, _ := math.Lgamma(float64(na + nb + 1))
	one, _ := math.Lgamma(float64(na + 1))
	other, _ := math.Lgamma(float64(nb + 1))
	return 2 * math.Exp(one+other-all)
}

func byTime(results []Result) []Result {
	return slices.SortedStableFunc(slices.Values(results), func(a, b Result) int { return a.Time.Compare(b.Time) })
}

// tookTurns says whether the runs of A and B, each in the order of time, are rounds: both have had their turn before either has its
// next.
func tookTurns(a, b []Result) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Time.IsZero() || b[i].Time.IsZero() || a[i].Time.Equal(b[i].Time) { // not known, or one and the same run
			return false
		}
		if i > 0 && (!a[i-1].Time.Before(b[i].Time) || !b[i-1].Time.Before(a[i].Time)) {
			return false
		}
	}
	return len(a) > 1
}

// elsewhere says how two environments differ but for the build.
func elsewhere(a, b Environment) string {
	var all []string
	say := func(name, a, b string) {
		if a != b {
			all = append(all, fmt.Sprintf("%s %s against %s", name, a, b))
		}
	}
	say("host", a.Host, b.Host)
	say("system", a.OS, b.OS)
	say("processor", a.CPU, b.CPU)
	say("processors", strconv.Itoa(a.Processors), strconv.Itoa(b.Processors))
	say("memory", binary(float64(a.Memory)), binary(float64(b.Memory)))
	for name, v := range a.Libraries {
		say(name, v, b.Libraries[name])
	}
	for name, v := range b.Libraries {
		if a.Libraries[name] == "" {
			say(name, "none", v)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// Sentence says what a comparison comes to.
func (c Comparison) Sentence() string {
	r := c.Primary
	n := strconv.Itoa(r.NA)
	if r.NB != r.NA {
		n += "+" + strconv.Itoa(r.NB)
	}
	more := "more"
	if r.Ratio < 1 {
		more = "less"
	}
	verb := "takes"
	if r.Metric.Better > 0 {
		verb = "reaches"
	}
	said := fmt.Sprintf("B %s %.1f %% %s %s than A (p %s, n %s)", verb, 100*math.Abs(r.Ratio-1), more, r.Metric.Long, short(r.P), n)
	if r.Ratio == 1 {
		said = fmt.Sprintf("B %s as much %s as A (p %s, n %s)", verb, r.Metric.Long, short(r.P), n)
	}
	switch {
	case c.Verdict == Unclear:
		return said + ": " + c.TooFew().Error()
	case c.Verdict == Slower && r.Metric.Pace:
		return said + ": slower"
	case c.Verdict == Slower:
		return said + ": worse"
	case c.Verdict == Faster && r.Metric.Pace:
		return said + ": faster"
	case c.Verdict == Faster:
		return said + ": better"
	case r.P >= c.Config.Alpha:
		return said + ": no difference"
	}
	return said + fmt.Sprintf(": within the threshold of %s %%", short(100*c.Config.Threshold))
}

// TooFew says how many runs it takes to tell.
func (c Comparison) TooFew() error {
	n := 1
	for least(n, n, c.Paired) >= c.Config.Alpha {
		n++
	}
	return fmt.Errorf("too few runs for p < %s, whatever they measure: it takes %d of each", short(c.Config.Alpha), n)
}

// WriteTable writes a comparison for the terminal.
func (c Comparison) WriteTable(w io.Writer) error {
	lines := []string{"\tA\t\tB\t\tchange\tp\tn\t\n"}
	for _, r := range c.Rows {
		change := "~"
		if r.P < c.Config.Alpha {
			change = fmt.Sprintf("%+.1f %%", 100*(r.Ratio-1))
		}
		n := strconv.Itoa(r.NA)
		if r.NB != r.NA {
			n += "+" + strconv.Itoa(r.NB)
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.Metric.Name, r.Metric.format(r.A.Center), spread(r.A), r.Metric.format(r.B.Center), spread(r.B), change, short(r.P), n))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := io.WriteString(t, strings.Join(lines, "")); err != nil {
		return err
	}
	return t.Flush()
}

// spread prints how far the interval of a median reaches from it.
func spread(s benchmath.Summary) string {
	return "±" + strings.Replace(s.PctRangeString(), "%", " %", 1)
}

// short prints a number without digits that say nothing.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 2, 64) }
