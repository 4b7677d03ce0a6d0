package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"microtome/bench/results"
	"microtome/pipeline"
	"microtome/unet"
)

// A Run is one measured run, with what is too much for a results file.
type Run struct {
	results.Result
	Watch *Watch // of the scenario end-to-end
}

// A measurement is a run in the making.
type measurement struct {
	Config
	pipeline *pipeline.Pipeline
	model    unet.Model
	paths    []string
	plan     pipeline.Plan // of the first slide
	steady   steady
	from     *usage // where what is measured begins later than the rest
	run      Run

	seen, labelled int64 // pixels that the network saw, and those that it labelled
}

// Once makes one run in this process: best in one that does nothing else, since memory and the garbage collector's work are the
// process's. The caller sets results.Environment; see [results.Result.Against] for Roofline.
func Once(ctx context.Context, c Config) (_ *Run, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Dir == "" {
		if c.Dir, err = os.MkdirTemp("", "microtome-bench-"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
	}
	m := &measurement{Config: c}
	if m.paths, err = c.Prepare(ctx); err != nil {
		return nil, err
	}
	if len(m.paths) > 1 && c.Scenario != results.EndToEnd {
		return nil, fmt.Errorf("the scenario %s measures one slide, and there are %d: name one, or --scenario %s", c.Scenario, len(m.paths), results.EndToEnd)
	}
	c.Unet.Blend = c.Pipeline.Overlap > 0
	if m.model, err = unet.Open(c.Model, c.Unet); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.model.Close()) }()
	if c.Null {
		m.model = null(m.model)
	}
	p := c.pipelineConfig()
	if err := p.Suits(m.model.Spec()); err != nil {
		return nil, err
	}
	if len(m.paths) == 1 && p.Slides == 0 {
		p.Slides = 1
	}
	m.pipeline = &pipeline.Pipeline{Model: m.model, Config: p, OpenSlide: c.opener()}
	if m.plan, err = m.pipeline.Plan(ctx, pipeline.Item{Path: m.paths[0]}); err != nil {
		return nil, err
	}
	if err := m.plan.Check(); err != nil {
		return nil, err
	}
	m.set()
	if err := c.cache(m.paths); err != nil { // last: the plan has read headers
		return nil, err
	}
	runtime.GC() // what came before is not counted
	if c.Begin != nil {
		if err := c.Begin(); err != nil {
			return nil, err
		}
	}
	high := watchCgroup(ctx)
	began := usageNow()
	if c.Scenario == results.EndToEnd {
		err = m.endToEnd(ctx)
	} else {
		err = m.part(ctx)
	}
	ended := usageNow()
	m.run.Figures.PeakCgroup = high()
	if err != nil {
		return nil, err
	}
	if m.from != nil {
		began = *m.from
	}
	m.used(began, ended)
	return &m.run, nil
}

// set says what is run.
func (m *measurement) set() {
	spec, plan := m.model.Spec(), m.plan
	name := "synthetic"
	if m.Slide != "" {
		name = filepath.Base(m.Slide)
	}
	m.run.Schema, m.run.Time = results.Schema, time.Now().UTC()
	m.run.Setting = results.Setting{
		Scenario: m.Scenario, Slide: name, Width: plan.Region.Dx(), Height: plan.Region.Dy(), Slides: len(m.paths), AtWork: m.Pipeline.Slides, Cache: m.Cache,
		Model: spec.Name, Null: m.Null, Device: deviceOf(spec.Engine), Tile: plan.Core, Input: plan.Halo, Workers: plan.Workers,
		Memory: m.Pipeline.Memory, Batch: m.Unet.Batch, Sink: m.Sink, Tissue: m.Pipeline.Tissue,
	}
}

// deviceOf returns the device that an engine says it runs on: of "onnxruntime 1.30.0, cpu", cpu.
func deviceOf(engine string) string {
	if _, device, ok := strings.Cut(engine, ", "); ok {
		return device
	}
	return engine
}

// used works out the figures from what the process has used.
func (m *measurement) used(began, ended usage) {
	f, s := &m.run.Figures, m.run.Setting
	f.Seconds = ended.at.Sub(began.at).Seconds()
	f.CPU = (ended.cpu - began.cpu).Seconds()
	f.Whole = time.Since(processStart).Seconds()
	mpx := float64(f.Pixels) / 1e6
	f.MPXPerS, f.MM2PerS, f.TilesPerS = mpx/f.Seconds, mpx*m.plan.MPP*m.plan.MPP/f.Seconds, float64(f.Tiles)/f.Seconds
	f.SecondsSlide = f.Seconds / float64(s.Slides)
	f.CPUPerMPX = f.CPU / max(mpx, 1e-6)
	f.PeakRSS = pipeline.Peak()
	f.Allocated = m.steady.perTile()
	f.GC = (ended.gc - began.gc) / max(f.CPU, 1e-6)
	if flop := m.model.Spec().FLOP / 1e9 / f.Seconds; !m.Null {
		f.GFLOPPerS, f.UsefulGFLOP = flop*float64(m.seen), flop*float64(m.labelled)
	}
}

// processStart is close to when the process began.
var processStart = time.Now()
