package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"microtome/bench/results"
	"microtome/bench/synthetic"
	"microtome/pipeline"
	"microtome/sink"
	"microtome/unet"
)

// Caches of the system that a slide's file is read through.
const (
	Warm     = "warm"   // the file was read before
	Cold     = "cold"   // it is not in the page cache, as far as the system lets it go
	InMemory = "memory" // there is no file: a synthetic slide is made as it is read
)

// Config is one run: a point of a sweep.
type Config struct {
	Scenario string
	Slide    string // file or folder; "": a synthetic slide
	Size     int    // edge of the synthetic slide, px
	Copies   int    // of the synthetic slide that are run over
	Cache    string
	Model    string // built-in, or a file
	Null     bool   // the model's tiles are laid, but its labels are 0 and take no time
	Unet     unet.Config
	Sink     string // compression, or results.NullSink
	Pipeline pipeline.Config
	Dir      string // for slides and results

	Begin func() error // is called before what is measured; nil: nothing
}

// NewDefaultConfig returns the whole run with the built-in model on a synthetic slide.
func NewDefaultConfig() Config {
	p := pipeline.NewDefaultConfig()
	p.Tissue = pipeline.TissueOff
	return Config{Scenario: results.EndToEnd, Size: 4096, Copies: 1, Cache: Warm, Model: "nuclei", Unet: unet.Config{Device: "auto"}, Sink: p.Compression, Pipeline: p}
}

// Validate reports everything that is wrong with c, in the words of the command line.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	oneOf := func(flag, is string, of []string) {
		check(slices.Contains(of, is), "--%s %s: give one of %s", flag, is, strings.Join(of, ", "))
	}
	oneOf("scenario", c.Scenario, results.Scenarios())
	oneOf("cache", c.Cache, []string{Warm, Cold, InMemory})
	oneOf("sink", c.Sink, append(sink.Compressions(), results.NullSink))
	check(c.Copies >= 1 && c.Copies <= 100_000, "--copies %d: give 1 to 100000 slides", c.Copies)
	check(c.Slide == "" || c.Cache != InMemory, "--cache memory is for synthetic slides: leave the slide out")
	check(c.Slide == "" || c.Copies == 1, "--copies is for synthetic slides: name a folder of slides instead")
	check(c.Copies == 1 || c.Cache != Cold, "--cache cold with --copies: the copies are one file, which the first of them makes warm")
	check(c.Copies == 1 || c.Scenario == results.EndToEnd, "--copies %d: only the scenario %s runs over several slides", c.Copies, results.EndToEnd)
	if c.Slide == "" {
		errs = append(errs, synthetic.Config{Size: c.Size}.Validate())
	} else if _, err := os.Stat(c.Slide); err != nil {
		errs = append(errs, err)
	}
	p := c.pipelineConfig()
	return errors.Join(append(errs, p.Validate(), c.Unet.Validate())...)
}

// pipelineConfig returns how the pipeline is run.
func (c Config) pipelineConfig() pipeline.Config {
	p := c.Pipeline
	if p.Discard = c.Sink == results.NullSink; !p.Discard {
		p.Compression = c.Sink
	}
	p.Out, p.Force = filepath.Join(c.Dir, "results-of-bench"), true
	return p
}
