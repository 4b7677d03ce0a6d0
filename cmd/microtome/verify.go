package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"microtome/pipeline"
	"microtome/unet"
)

type verifyOptions struct {
	pipeline.Config
	model   string
	unet    unet.Config
	against string
	crops   int
	seed    uint64
	json    bool
}

func newVerifyCommand() *cobra.Command {
	o := verifyOptions{Config: pipeline.NewDefaultConfig(), model: defaultModel, unet: unet.Config{Device: "auto"}, crops: 12, seed: 1}
	c := &cobra.Command{
		Use:   "verify SLIDE",
		Short: "Compare tiles with whole crops of a slide, or two devices, float by float",
		Long: `verify shows whether masks of a model have seams. It lays random crops where seams would be: across
the borders and corners of tiles, and across those of the slide. For each it compares the logits of
the tiles that segment would lay with those of one inference over the whole crop. Not one float may
differ: a margin that is too small, or a wrong stride, shows here long before it shows in the labels.

A model that takes inputs of one size only is compared with tiles at other places. For a model that
sees its whole tile the differences are shown, and fail nothing.

--against DEVICE compares two devices on the same crops instead: logits may differ by 1e-4 of the
crop's largest (or of 1), and no label may.

Exit codes: 0 nothing differs, 1 something does or it failed, 2 usage, 130 interrupted.`,
		Example: "  microtome verify slide.svs --model mine.onnx\n  microtome verify slide.svs --device cuda --against cpu",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return runVerify(c.Context(), o, args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.model, "model", o.model, "built-in model ("+strings.Join(unet.Builtin(), ", ")+") or ONNX `FILE`")
	modelFlags(f, &o.unet)
	f.StringVar(&o.against, "against", o.against, "compare with this `DEVICE`, any that --device takes, instead of tiles with crops")
	f.IntVar(&o.crops, "crops", o.crops, "how many places to look at")
	f.Uint64Var(&o.seed, "seed", o.seed, "of the places")
	f.IntVar(&o.Tile, "tile", o.Tile, "edge of a tile's core in `PIXELS`, 0: as segment chooses it")
	f.Var((*byteSize)(&o.Memory), "memory", "memory of the run whose tiles are verified")
	f.Float64Var(&o.MPP, "mpp", o.MPP, "`MICRONS` a pixel of the slide, where it states none or a wrong one")
	f.IntVar(&o.Level, "level", o.Level, "work on this level as it is; -1: the one that suits the model's resolution")
	f.BoolVar(&o.Bounds, "bounds", o.Bounds, "look only at the scanned area that the slide's metadata names")
	f.BoolVar(&o.json, "json", o.json, "print JSON")
	withConfig(c)
	return c
}

func (o verifyOptions) validate() error {
	o.Out = "." // nothing is written
	errs := []error{o.Validate(), o.unet.Validate()}
	if o.crops < 1 || o.crops > 100_000 {
		errs = append(errs, fmt.Errorf("--crops %d: give 1 to 100000", o.crops))
	}
	if err := (unet.Config{Device: o.against}).Validate(); err != nil {
		errs = append(errs, fmt.Errorf("--against: %w", err))
	}
	return oneLine(errors.Join(errs...))
}

func runVerify(ctx context.Context, o verifyOptions, path string, stdout, stderr io.Writer) (err error) {
	if err := o.validate(); err != nil {
		return usageError{err}
	}
	debug.SetGCPercent(pipeline.GCPercent)
	model, err := unet.OpenLogits(o.model, o.unet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	v := pipeline.Verifier{Model: model, Config: o.Config, Crops: o.crops, Seed: o.seed}
	if o.against != "" {
		other := o.unet
		other.Device = o.against
		if v.Against, err = unet.OpenLogits(o.model, other); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, v.Against.Close()) }()
		if v.Against.Spec().Engine == model.Spec().Engine {
			return usageError{fmt.Errorf("--against %s is what runs the model already (%s): name another device", o.against, model.Spec().Engine)}
		}
	}
	found, err := verify(ctx, &v, path, stderr)
	if err != nil {
		return err
	}
	if o.json {
		err = writeJSON(stdout, verificationJSON(found, model.Spec(), v.Against))
	} else {
		err = printVerification(stdout, found)
	}
	return errors.Join(err, found.Check())
}

// verify runs v and tells how it goes on.
func verify(ctx context.Context, v *pipeline.Verifier, path string, stderr io.Writer) (*pipeline.Verification, error) {
	j := newJob(ctx, stderr, stopping)
	defer j.close()
	for _, text := range v.Model.Spec().Warnings {
		j.warn(text)
	}
	j.say(fmt.Sprintf("%s: %d crops", path, v.Crops), "verifying", fields{"slide": path, "crops": v.Crops})
	began, done := time.Now(), 0
	j.begin("crop", 0, v.Crops)
	v.Done = func(c pipeline.Crop) {
		done++
		j.progress(done, left(float64(v.Crops-done), time.Since(began).Seconds()/float64(done)), fields{"crops": done, "of": v.Crops, "differ": c.Logits})
	}
	found, err := v.Run(ctx, path)
	if err == nil {
		for _, text := range found.Warnings {
			j.warn(text)
		}
	}
	return found, err
}

func printVerification(w io.Writer, v *pipeline.Verification) error {
	for _, note := range v.Notes {
		fmt.Fprintln(w, note)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(place, rect, tiles string, d pipeline.Difference) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%.3g\t%.3g\t%d\t%d\t\n", place, rect, tiles, d.Pixels, d.Largest, d.Max, d.Logits, d.Labels)
	}
	fmt.Fprintln(t, "crop\tpx at\ttiles\tpixels\tlargest logit\tmax difference\tlogits differ\tlabels differ\t")
	for _, c := range v.Crops {
		row(c.Place, fmt.Sprintf("%d × %d at (%d, %d)", c.Rect.Dx(), c.Rect.Dy(), c.Rect.Min.X, c.Rect.Min.Y), strconv.Itoa(c.Tiles), c.Difference)
	}
	row("total", fmt.Sprintf("%d crops", len(v.Crops)), "", v.Total())
	return t.Flush()
}
