package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"microtome/pipeline"
	"microtome/slide"
	"microtome/unet"
)

// defaultModel is the built-in model that is used when none is named.
const defaultModel = "nuclei"

type segmentOptions struct {
	pipeline.Config
	model  string
	unet   unet.Config
	dryRun bool
	json   bool
}

func newSegmentCommand() *cobra.Command {
	o := segmentOptions{Config: pipeline.NewDefaultConfig(), model: defaultModel, unet: unet.Config{Device: "auto"}}
	c := &cobra.Command{
		Use:   "segment PATH... -o OUT",
		Short: "Segment slides, or folders of slides, into masks",
		Long: fmt.Sprintf(`segment writes a folder OUT/NAME for each slide:

  mask.tif      labels, a tiled pyramidal BigTIFF
  overlay.png   the slide with the mask drawn on it, for people
  summary.json  what ran on what, areas per class, checksums; present only when the rest is whole

A folder is searched with its subfolders for %s;
folders with results, hidden ones and the data of MRXS files are passed over. Two slides of one name
get OUT/NAME and OUT/NAME-2.

Results that are already there are kept; those of another model, resolution or region are an error.
--force replaces both. Paths of results go to standard
output, one a line. What happens goes to standard error: as a progress bar on a terminal, as JSON
lines elsewhere.

Exit codes: 0 all done, 1 failed, 2 usage, 3 some slides failed, 130 interrupted.`, strings.Join(slide.Extensions(), " ")),
		Example: "  microtome segment slide.svs -o results\n  microtome segment cohort/ -o results --model nuclei.onnx --memory 4GiB",
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
	f.StringVar(&o.Compression, "compression", o.Compression, "of mask.tif: lzw, deflate, zstd, packbits, none")
	f.IntVar(&o.MaskTile, "mask-tile", o.MaskTile, "edge of the tiles of mask.tif: 256 or 512")
	f.BoolVar(&o.Force, "force", o.Force, "replace results that are already there")
	f.BoolVar(&o.dryRun, "dry-run", o.dryRun, "print the plan and the memory it needs, do nothing")
	f.BoolVar(&o.json, "json", o.json, "print JSON, one object a slide")
	withConfig(c)
	return c
}

func runSegment(ctx context.Context, o segmentOptions, args []string, stdout, stderr io.Writer) (err error) {
	o.Arguments = os.Args[1:]
	if o.dryRun && o.Out == "" {
		o.Out = "." // nothing is written
	}
	if err := errors.Join(o.Validate(), o.unet.Validate()); err != nil {
		return usageError{oneLine(err)}
	}
	o.unet.Blend = o.Overlap > 0
	model, err := unet.Open(o.model, o.unet)
	if err != nil {
		return err
	}
	debug.SetGCPercent(pipeline.GCPercent)
	defer func() { err = errors.Join(err, model.Close()) }()
	if err := o.Suits(model.Spec()); err != nil {
		return usageError{err}
	}
	p := &pipeline.Pipeline{Model: model, Config: o.Config}
	paths := slide.Find(args...)
	if o.dryRun {
		return dryRun(p, paths, stdout, stderr, o.json)
	}
	total := 0
	paths(func(string, error) bool { total++; return true })
	talk := newTalker(ctx, stderr, talkOptions{total: total, out: o.Out})
	defer talk.close()
	p.Events = pipeline.Tee(talk.events(), printResults(talk.stdout(stdout), o.json))
	err = p.Run(ctx, paths)
	var slides *pipeline.RunError
	if errors.As(err, &slides) && slides.Total > 0 {
		return fmt.Errorf("%w%w", err, errReported)
	}
	return err
}

// dryRun prints the plan of each slide. A slide that cannot be done is told of, and the others go on.
func dryRun(p *pipeline.Pipeline, paths iter.Seq2[string, error], stdout, stderr io.Writer, asJSON bool) error {
	var failed pipeline.RunError
	for path, err := range paths {
		failed.Total++
		var plan pipeline.Plan
		if err == nil {
			plan, err = p.Plan(path)
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
