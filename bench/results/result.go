package results

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Schema is the version of the lines of a results file.
const Schema = 1

// Scenarios are what can be measured, from the parts to the whole.
const (
	ReadOnly  = "read"       // each block of the slide is decoded once
	ReadCut   = "cut"        // tiles with their halos are cut from decoded blocks
	InferOnly = "infer"      // the network labels the same tile again and again
	WriteOnly = "write"      // labels are put in order, into the pyramid, and written
	EndToEnd  = "end-to-end" // segment, as users run it
)

// Scenarios lists them.
func Scenarios() []string { return []string{ReadOnly, ReadCut, InferOnly, WriteOnly, EndToEnd} }

// NullSink throws masks away.
const NullSink = "null"

// A Result is one measured run, a line of a results file. What a scenario does not have is 0 and left out.
type Result struct {
	Schema      int         `json:"schema"`
	Time        time.Time   `json:"time"`  // of the start
	Round       int         `json:"round"` // of repeated runs: 0, 1, …
	Setting     Setting     `json:"setting"`
	Environment Environment `json:"environment"`
	Figures     Figures     `json:"figures"`
	Phases      []Phase     `json:"phases,omitempty"` // of a slide, in their order
	Stages      []Stage     `json:"stages,omitempty"` // of the phase "tiles", in the order of the graph
	Limit       string      `json:"limit,omitempty"`  // what limits the run; see Explanation
	Why         string      `json:"why,omitempty"`    // the same for people
}

// A Setting is what was run: the axes of a sweep.
type Setting struct {
	Scenario string `json:"scenario"` // see Scenarios
	Slide    string `json:"slide"`    // "synthetic", or a file's name
	Width    int    `json:"width"`    // of the working resolution, px
	Height   int    `json:"height"`
	Slides   int    `json:"slides"`  // of the run
	AtWork   int    `json:"at_work"` // slides at a time at most; 0: as many as fit
	Cache    string `json:"cache"`   // "warm" or "cold" page cache, or "memory": the slide is made as it is read
	Model    string `json:"model"`
	Null     bool   `json:"null_model,omitempty"` // its labels take no time
	Device   string `json:"device,omitempty"`
	Tile     int    `json:"tile"`  // edge of a core, px
	Input    int    `json:"input"` // edge of what the network sees, px
	Workers  int    `json:"workers"`
	Memory   int64  `json:"memory"` // --memory, bytes
	Batch    int    `json:"batch"`  // tiles that the network gets at a time; 0: as suits the device
	Sink     string `json:"sink"`   // compression of the mask, or "null": it goes nowhere
	Tissue   string `json:"tissue"` // see pipeline.Config
}

// Figures are what was measured of a run as a whole.
type Figures struct {
	Seconds      float64 `json:"seconds"`     // wall time of the work, without opening the model
	Whole        float64 `json:"whole"`       // wall time from the start of the process, s
	CPU          float64 `json:"cpu_seconds"` // of the process, for the work
	Pixels       int64   `json:"pixels"`      // of the working resolution that were labelled, read or written
	Tiles        int     `json:"tiles"`
	MPXPerS      float64 `json:"mpx_per_s"`
	MM2PerS      float64 `json:"mm2_per_s,omitempty"`
	TilesPerS    float64 `json:"tiles_per_s"`
	SecondsSlide float64 `json:"s_per_slide"`
	CPUPerMPX    float64 `json:"cpu_s_per_mpx"`
	GFLOPPerS    float64 `json:"gflop_per_s,omitempty"` // of the network, halos included
	UsefulGFLOP  float64 `json:"useful_gflop_per_s,omitempty"`

	// Roofline says which share of a ceiling of the machine was reached, 0 to 1: by "sgemm", "copy", "decode", "codec".
	Roofline map[string]float64 `json:"roofline,omitempty"`

	ModelBusy   float64 `json:"model_busy,omitempty"`  // share of workers × wall in which the network computed, 0 to 1
	Waste       float64 `json:"overlap_waste"`         // pixels that the network sees, or tiles hold, for one that is labelled
	Decoded     int64   `json:"decoded_bytes"`         // bytes of pixels
	DecodedPer  float64 `json:"decoded_per_needed"`    // bytes decoded for one that is needed
	BudgetHigh  int64   `json:"budget_high"`           // most bytes of tiles in flight
	BudgetLimit int64   `json:"budget_limit"`          // bytes of tiles that may be in flight
	PeakRSS     int64   `json:"peak_rss"`              // of the process, bytes
	PeakCgroup  int64   `json:"peak_cgroup,omitempty"` // of the control group, page cache included, bytes; 0: not known
	Allocated   int64   `json:"allocated_per_tile"`    // bytes on Go's heap a tile, the first ones left out
	GC          float64 `json:"gc_cpu"`                // share of the processor time that the garbage collector took
}

