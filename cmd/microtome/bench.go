package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microtome/bench"
	"microtome/bench/results"
	"microtome/pipeline"
	"microtome/unet"
)

type benchOptions struct {
	bench.Config
	scenarios []string
	sweep     []string
	repeat    int
	out       string
	json      bool
	explain   bool
	stages    bool
	timeline  string
	once      bool
	tune      bool
	ceilings  bool
	profiles
	profileDir string
}

func newBenchCommand() *cobra.Command {
	o := benchOptions{Config: bench.NewDefaultConfig(), scenarios: results.Scenarios(), repeat: 1, ceilings: true}
	c := &cobra.Command{
		Use:   "bench [SLIDE|FOLDER]",
		Short: "Measure how fast this machine is with a model, and what limits it",
		Long: `bench measures how fast this machine is with a model, what limits it, and which flag changes that. Without a SLIDE
it makes a synthetic one. Each run is a process of its own. Scenarios:

  end-to-end  segment, as users run it
  read        blocks of the slide are decoded, each once
  cut         tiles with their halos are cut from decoded blocks
  infer       the network alone, on one tile again and again
  write       labels are put in order, into the pyramid and into the file

Any of the flags ` + strings.Join(axes, ", ") + ` may be an axis of --sweep;
several make a grid. Results are a table, and with -o lines of JSON that are added to a file, which bench report, bench compare and
bench plot read.`,
		Example: "  microtome bench\n  microtome bench slide.svs --scenario end-to-end --explain\n  microtome bench --sweep tile=256,512,1024 --sweep workers=1,2 --repeat 5 -o results.jsonl",
		Args:    arguments(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Slide = args[0]
			}
			switch {
			case o.once:
				if !c.Flags().Changed("scenario") {
					o.scenarios = []string{results.EndToEnd}
				}
				return runBenchOnce(c.Context(), o, c.OutOrStdout())
			case o.tune:
				return runTune(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr())
			}
			return runBench(c.Context(), &o, c.Flags(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.scenarios, "scenario", o.scenarios, "what is measured, with commas between: "+strings.Join(results.Scenarios(), ", "))
	f.StringArrayVar(&o.sweep, "sweep", nil, "`FLAG=VALUE,VALUE` runs with each of the values of a flag")
	f.IntVar(&o.repeat, "repeat", o.repeat, "`NUMBER` of runs of each setting, by turns")
	f.IntVar(&o.Size, "size", o.Size, "edge of the synthetic slide in `PIXELS`")
	f.IntVar(&o.Copies, "copies", o.Copies, "synthetic `SLIDES` to run over")
	f.StringVar(&o.Cache, "cache", o.Cache, "the slide's file is in the page cache, warm, or is not, cold; or there is no file: memory")
	f.StringVar(&o.Model, "model", o.Model, "built-in model ("+strings.Join(unet.Builtin(), ", ")+") or ONNX `FILE`")
	f.BoolVar(&o.Null, "null-model", o.Null, "lay the model's tiles, but let its labels take no time")
	f.StringVar(&o.Sink, "sink", o.Sink, "compression of the mask, or null: it is thrown away")
	modelFlags(f, &o.Unet)
	p := &o.Pipeline
	f.Var((*byteSize)(&p.Memory), "memory", "memory that a run may use")
	f.IntVar(&p.Workers, "workers", p.Workers, "tiles at a time, 0: one a processor, fewer where memory is short")
	f.IntVar(&p.Tile, "tile", p.Tile, "edge of a tile's core in `PIXELS`, 0: chosen by memory")
	f.IntVar(&p.Overlap, "overlap", p.Overlap, "`PIXELS` that neighbouring tiles share, for models that no margin makes seam-free")
	f.Float64Var(&p.MPP, "mpp", p.MPP, "`MICRONS` a pixel of the slide, where it states none or a wrong one")
	f.IntVar(&p.Level, "level", p.Level, "work on this level as it is; -1: the one that suits the model's resolution")
	f.StringVar(&p.Tissue, "tissue", p.Tissue, "where the network looks: off, auto, or a GeoJSON or mask `FILE`")
	f.IntVar(&p.Slides, "slides", p.Slides, "slides at work at a time at most, 0: as many as fit into the memory, up to 4")
	f.StringVarP(&o.out, "out", "o", "", "add results to this `FILE`, a line of JSON each")
	f.StringVar(&o.Dir, "dir", "", "`FOLDER` for synthetic slides and results, kept for the next time (default: one that is removed)")
	f.BoolVar(&o.json, "json", false, "print results as JSON, one a line")
	f.BoolVar(&o.ceilings, "ceilings", o.ceilings, "measure what the machine reaches at most, too, and the share of it that runs reach")
	f.BoolVar(&o.stages, "stages", false, "show what the workers of each stage did")
	f.BoolVar(&o.explain, "explain", false, "say what limits the run and which flag would help, and draw bench-timeline.svg")
	f.StringVar(&o.timeline, "timeline", "", "draw what the workers of each stage did over time into this SVG `FILE`")
	f.BoolVar(&o.tune, "tune", false, "try which tile size, number of tiles at a time and batch are fastest within --memory, and keep it for segment --tune")
	profileFlags(f, &o.profiles)
	f.BoolVar(&o.once, "once", false, "one run in this process, and its result as a line of JSON")
	f.StringVar(&o.profileDir, "profile-dir", "profile", "`FOLDER` for them; of several runs each has one of its own in it")
	if err := f.MarkHidden("once"); err != nil {
		panic(err) // it stands above
	}
	withConfig(c)
	c.AddCommand(newBenchDemoCommand(), newBenchSlideCommand(), newBenchReportCommand(), newBenchCompareCommand(), newBenchPlotCommand(), newBenchPerformanceCommand())
	return c
}

// axes are the flags that a sweep may go through.
var axes = []string{"size", "copies", "cache", "model", "null-model", "sink", "device", "batch", "memory", "workers", "tile", "tissue", "slides"}

// environment describes this program and its machine.
func (o benchOptions) environment() results.Environment {
	return bench.NewEnvironment(version, libraries(o.Unet))
}

// runBenchOnce makes one run in this process.
func runBenchOnce(ctx context.Context, o benchOptions, stdout io.Writer) error {
	if len(o.scenarios) != 1 {
		return usageError{errors.New("one run has one --scenario: name it")}
	}
	o.Scenario = o.scenarios[0]
	if err := errors.Join(o.Validate(), o.validate()); err != nil {
		return usageError{oneLine(err)}
	}
	debug.SetGCPercent(pipeline.GCPercent)
	stop := func() error { return nil }
	o.Begin = func() (err error) {
		stop, err = o.start(o.profileDir)
		return err
	}
	run, err := bench.Once(ctx, o.Config)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	run.Environment = o.environment()
	if o.timeline != "" && run.Watch != nil {
		if err := writeTimeline(run.Watch, o.timeline); err != nil {
			return err
		}
	}
	return json.NewEncoder(stdout).Encode(run.Result)
}

// writeTimeline draws a run into an SVG file.
func writeTimeline(w *bench.Watch, path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return w.Timeline(f)
}

// A cell is a point of a sweep: flags and their values.
type cell []string

// cells returns all combinations of the scenarios and the values of the sweeps.
func (o *benchOptions) cells(flags *pflag.FlagSet) ([]cell, error) {
	all := []cell{}
	for _, s := range o.scenarios {
		all = append(all, cell{"--scenario=" + s})
	}
	for _, sweep := range o.sweep {
		name, values, ok := strings.Cut(sweep, "=")
		flag := flags.Lookup(name)
		if !ok || values == "" || flag == nil || !slices.Contains(axes, name) {
			return nil, fmt.Errorf("--sweep %s: give FLAG=VALUE,VALUE, where FLAG is one of %s", sweep, strings.Join(axes, ", "))
		}
		was := flag.Value.String()
		var next []cell
		for v := range strings.SplitSeq(values, ",") {
			if err := flag.Value.Set(v); err != nil {
				return nil, fmt.Errorf("--sweep %s: %s: %w", name, v, err)
			}
			if err := o.validateAll(); err != nil {
				return nil, fmt.Errorf("--sweep %s: %w", name, oneLine(err))
			}
			for _, c := range all {
				next = append(next, append(slices.Clone(c), fmt.Sprintf("--%s=%s", name, v)))
			}
		}
		if err := flag.Value.Set(was); err != nil {
			return nil, err
		}
		all = next
	}
	return all, nil
}

// validateAll reports what is wrong with the first of the scenarios that cannot be run.
func (o *benchOptions) validateAll() error {
	for _, o.Scenario = range o.scenarios {
		if err := o.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// passed are the flags that the user gave, for a process that makes one run.
func passed(flags *pflag.FlagSet) (args []string) {
	own := []string{"scenario", "sweep", "repeat", "out", "json", "explain", "stages", "timeline", "dir", "config", "tune", "ceilings", "profile-dir"}
	for _, f := range given(flags) {
		if !slices.Contains(own, f.Name) {
			value := f.Value.String()
			if s, ok := f.Value.(pflag.SliceValue); ok {
				value = strings.Join(s.GetSlice(), ",")
			}
			args = append(args, fmt.Sprintf("--%s=%s", f.Name, value))
		}
	}
	return args
}

func runBench(ctx context.Context, o *benchOptions, flags *pflag.FlagSet, stdout, stderr io.Writer) (err error) {
	if o.repeat < 1 {
		return usageError{fmt.Errorf("--repeat %d: give 1 or more", o.repeat)}
	}
	if err := errors.Join(o.validateAll(), o.validate()); err != nil {
		return usageError{oneLine(err)}
	}
	args := passed(flags)
	cells, err := o.cells(flags)
	if err != nil {
		return usageError{err}
	}
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "microtome-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args = append(args, "--dir="+o.Dir)
	if o.Slide != "" {
		args = append([]string{o.Slide}, args...)
	}
	timelines, ceilings := o.timelines(cells), map[string]results.Ceilings{}
	var all []results.Result
	left, began := len(cells)*o.repeat, time.Now()
	for round := range o.repeat {
		for i, c := range cells {
			run := append(slices.Clone(args), c...)
			if len(o.kinds) > 0 {
				dir := o.profileDir
				if left > 1 {
					dir = filepath.Join(dir, strconv.Itoa(len(all)+1))
				}
				run = append(run, "--profile-dir="+dir)
			}
			if timelines[i] != "" && round == 0 {
				run = append(run, "--timeline="+timelines[i])
			}
			fmt.Fprintf(stderr, "microtome: %s%s\n", strings.Join(c, " "), o.remaining(len(all), left, time.Since(began)))
			r, err := bench.Program(self).Once(ctx, run)
			if err != nil {
				return err
			}
			r.Round = round
			if o.ceilings {
				if err := o.against(ctx, c, &r, ceilings, stderr); err != nil {
					return err
				}
			}
			if o.out != "" {
				if err := results.Append(o.out, r); err != nil {
					return err
				}
			}
			if o.json {
				if err := json.NewEncoder(stdout).Encode(r); err != nil {
					return err
				}
			}
			all = append(all, r)
		}
	}
	if o.json {
		return nil
	}
	if err := results.WriteReport(stdout, all, results.ReportConfig{Stages: o.stages}); err != nil {
		return err
	}
	if !o.explain {
		return nil
	}
	return printWhy(stdout, all, cells, timelines)
}

// timelines returns the file of each cell's timeline; "": it has none, as only whole runs have.
func (o benchOptions) timelines(cells []cell) []string {
	files, whole := make([]string, len(cells)), 0
	path := o.timeline
	if path == "" && o.explain {
		path = filepath.Join(filepath.Dir(o.out), "bench-timeline.svg")
	}
	isWhole := func(c cell) bool { return slices.Contains(c, "--scenario="+results.EndToEnd) }
	several := len(slices.DeleteFunc(slices.Clone(cells), func(c cell) bool { return !isWhole(c) })) > 1
	for i, c := range cells {
		if path == "" || !isWhole(c) {
			continue
		}
		whole++
		if files[i] = path; several {
			files[i] = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, filepath.Ext(path)), whole, filepath.Ext(path))
		}
	}
	return files
}

// remaining says how long the runs that are left will take.
func (o benchOptions) remaining(done, of int, took time.Duration) string {
	if of == 1 {
		return ""
	}
	text := fmt.Sprintf(", run %d of %d", done+1, of)
	if done > 0 {
		text += ", " + left(float64(of-done), took.Seconds()/float64(done))
	}
	return text
}

// against compares a result with what the machine reaches, which is measured once for each codec and slide.
func (o benchOptions) against(ctx context.Context, of cell, r *results.Result, known map[string]results.Ceilings, stderr io.Writer) error {
	c := o.Config
	c.Sink, c.Cache = r.Setting.Sink, r.Setting.Cache
	for _, flag := range of {
		if size, ok := strings.CutPrefix(flag, "--size="); ok {
			var err error
			if c.Size, err = strconv.Atoi(size); err != nil {
				return err
			}
		}
	}
	key := fmt.Sprint(c.Sink, c.Size, c.Cache)
	ceilings, ok := known[key]
	if !ok {
		fmt.Fprintln(stderr, "microtome: measuring what the machine reaches at most")
		var path string
		if c.Cache != bench.InMemory {
			c.Copies = 1
			paths, err := c.Prepare(ctx)
			if err != nil {
				return err
			}
			path = paths[0]
		}
		var err error
		if ceilings, err = bench.Measure(ctx, c, path); err != nil {
			fmt.Fprintf(stderr, "microtome: %v\n", oneLine(err))
		}
		known[key] = ceilings
	}
	r.Against(ceilings)
	return nil
}

// printWhy says what limits the whole runs.
func printWhy(w io.Writer, all []results.Result, cells []cell, timelines []string) error {
	for i, c := range cells {
		why := all[i].Why
		if why == "" {
			continue
		}
		if len(cells) > 1 {
			why = strings.ReplaceAll(strings.Join(c, " "), "--", "") + ": " + why
		}
		if _, err := fmt.Fprintf(w, "\n%s\nThe stages over time: %s\n", why, timelines[i]); err != nil {
			return err
		}
	}
	return nil
}
