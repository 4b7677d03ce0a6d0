package results

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// A Metric is one of the figures of a run, as tables and comparisons show it.
type Metric struct {
	Name   string // as in a results file
	Title  string // at the head of a column
	Long   string // in a sentence: "CPU time"
	Better int    // 1: more is better; -1: less is
	Pace   bool   // worse is slower

	of     func(Result) float64 // NaN: the run has no such figure
	format func(float64) string
}

// Metrics are all figures that runs are reported and compared by. The first is what comparisons go by unless told otherwise:
// the wall time of a run depends on who else uses the machine far more than its processor time does.
func Metrics() []Metric {
	return []Metric{
		{"cpu_seconds", "CPU s", "CPU time", -1, true, figure(func(f Figures) float64 { return f.CPU }), digits},
		{"seconds", "s", "time", -1, true, figure(func(f Figures) float64 { return f.Seconds }), digits},
		{"mpx_per_s", "Mpx/s", "Mpx/s", 1, true, figure(func(f Figures) float64 { return f.MPXPerS }), digits},
		{"mm2_per_s", "mm²/s", "mm²/s", 1, true, figure(func(f Figures) float64 { return f.MM2PerS }), digits},
		{"tiles_per_s", "tiles/s", "tiles/s", 1, true, figure(func(f Figures) float64 { return f.TilesPerS }), digits},
		{"s_per_slide", "s/slide", "time a slide", -1, true, figure(func(f Figures) float64 { return f.SecondsSlide }), digits},
		{"gflop_per_s", "GFLOP/s", "GFLOP/s", 1, true, figure(func(f Figures) float64 { return f.GFLOPPerS }), digits},
		{"useful_gflop_per_s", "useful", "useful GFLOP/s", 1, true, figure(func(f Figures) float64 { return f.UsefulGFLOP }), digits},
		{"sgemm", "sgemm %", "of the sgemm ceiling", 1, false, ceiling("sgemm"), percent},
		{"copy", "copy %", "of the copy ceiling", 1, false, ceiling("copy"), percent},
		{"decode", "decode %", "of the decode ceiling", 1, false, ceiling("decode"), percent},
		{"codec", "codec %", "of the codec ceiling", 1, false, ceiling("codec"), percent},
		{"model_busy", "network %", "of the time in the network", 1, false, figure(func(f Figures) float64 { return f.ModelBusy }), percent},
		{"cpu_s_per_mpx", "CPU s/Mpx", "CPU time a Mpx", -1, true, figure(func(f Figures) float64 { return f.CPUPerMPX }), digits},
		{"decoded_per_needed", "decoded÷needed", "decoded÷needed", -1, false, figure(func(f Figures) float64 { return f.DecodedPer }), digits},
		{"overlap_waste", "overlap", "overlap waste", -1, false, figure(func(f Figures) float64 { return f.Waste }), times},
		{"peak_rss", "peak RSS", "peak memory", -1, false, figure(func(f Figures) float64 { return float64(f.PeakRSS) }), binary},
		{"peak_cgroup", "peak cgroup", "peak memory of the control group", -1, false, figure(func(f Figures) float64 { return float64(f.PeakCgroup) }), binary},
		{"budget_high", "budget", "bytes of tiles in flight", -1, false, figure(func(f Figures) float64 { return float64(f.BudgetHigh) }), binary},
		{"allocated_per_tile", "heap/tile", "heap a tile", -1, false, figure(func(f Figures) float64 { return float64(f.Allocated) }), binary},
		{"gc_cpu", "GC %", "CPU time of the garbage collector", -1, false, figure(func(f Figures) float64 { return f.GC }), percent},
	}
}

// ParseMetric returns a metric by its name in results files.
func ParseMetric(name string) (Metric, error) {
	var names []string
	for _, m := range Metrics() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Metric{}, fmt.Errorf("no metric %q: give one of %s", name, strings.Join(names, ", "))
}

// figure makes a figure a metric; 0 is what a scenario does not have.
func figure(of func(Figures) float64) func(Result) float64 {
	return func(r Result) float64 {
		if v := of(r.Figures); v != 0 {
			return v
		}
		return math.NaN()
	}
}

func ceiling(name string) func(Result) float64 {
	return func(r Result) float64 {
		if v, ok := r.Figures.Roofline[name]; ok {
			return v
		}
		return math.NaN()
	}
}

// digits prints three digits, or as many as stand before the point.
func digits(v float64) string {
	if a := math.Abs(v); a >= 1e6 || a != 0 && a < 1e-4 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	after := 2
	for a := math.Abs(v); a != 0 && a < 1; a *= 10 {
		after++
	}
	for a := math.Abs(v); a >= 9.995 && after > 0; a /= 10 {
		after--
	}
	return strconv.FormatFloat(v, 'f', after, 64)
}

func percent(v float64) string {
	if v < 0.0995 {
		return strconv.FormatFloat(100*v, 'f', 1, 64)
	}
	return strconv.FormatFloat(100*v, 'f', 0, 64)
}

func times(v float64) string { return "×" + strconv.FormatFloat(v, 'f', 2, 64) }

func binary(v float64) string { return humanize.IBytes(uint64(max(v, 0))) }

// Text prints the figure of a run with its name.
func (m Metric) Text(r Result) string {
	v := m.of(r)
	if math.IsNaN(v) {
		return "no " + m.Title
	}
	return m.format(v) + " " + m.Title
}
