package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"microtome/bench"
	"microtome/pipeline"
	"microtome/slide"
	"microtome/unet"
)

// defaultModel is the built-in model that is used when none is named.
const defaultModel = "nuclei"

type segmentOptions struct {
	pipeline.Config
	choice
	model   string
	unet    unet.Config
	dryRun  bool
	json    bool
	verbose bool
	explain bool
	tune    bool
	profiles
}

func newSegmentCommand() *cobra.Command {
	o := segmentOptions{Config: pipeline.NewDefaultConfig(), model: defaultModel, unet: unet.Config{Device: "auto"}}
	c := &cobra.Command{
		Use:   "segment PATH... -o OUT",
		Short: "Segment slides, or folders of slides, into masks",
		Long: fmt.Sprintf(`segment writes a folder OUT/NAME for each slide:

  mask.tif      labels, a tiled pyramidal BigTIFF
  overlay.png   the slide with the mask and the outline of its tissue drawn on it, for people
  summary.json  what ran on what, areas per class, checksums; present only when the rest is whole

and for the run OUT/cohort.csv (areas, a row a slide), OUT/failures.csv (what failed, where and why) and
OUT/run.json (versions, arguments, counts).

A PATH is a slide, a folder, or a list. A folder is searched with its subfolders for
%s;
hidden ones, those with results, and files that belong to an MRXS or VMS slide are passed over. A list is a .txt
with a path a line, or a .csv with a column "slide" and, where they are wanted, "mpp", "model" and "region"
(x y width height in pixels of level 0). Two slides of one name get OUT/NAME and OUT/NAME-2.

Only tiles near tissue are read and given to the network; the rest is background. --tissue off looks at all
of the slide.

A slide that fails is told of and the others go on. A run that was stopped, killed or had no more space
goes on where it was when the same command is given again, to the same bytes: finished slides are kept, and of the
one at work what is done lies in OUT/NAME/.partial until it is finished. Results of another model, resolution, region or
choice of tissue are an error. --force starts over and replaces what is there.

Paths of results go to standard output, one a line. What happens goes to standard error: as progress bars on a
terminal, as JSON lines elsewhere.

Exit codes: 0 all done, 1 failed, 2 usage, 3 some slides failed, 130 interrupted.`, strings.Join(slide.Extensions(), " ")),
		Example: "  microtome segment slide.svs -o results\n  microtome segment cohort/ -o results --model nuclei.onnx --memory 4GiB\n  microtome segment cohort.csv -o results --shard 3/8",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			o.Version = version
			return runSegment(c.Context(), o, args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVarP(&o.Out, "out", "o", o.Out, "`FOLDER` for the results")
	f.StringVar(&o.model, "model", o.model, "built-in model ("+strings.Join(unet.Builtin(), ", ")+") or ONNX `FILE`")
	modelFlags(f, &o.unet)
	f.Var((*byteSize)(&o.Memory), "memory", "memory that the whole run may use")
	f.IntVar(&o.Workers, "workers", o.Workers, "tiles at a time, 0: one a processor, fewer where memory is short")
	f.IntVar(&o.Tile, "tile", o.Tile, "edge of a tile's core in `PIXELS`, 0: chosen by memory")
	f.IntVar(&o.Overlap, "overlap", o.Overlap, "`PIXELS` that neighbouring tiles share and are blended over, for models that no margin makes seam-free")
	f.Float64Var(&o.MPP, "mpp", o.MPP, "`MICRONS` a pixel of the slide, where it states none or a wrong one")
	f.IntVar(&o.Level, "level", o.Level, "work on this level as it is; -1: the one that suits the model's resolution")
	f.BoolVar(&o.Bounds, "bounds", o.Bounds, "segment only the scanned area that the slide's metadata names")
	f.StringVar(&o.Tissue, "tissue", o.Tissue, "where the network looks: auto, off, or a GeoJSON or mask `FILE`, in whose path {name} stands for the slide's name")
	f.Float64Var(&o.TissueMargin, "tissue-margin", o.TissueMargin, "`MICRONS` around tissue that belong to it")
	f.Var((*recall)(&o.TissueRecall), "tissue-recall", "of the search for tissue: first finds pale tissue, too; strict less; safe takes all above the noise, and pen marks")
	f.Var((*badTile)(&o.MarkUnread), "on-bad-tile", "what becomes of a part of a slide that cannot be read: its slide fails, or it is marked as label 255")
	f.Var((*waiting)(&o.ReadTimeout), "read-timeout", "`TIME`, such as 2m, after which a read that does not answer fails its slide, 0: never")
	f.IntVar(&o.Slides, "slides", o.Slides, "slides at work at a time at most, 0: as many as fit into the memory, up to 4")
	f.StringArrayVar(&o.find.Include, "include", nil, "take only files of folders that match `GLOB`, as \"*.svs\" or \"2024/**\"")
	f.StringArrayVar(&o.find.Exclude, "exclude", nil, "leave out files and folders of folders that match `GLOB`")
	f.StringVar(&o.shard, "shard", "", "`I/N`: only part I of N of the slides, for job arrays (default: from SLURM_ARRAY_TASK_ID and _COUNT)")
	f.StringVar(&o.Compression, "compression", o.Compression, "of mask.tif: lzw, deflate, zstd, packbits, none")
	f.IntVar(&o.MaskTile, "mask-tile", o.MaskTile, "edge of the tiles of mask.tif: 256 or 512")
	f.BoolVar(&o.Force, "force", o.Force, "replace results that are already there")
	f.BoolVar(&o.dryRun, "dry-run", o.dryRun, "print the plan and the memory it needs, do nothing")
	f.BoolVar(&o.tune, "tune", o.tune, "use the tile size, number of tiles at a time and batch that are fastest here: the first time they are tried out, and kept")
	f.BoolVar(&o.explain, "explain", o.explain, "say what limited the run and which flag would help, and draw OUT/timeline.svg")
	profileFlags(f, &o.profiles)
	f.BoolVar(&o.verbose, "verbose", o.verbose, "log each tile")
	f.BoolVar(&o.json, "json", o.json, "print JSON, one object a slide")
	withConfig(c)
	return c
}

func runSegment(ctx context.Context, o segmentOptions, args []string, stdout, stderr io.Writer) (err error) {
	o.Arguments = os.Args[1:]
	if o.dryRun && o.Out == "" {
		o.Out = "." // nothing is written
	}
	if err := errors.Join(o.Validate(), o.unet.Validate(), o.find.Validate(), o.validate()); err != nil {
		return usageError{oneLine(err)}
	}
	all, shard, notes, err := o.entries(args)
	if err != nil {
		return usageError{oneLine(err)}
	}
	if err := checkTissue(o.Tissue, all); err != nil {
		return err
	}
	if len(all) == 1 && o.Slides == 0 {
		o.Slides = 1 // all of the memory is for it
	}
	o.unet.Blend = o.Overlap > 0
	if o.tune {
		if err := o.tuned(ctx, stderr); err != nil {
			return err
		}
	}
	model, err := unet.Open(o.model, o.unet)
	if err != nil {
		return err
	}
	debug.SetGCPercent(pipeline.GCPercent)
	defer func() { err = errors.Join(err, model.Close()) }()
	if err := o.Suits(model.Spec()); err != nil {
		return usageError{err}
	}
	p := &pipeline.Pipeline{Model: model, Config: o.Config, OpenSlide: openSlide}
	tables := pipeline.NewTables(o.Config, shard, len(all), libraries(o.unet), o.settings())
	tables.Used(model.Spec())
	p.OpenModel = func(name string) (unet.Model, error) {
		c := o.unet // but what was said of the run's model
		c.Card, c.Classes, c.Output = "", nil, ""
		m, err := unet.Open(name, c)
		if err == nil {
			tables.Used(m.Spec())
		}
		return m, err
	}
	if o.dryRun {
		for _, text := range notes {
			fmt.Fprintf(stderr, "microtome: %s\n", text)
		}
		return dryRun(ctx, p, all, stdout, stderr, o.json)
	}
	talk := newTalker(ctx, stderr, talkOptions{total: len(all), out: o.Out, verbose: o.verbose})
	defer talk.close()
	watch := bench.NewWatch(o.Config)
	p.Events = pipeline.Tee(talk.events(), printResults(talk.stdout(stdout), o.json), tables.Events(), watch.Events())
	for _, text := range notes {
		p.Events.Warning("", text)
	}
	stop, err := o.start(filepath.Join(o.Out, "profile"))
	if err != nil {
		return err
	}
	err = p.Run(ctx, each(all))
	if err2 := errors.Join(tables.Write(ctx, err), stop()); err2 != nil {
		return errors.Join(err, err2)
	}
	if o.explain {
		if err2 := explainRun(watch, filepath.Join(o.Out, "timeline.svg"), talk); err2 != nil {
			return errors.Join(err, err2)
		}
	}
	var slides *pipeline.RunError
	if errors.As(err, &slides) && slides.Total > 0 {
		return fmt.Errorf("%w%w", err, errReported)
	}
	return err
}

// explainRun says what limited a run, and draws it.
func explainRun(w *bench.Watch, path string, talk talker) error {
	why := w.Explain()
	if why.Limit == "" {
		talk.note(why.String())
		return nil
	}
	talk.note(fmt.Sprintf("%s The stages over time: %s", why, path))
	return writeTimeline(w, path)
}

// tuned sets what the user leaves open to what is fastest.
func (o *segmentOptions) tuned(ctx context.Context, stderr io.Writer) error {
	c := bench.NewDefaultConfig()
	c.Model, c.Unet, c.Pipeline = o.model, o.unet, o.Config
	talk := newTalker(ctx, stderr, talkOptions{})
	defer talk.close()
	t, err := tune(ctx, c, false, o.dryRun, func(format string, args ...any) { talk.note(fmt.Sprintf(format, args...)) })
	if err != nil {
		return err
	}
	o.TileMost, o.unet.Batch = t.Tile, cmp.Or(o.unet.Batch, t.Batch)
	o.Workers = cmp.Or(o.Workers, t.Workers)
	return nil
}

// openSlide opens slides; tests put others in its place.
var openSlide = slide.Open

// libraries are the versions of what computes.
func libraries(c unet.Config) map[string]string {
	libs := slide.Libraries()
	if _, v, err := unet.Libraries(c); err == nil {
		libs["onnxruntime"] = v
	}
	libs["go"] = runtime.Version()
	return libs
}

// settings are what run.json says of how the run was meant.
func (o segmentOptions) settings() map[string]any {
	return map[string]any{
		"model": o.model, "device": o.unet.Device, "batch": o.unet.Batch, "tta": o.unet.TTA, "mpp": o.MPP, "level": o.Level, "bounds": o.Bounds, "tile": o.Tile,
		"overlap": o.Overlap, "workers": o.Workers, "slides": o.Slides, "tissue": o.Tissue, "tissue_margin_um": o.TissueMargin,
		"tissue_recall": o.TissueRecall.String(), "on_bad_tile": (*badTile)(&o.MarkUnread).String(), "read_timeout_s": o.ReadTimeout.Seconds(),
		"include": o.find.Include, "exclude": o.find.Exclude, "compression": o.Compression, "mask_tile": o.MaskTile, "force": o.Force,
	}
}

// dryRun prints the plan of each slide. A slide that cannot be done is told of, and the others go on.
func dryRun(ctx context.Context, p *pipeline.Pipeline, all []entry, stdout, stderr io.Writer, asJSON bool) error {
	var failed pipeline.RunError
	for _, e := range all {
		failed.Total++
		var plan pipeline.Plan
		err := e.err
		if err == nil {
			plan, err = p.Plan(ctx, e.item)
		}
		if err == nil {
			err = errors.Join(printPlan(stdout, plan, asJSON), plan.Check())
		}
		if err != nil {
			fmt.Fprintf(stderr, "microtome: %v\n", oneLine(err))
			failed.Failed++
			failed.First = cmp.Or(failed.First, err)
		}
	}
	if failed.Failed > 0 {
		return fmt.Errorf("%w%w", &failed, errReported)
	}
	return nil
}

func printPlan(w io.Writer, p pipeline.Plan, asJSON bool) error {
	if asJSON {
		return writeJSON(w, planJSON(p))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "slide\t%s\n", p.Slide)
	fmt.Fprintf(t, "working size\t%d × %d px at %s, level %d × %.4g\n", p.Size.X, p.Size.Y, resolution(p.MPP, "unknown resolution"), p.Level, p.Scale)
	fmt.Fprintf(t, "tiles\t%d of %d px (network sees %d px), %d at a time\n", p.Tiles, p.Core, p.Halo, p.Workers)
	if p.Asked < p.Tiles {
		fmt.Fprintf(t, "tissue\tin %d of them, the others are background\n", p.Asked)
	}
	if p.Overlap > 0 {
		fmt.Fprintf(t, "overlap\t%d px that a tile shares with the next, blended: seams cannot be excluded\n", p.Overlap)
	}
	for _, n := range p.Memory {
		fmt.Fprintf(t, "memory\t%s\t%s\n", size(n.Bytes), n.For)
	}
	fmt.Fprintf(t, "sum\t%s\tof --memory %s\n", size(p.Sum()), size(p.Limit))
	return t.Flush()
}

// printResults prints what a script wants to know of each slide.
func printResults(w io.Writer, asJSON bool) pipeline.Events {
	return pipeline.Events{SlideEnd: func(e pipeline.SlideEnd) {
		switch {
		case e.Err == nil && asJSON:
			_ = json.NewEncoder(w).Encode(e.Summary)
		case e.Err == nil:
			fmt.Fprintln(w, e.Dir)
		case asJSON:
			_ = json.NewEncoder(w).Encode(map[string]string{"slide": e.Slide, "status": "failed", "error": e.Err.Error()})
		}
	}}
}
