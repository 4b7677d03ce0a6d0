package results

import (
	"bytes"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
)

var update = flag.Bool("update", false, "write the golden files of reports anew")

// run is a run as a machine of 12 Mpx/s a worker would measure it.
func run(rng *rand.Rand, round, edge, tile, workers int) Result {
	const halo = 72
	input := tile + halo
	waste := math.Pow(float64(input)/float64(tile), 2)
	mpx := float64(edge) * float64(edge) / 1e6
	cpu := mpx*0.083*waste*math.Exp(0.03*rng.NormFloat64()) + 0.02
	seconds := cpu / float64(workers) * (1 + 0.04*float64(workers-1))
	busy := 0.94 + 0.02*rng.Float64()
	return Result{
		Schema: Schema, Time: time.Date(2026, 3, 1, 12, round, 0, 0, time.UTC), Round: round,
		Setting: Setting{
			Scenario: "end-to-end", Slide: "synthetic", Width: edge, Height: edge, Slides: 1, Cache: "warm", Model: "nuclei", Device: "cpu",
			Tile: tile, Input: input, Workers: workers, Memory: 2 << 30, Batch: 1, Sink: "lzw", Tissue: "off",
		},
		Environment: Environment{
			Version: "1.0", Commit: "abc1234", Host: "bench1", OS: "linux/amd64", CPU: "Imaginary 9000 @ 2.5 GHz", Processors: 2, Memory: 8 << 30,
			Libraries: map[string]string{"libvips": "8.16.1", "openslide": "4.0.0", "onnxruntime": "1.30.0"},
			Ceilings:  Ceilings{SGEMM: 80 + rng.Float64(), Copy: 9.4, Decode: 61, Codec: 142},
		},
		Figures: Figures{
			Seconds: seconds, Whole: seconds + 0.4, CPU: cpu, Pixels: int64(edge) * int64(edge), Tiles: (edge + tile - 1) / tile * ((edge + tile - 1) / tile),
			MPXPerS: mpx / seconds, MM2PerS: mpx / seconds * 0.0625, TilesPerS: mpx / seconds / float64(tile*tile) * 1e6, SecondsSlide: seconds,
			CPUPerMPX: cpu / mpx, GFLOPPerS: mpx / seconds * 5.2 * waste, UsefulGFLOP: mpx / seconds * 5.2,
			Roofline:  map[string]float64{"sgemm": 0.78, "copy": 0.041, "decode": 0.18, "codec": 0.079},
			ModelBusy: busy, Waste: waste * 1.01, DecodedPer: 1.08, BudgetHigh: 80 << 20, BudgetLimit: 400 << 20,
			PeakRSS: int64(float64(310<<20) * math.Exp(0.01*rng.NormFloat64())), Allocated: 31 << 10, GC: 0.003,
		},
		Stages: []Stage{
			{Stage: "read", Workers: workers, Busy: 0.11, Starved: 0.01, Blocked: 0.62, Waiting: 0.26, Depth: 0, MaxDepth: 0},
			{Stage: "infer", Workers: workers, Busy: busy, Starved: 0.97 - busy, Blocked: 0.01, Waiting: 0.02, Depth: 1.7, MaxDepth: 2},
			{Stage: "commit", Workers: 1, Busy: 0.06, Starved: 0.94, Depth: 0.1, MaxDepth: 2},
		},
	}
}

// sweep is a file of runs with several rounds in each of several settings.
func sweep() []Result {
	rng := rand.New(rand.NewPCG(7, 7))
	var all []Result
	for round := range 6 {
		for _, edge := range []int{1024, 2048, 4096, 8192} {
			all = append(all, run(rng, round, edge, 512, 2))
		}
		all = append(all, run(rng, round, 2048, 512, 1), run(rng, round, 2048, 512, 4))
		for _, tile := range []int{256, 1024, 2048} {
			all = append(all, run(rng, round, 2048, tile, 2))
		}
	}
	return all
}

func TestReport(t *testing.T) {
	all := sweep()
	elsewhere := all[:2:2]
	for _, r := range all[2:4] {
		r.Environment.Commit = "def5678"
		elsewhere = append(elsewhere, r)
	}
	for _, c := range []struct {
		name    string
		results []Result
		config  ReportConfig
	}{
		{"sweep.txt", all, ReportConfig{}},
		{"sweep.md", all, ReportConfig{Markdown: true}},
		{"stages.txt", all[:9], ReportConfig{Stages: true}},
		{"one.md", all[:1], ReportConfig{Markdown: true, Stages: true}},
		{"builds.txt", elsewhere, ReportConfig{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteReport(&b, c.results, c.config); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", c.name)
			if *update {
				if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, b.Bytes()) {
				t.Errorf("%s is otherwise (go test -update writes it anew):\n%s", path, &b)
			}
			for line := range strings.Lines(b.String()) {
				if w := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); w > 120 && !c.config.Markdown {
					t.Errorf("a line is %d columns wide:\n%s", w, line)
				}
			}
		})
	}
}
