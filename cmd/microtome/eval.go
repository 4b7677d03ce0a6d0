package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"microtome/pipeline"
	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/predict"
	"microtome/unet/score"
)

type evalOptions struct {
	unet    unet.Config
	data    dataset.Config
	filter  score.Filter // areas in µm², growth in µm
	given   map[string]bool
	mpp     float64
	nucleus float64
	split   string
	held    float64
	csv     string
	json    bool
}

func newEvalCommand() *cobra.Command {
	o := evalOptions{unet: unet.Config{Device: "auto"}, data: dataset.NewDefaultConfig(), filter: score.NewDefaultFilter(), given: map[string]bool{}, split: "all", held: 0.2}
	c := &cobra.Command{
		Use:   "eval MODEL DATASET",
		Short: "Say how well a model finds what somebody marked",
		Long: `eval compares what a model finds in images with the instances that are marked in them; train --help says
how these are stored. Images are predicted at the model's resolution and compared at their own.

Pixels: IoU and Dice of foreground, pixel error. Objects: F1 at IoU 0.5 and its mean over 0.50 to 0.95, AJI, PQ
with its factors DQ and SQ, merges (found objects that hold several true ones) and splits; the Rand error. The
model's card says from which probability on a pixel is foreground, and which objects are dropped; the flags
override it.`,
		Example: "  microtome eval nuclei images/ --mpp 0.25\n  microtome eval run/model.onnx images/ --split validation --json",
		Args:    arguments(cobra.ExactArgs(2)),
	}
	f := c.Flags()
	f.StringVar(&o.unet.Device, "device", o.unet.Device, "`DEVICE` the model runs on: auto, cpu, cuda[:N], gorgonia")
	f.StringVar(&o.unet.Library, "onnxruntime", o.unet.Library, "ONNX Runtime library `FILE`")
	f.BoolVar(&o.unet.TTA, "tta", false, "average the predictions of the eight flips and quarter turns of each tile")
	f.Float64Var(&o.mpp, "mpp", 0, "`MICRONS` a pixel of all images; default: as index.json says, else the model's")
	f.Float64Var(&o.nucleus, "nucleus", 0, "images without a resolution get that at which their median instance is `MICRONS` wide")
	f.StringVar(&o.split, "split", o.split, "which images: all, train, validation or test, as train parts them")
	f.Float64Var(&o.held, "validation", o.held, "share of the groups that is for validation, as given to train")
	f.StringVar(&o.data.Index, "index", "", "`FILE` in place of the folder's index.json")
	f.IntVar(&o.data.MinInstance, "min-instance", 0, "instances of fewer `PIXELS` become background")
	f.Float64Var(&o.filter.Threshold, "threshold", 0, "probability from which on a pixel is foreground (default: the card's, or 0.5)")
	f.Float64Var(&o.filter.MinArea, "min-area", 0, "objects of fewer `µm²` are dropped (default: the card's)")
	f.Float64Var(&o.filter.MinPeak, "min-peak", 0, "objects whose highest probability is lower are dropped (default: the card's)")
	f.Float64Var(&o.filter.Grow, "grow", 0, "`MICRONS` that objects are grown by in the end (default: the card's)")
	f.StringVar(&o.csv, "csv", "", "write the scores of each image to `FILE`")
	f.BoolVar(&o.json, "json", false, "print JSON")
	withConfig(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, name := range []string{"threshold", "min-area", "min-peak", "grow"} {
			o.given[name] = f.Changed(name)
		}
		return runEval(c.Context(), o, args[0], args[1], c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// withCard returns the filter of a model's card, where flags say nothing else.
func (o *evalOptions) withCard(c unet.Card) score.Filter {
	f := score.NewDefaultFilter()
	if c.Threshold > 0 {
		f.Threshold = c.Threshold
	}
	f.MinArea, f.MinPeak, f.Grow = c.MinArea, c.MinPeak, c.Grow
	for name, to := range map[string]*float64{"threshold": &f.Threshold, "min-area": &f.MinArea, "min-peak": &f.MinPeak, "grow": &f.Grow} {
		if o.given[name] {
			*to = map[string]float64{"threshold": o.filter.Threshold, "min-area": o.filter.MinArea, "min-peak": o.filter.MinPeak, "grow": o.filter.Grow}[name]
		}
	}
	return f
}

// resolution returns the µm a pixel that an image counts as.
func (o *evalOptions) resolution(m dataset.Image, spec unet.Spec) float64 {
	switch {
	case o.mpp > 0:
		return o.mpp
	case m.MPP > 0:
		return m.MPP
	case o.nucleus > 0:
		return dataset.EstimateMPP(m, o.nucleus)
	}
	return spec.MPP
}

func runEval(ctx context.Context, o evalOptions, name, dir string, stdout, stderr io.Writer) (err error) {
	if err := errors.Join(o.unet.Validate(), o.data.Validate(), o.filter.Validate()); err != nil {
		return usageError{oneLine(err)}
	}
	model, err := unet.OpenLogits(name, o.unet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	spec := model.Spec()
	filter := o.withCard(spec.Card)
	o.data.Open, o.data.MPP = pipeline.OpenAnnotated, spec.MPP
	set, err := dataset.Load(ctx, dir, o.data)
	if err != nil {
		return err
	}
	images, err := set.Part(o.split, o.held)
	if err != nil {
		return err
	}
	report := score.NewReport(filter)
	for i, m := range images {
		mpp := o.resolution(m, spec)
		p, err := predict.Foreground(ctx, model, m.RGB, mpp)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		found := filter.Pixels(mpp).Objects(p, m.W, m.H)
		report.Add(m.Name, score.Compare(m.Instances, found))
		fmt.Fprintf(stderr, "microtome: %d of %d images\n", i+1, len(images))
	}
	if o.csv != "" {
		if err := writeCSV(o.csv, report); err != nil {
			return err
		}
	}
	if o.json {
		return report.WriteJSON(stdout)
	}
	return report.WriteText(stdout)
}

func writeCSV(path string, r *score.Report) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return r.WriteCSV(f)
}