// A Stage is what the workers of a stage did, all slides together. The shares are of the time in which there were tiles on their way, and add
// up to 1.
type Stage struct {
	Stage    string  `json:"stage"`
	Workers  int     `json:"workers"`
	Busy     float64 `json:"busy"`
	Starved  float64 `json:"starved"`   // nothing to do
	Blocked  float64 `json:"blocked"`   // nobody takes what is done
	Waiting  float64 `json:"waiting"`   // for a turn, or for memory
	Depth    float64 `json:"depth"`     // mean number of values that wait before the stage
	MaxDepth int     `json:"max_depth"` // the most there have been
}

// A Phase is a part of the time of slides, added up.
type Phase struct {
	Phase   string  `json:"phase"`
	Seconds float64 `json:"seconds"`
}

// Environment is where a run took place.
type Environment struct {
	Version    string            `json:"version"` // of microtome
	Commit     string            `json:"commit,omitempty"`
	Host       string            `json:"host"`
	OS         string            `json:"os"`
	CPU        string            `json:"cpu"`        // its name
	Processors int               `json:"processors"` // that the process may use
	Memory     int64             `json:"memory"`     // of the machine, or its control group, bytes
	Libraries  map[string]string `json:"libraries"`
	Ceilings   Ceilings          `json:"ceilings"`
}

// Ceilings are what the machine reaches, all processors at work, for one of them; package bench measures them.
type Ceilings struct {
	SGEMM  float64 `json:"sgemm_gflop_per_s,omitempty"` // large float32 matrices
	Copy   float64 `json:"copy_gb_per_s,omitempty"`     // memory, read and written
	Decode float64 `json:"decode_mpx_per_s,omitempty"`  // aligned blocks of the slide
	Codec  float64 `json:"codec_mpx_per_s,omitempty"`   // labels into tiles of the mask
}

// Append writes results at the end of a file, each on a line of its own.
func Append(path string, results ...Result) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, r := range results {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := f.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// Read returns the results of a file.
func Read(path string) ([]Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	results, err := Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return results, nil
}

// Decode returns the results that are written one a line.
func Decode(r io.Reader) ([]Result, error) {
	var results []Result
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for n := 1; lines.Scan(); n++ {
		var one Result
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil || one.Schema == 0 {
			return nil, fmt.Errorf("line %d is no result of microtome bench", n)
		}
		if one.Schema > Schema {
			return nil, fmt.Errorf("line %d is of a later microtome: use that one", n)
		}
		results = append(results, one)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, errors.New("no results: microtome bench -o FILE writes them")
	}
	return results, nil
}

// Against says which share of the ceilings a result reached, on as many processors as it had workers for.
func (r *Result) Against(c Ceilings) {
	r.Environment.Ceilings = c
	f := &r.Figures
	f.Roofline = map[string]float64{}
	procs := float64(min(r.Setting.Workers, r.Environment.Processors))
	share := func(name string, rate, ceiling float64) {
		if rate > 0 && ceiling > 0 {
			f.Roofline[name] = rate / ceiling
		}
	}
	if strings.Contains(r.Setting.Device, "cpu") || strings.Contains(r.Setting.Device, "gorgonia") {
		share("sgemm", f.GFLOPPerS, c.SGEMM*procs)
	}
	switch r.Setting.Scenario {
	case ReadOnly, ReadCut:
		share("decode", float64(f.Decoded)/3e6/f.Seconds, c.Decode*procs)
		share("copy", f.MPXPerS*f.Waste*3*2/1e3, c.Copy*procs)
	case WriteOnly:
		share("codec", f.MPXPerS, c.Codec)
	case EndToEnd:
		share("decode", float64(f.Decoded)/3e6/f.Seconds, c.Decode*procs)
		if r.Setting.Sink != NullSink {
			share("codec", f.MPXPerS, c.Codec)
		}
	}
}
