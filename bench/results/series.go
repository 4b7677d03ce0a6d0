package results

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchmath"
)

// A series is what was measured of one setting in one environment, round after round.
type series struct {
	setting Setting
	place   int // of its environment among those of the report
	rounds  []Result
}

// group sorts results into series, in the order in which the settings came first, and returns the environments, of which ceilings
// are the median of those measured: they are measured again by every run.
func group(results []Result) (all []series, places []Environment) {
	type key struct {
		setting Setting
		place   int
	}
	byName, byKey := map[string]int{}, map[key]int{}
	var of [][]Result
	for _, r := range results {
		name := place(r.Environment)
		p, ok := byName[name]
		if !ok {
			p = len(places)
			byName[name], places, of = p, append(places, r.Environment), append(of, nil)
		}
		of[p] = append(of[p], r)
		k := key{r.Setting, p}
		i, ok := byKey[k]
		if !ok {
			i = len(all)
			byKey[k], all = i, append(all, series{setting: r.Setting, place: p})
		}
		all[i].rounds = append(all[i].rounds, r)
	}
	for p := range places {
		c := &places[p].Ceilings
		for _, v := range []struct {
			to *float64
			of func(Ceilings) float64
		}{
			{&c.SGEMM, func(c Ceilings) float64 { return c.SGEMM }},
			{&c.Copy, func(c Ceilings) float64 { return c.Copy }},
			{&c.Decode, func(c Ceilings) float64 { return c.Decode }},
			{&c.Codec, func(c Ceilings) float64 { return c.Codec }},
		} {
			var measured []float64
			for _, r := range of[p] {
				if x := v.of(r.Environment.Ceilings); x > 0 {
					measured = append(measured, x)
				}
			}
			if measured != nil {
				*v.to = median(measured)
			}
		}
	}
	return all, places
}

// place tells environments apart: by all but their ceilings.
func place(e Environment) string {
	e.Ceilings = Ceilings{}
	name, err := json.Marshal(e) // sorts the libraries
	if err != nil {
		panic(err) // strings and numbers have JSON
	}
	return string(name)
}

// values returns a metric of each round; none where a round has none.
func (s series) values(m Metric) []float64 {
	var all []float64
	for _, r := range s.rounds {
		v := m.of(r)
		if math.IsNaN(v) {
			return nil
		}
		all = append(all, v)
	}
	return all
}

// summarise returns the median of values and its interval of 95 % confidence, as benchstat does.
func summarise(values []float64) benchmath.Summary {
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds), 0.95)
}

func median(values []float64) float64 { return summarise(values).Center }

// An axis is a part of the settings that a sweep changes.
type axis struct {
	name string
	of   func(Setting) string
}

func axes() []axis {
	return []axis{
		{"scenario", func(s Setting) string { return s.Scenario }},
		{"slide", func(s Setting) string { return s.Slide }},
		{"size", func(s Setting) string { return fmt.Sprintf("%d×%d", s.Width, s.Height) }},
		{"slides", func(s Setting) string { return strconv.Itoa(s.Slides) }},
		{"at work", func(s Setting) string { return strconv.Itoa(s.AtWork) }},
		{"cache", func(s Setting) string { return s.Cache }},
		{"model", func(s Setting) string {
			if s.Null {
				return s.Model + " (null)"
			}
			return s.Model
		}},
		{"device", func(s Setting) string { return s.Device }},
		{"tile", func(s Setting) string { return strconv.Itoa(s.Tile) }},
		{"input", func(s Setting) string { return strconv.Itoa(s.Input) }},
		{"workers", func(s Setting) string { return strconv.Itoa(s.Workers) }},
		{"memory", func(s Setting) string { return binary(float64(s.Memory)) }},
		{"batch", func(s Setting) string { return strconv.Itoa(s.Batch) }},
		{"sink", func(s Setting) string { return s.Sink }},
		{"tissue", func(s Setting) string { return s.Tissue }},
	}
}

// split returns the axes that differ between settings, and what the others are.
func split(settings []Setting) (vary, constant []axis) {
	for _, a := range axes() {
		if slices.ContainsFunc(settings, func(s Setting) bool { return a.of(s) != a.of(settings[0]) }) {
			vary = append(vary, a)
		} else if v := a.of(settings[0]); v != "" && v != "0" {
			constant = append(constant, a)
		}
	}
	return vary, constant
}

// describe says what axes are: "tile 512, workers 2".
func describe(s Setting, of []axis) string {
	var parts []string
	for _, a := range of {
		parts = append(parts, a.name+" "+cmp.Or(a.of(s), "none"))
	}
	return strings.Join(parts, ", ")
}

// differences says how two settings differ: "tile 512 against 1024".
func differences(a, b Setting) string {
	vary, _ := split([]Setting{a, b})
	var parts []string
	for _, x := range vary {
		parts = append(parts, fmt.Sprintf("%s %s against %s", x.name, cmp.Or(x.of(a), "none"), cmp.Or(x.of(b), "none")))
	}
	return strings.Join(parts, ", ")
}

// lines describes an environment.
func (e Environment) lines() [][2]string {
	machine := fmt.Sprintf("%s, %s, %d processors, %s", cmp.Or(e.CPU, "unknown processor"), cmp.Or(e.OS, runtime.GOOS), e.Processors, binary(float64(e.Memory)))
	if e.Host != "" {
		machine = e.Host + ": " + machine
	}
	first := "microtome " + cmp.Or(e.Version, "dev")
	if e.Commit != "" {
		first += " (" + e.Commit + ")"
	}
	build := []string{first}
	for _, name := range slices.Sorted(maps.Keys(e.Libraries)) {
		build = append(build, name+" "+e.Libraries[name])
	}
	all := [][2]string{{"machine", machine}, {"build", strings.Join(build, ", ")}}
	var ceilings []string
	for _, c := range []struct {
		name, unit string
		v          float64
	}{
		{"sgemm", "GFLOP/s", e.Ceilings.SGEMM},
		{"copy", "GB/s", e.Ceilings.Copy},
		{"decode", "Mpx/s", e.Ceilings.Decode},
		{"codec", "Mpx/s", e.Ceilings.Codec},
	} {
		if c.v > 0 {
			ceilings = append(ceilings, fmt.Sprintf("%s %s %s", c.name, digits(c.v), c.unit))
		}
	}
	if ceilings != nil {
		all = append(all, [2]string{"ceilings", strings.Join(ceilings, ", ") + ", each of one processor"})
	}
	return all
}

// String says what was run.
func (s Setting) String() string {
	_, constant := split([]Setting{s})
	return describe(s, constant)
}
