package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microtome/pipeline"
	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/predict"
	"microtome/unet/score"
)

type evalOptions struct {
	unet    unet.Config
	data    dataset.Config
	filter  score.Filter  // areas in µm², growth in µm
	given   []*pflag.Flag // of the filter: they go before the model's card
	mpp     float64
	nucleus float64
	split   string
	held    float64
	csv     string
	fit     string
	json    bool
}

// parts are what can be chosen of a data set.
var parts = []string{"all", "train", "validation", "test"}

func newEvalCommand() *cobra.Command {
	o := evalOptions{unet: unet.Config{Device: "auto"}, data: dataset.NewDefaultConfig(), filter: score.NewDefaultFilter(), split: "all", held: 0.2}
	c := &cobra.Command{
		Use:   "eval MODEL DATASET",
		Short: "Say how well a model finds what somebody marked",
		Long: `eval compares what a model finds in images with the instances that are marked in them; train --help says
how these are stored. Images are predicted at the model's resolution and compared at their own; regions of
slides are read at the model's. Where nobody annotated, nothing counts.

Pixels: IoU and Dice of foreground, pixel error. Objects: F1 at IoU 0.5 and its mean over 0.50 to 0.95, AJI, PQ
with its factors DQ and SQ, merges (found objects that hold several true ones) and splits; the Rand error. The
model's card says from which probability on a pixel is foreground, and which objects are dropped; the flags
override it, and --fit chooses them anew: by the images given, into a copy of the model. JSON holds more digits, precision and recall, and IoU and Dice of the pixels of each class where
the model has more than two.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.`,
		Example: "  microtome eval nuclei images/ --mpp 0.25\n  microtome eval run/model.onnx images/ --split validation --json\n  microtome eval nuclei mine/ --fit mine.onnx",
		Args:    arguments(cobra.ExactArgs(2)),
	}
	f := c.Flags()
	modelFlags(f, &o.unet)
	dataFlags(f, &o.data)
	f.Float64Var(&o.mpp, "mpp", 0, "`MICRONS` a pixel of all images, and of slides at level 0 (default: as index.json and slides say, else the model's)")
	f.Float64Var(&o.nucleus, "nucleus", 0, "images without a resolution get that at which their median instance is `MICRONS` wide, 0: the model's")
	f.StringVar(&o.split, "split", o.split, "which `IMAGES`, as train parts them: "+strings.Join(parts, ", "))
	f.Float64Var(&o.held, "validation", o.held, "share of the groups that is for validation, as given to train")
	f.StringVar(&o.csv, "csv", "", "write the scores of each image to `FILE`")
	f.StringVar(&o.fit, "fit", "", "choose threshold and object filter by these images, and write the model with them to `FILE`")
	f.BoolVar(&o.json, "json", false, "print JSON")
	filter := pflag.NewFlagSet("", pflag.ContinueOnError)
	filterFlags(filter, &o.filter)
	f.AddFlagSet(filter)
	withConfig(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.given = given(filter)
		return runEval(c.Context(), o, args[0], args[1], c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// filterFlags binds the flags that say which objects are found.
func filterFlags(f *pflag.FlagSet, c *score.Filter) {
	f.Float64Var(&c.Threshold, "threshold", c.Threshold, "probability above which a pixel is foreground; the card's goes before this default")
	f.Float64Var(&c.MinArea, "min-area", c.MinArea, "objects of a smaller `AREA` in µm² are dropped; the card's goes before this default")
	f.Float64Var(&c.MinPeak, "min-peak", c.MinPeak, "objects whose highest probability is lower are dropped; the card's goes before this default")
	f.Float64Var(&c.Grow, "grow", c.Grow, "`MICRONS` that objects grow by in the end; the card's goes before this default")
}

// validate reports everything that is wrong with what was given.
func (o *evalOptions) validate() error {
	errs := []error{o.unet.Validate(), o.data.Validate(), o.filter.Validate()}
	for _, n := range []struct {
		name   string
		v, max float64
	}{{"mpp", o.mpp, 1000}, {"nucleus", o.nucleus, 1000}, {"validation", o.held, 0.9}} {
		if !(n.v >= 0 && n.v <= n.max) {
			errs = append(errs, fmt.Errorf("%s %g: give 0 to %g", n.name, n.v, n.max))
		}
	}
	if !slices.Contains(parts, o.split) {
		errs = append(errs, fmt.Errorf("split %q: give one of %s", o.split, strings.Join(parts, ", ")))
	}
	if o.fit != "" && len(o.given) > 0 {
		errs = append(errs, fmt.Errorf("--fit chooses what --%s says: leave one out", o.given[0].Name))
	}
	return errors.Join(errs...)
}

func runEval(ctx context.Context, o evalOptions, name, dir string, stdout, stderr io.Writer) (err error) {
	if err := o.validate(); err != nil {
		return usageError{oneLine(err)}
	}
	model, err := unet.OpenLogits(name, o.unet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	var fitted *fitting
	if o.fit != "" {
		if fitted, err = openFitting(name); err != nil {
			return err
		}
	}
	spec := model.Spec()
	images, err := o.load(ctx, dir, spec)
	if err != nil {
		return err
	}
	filter, err := o.withCard(spec.Card)
	if err != nil {
		return err
	}
	report, err := o.score(ctx, model, images, filter, stderr)
	if err != nil {
		return err
	}
	if fitted != nil {
		if err := fitted.write(o.fit, report.Filter, report.Total); err != nil {
			return err
		}
	}
	if o.json {
		err = report.WriteJSON(stdout)
	} else {
		err = report.WriteText(stdout)
	}
	if o.csv != "" {
		err = errors.Join(err, writeWhole("--csv", o.csv, report.WriteCSV))
	}
	return err
}

// load reads the images, their classes by the model's names where it tells several apart.
func (o *evalOptions) load(ctx context.Context, dir string, spec unet.Spec) ([]dataset.Image, error) {
	o.data.MPP = spec.MPP
	o.data.Open = func(ctx context.Context, path string, mpp, own float64) (*dataset.Slide, error) {
		if o.mpp > 0 {
			own = o.mpp
		}
		return pipeline.OpenAnnotated(ctx, path, mpp, own)
	}
	if len(spec.Classes) > 2 {
		o.data.Classes = spec.Classes[1:]
	}
	set, err := dataset.Load(ctx, dir, o.data)
	if err != nil {
		return nil, err
	}
	images, err := set.Part(o.split, o.held)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return images, nil
}

// withCard returns the filter of a model's card, where flags say nothing else.
func (o *evalOptions) withCard(c unet.Card) (score.Filter, error) {
	f := score.NewDefaultFilter()
	if c.Threshold > 0 {
		f.Threshold = c.Threshold
	}
	f.MinArea, f.MinPeak, f.Grow = c.MinArea, c.MinPeak, c.Grow
	err := override(o.given, func(flags *pflag.FlagSet) { filterFlags(flags, &f) })
	return f, err
}

// resolution returns the µm a pixel that an image counts as, and whether it is but assumed to be the model's.
func (o *evalOptions) resolution(m dataset.Image, spec unet.Spec) (mpp float64, assumed bool) {
	switch {
	case o.mpp > 0 && !m.Region:
		return o.mpp, false
	case m.MPP > 0:
		return m.MPP, false
	case o.nucleus > 0:
		if mpp := dataset.EstimateMPP(m, o.nucleus); mpp > 0 {
			return mpp, false
		}
	}
	return spec.MPP, spec.MPP > 0
}

// score predicts the images and compares what is found with what is marked.
func (o *evalOptions) score(ctx context.Context, model predict.Network, images []dataset.Image, filter score.Filter, stderr io.Writer) (*score.Report, error) {
	spec := model.Spec()
	j := newJob(ctx, stderr, stopping)
	defer j.close()
	for _, text := range spec.Warnings {
		j.warn(text)
	}
	assumed := 0
	for _, m := range images {
		if _, yes := o.resolution(m, spec); yes {
			assumed++
		}
	}
	if assumed > 0 {
		j.warn(fmt.Sprintf("the resolution of %d of %d images is not known and taken to be the model's, %g µm/px: give --mpp, --nucleus, or mpp in index.json", assumed, len(images), spec.MPP))
	}
	if j.log != nil {
		j.log.Info().Str("model", spec.Name).Str("engine", spec.Engine).Int("images", len(images)).Msg("evaluating")
	}
	report := score.NewReport(filter)
	var fits []prediction // of all images, where the filter is chosen by them
	j.begin("image", 0, len(images))
	began := time.Now()
	for i, m := range images {
		mpp, _ := o.resolution(m, spec)
		planes, err := predict.Classes(ctx, model, m.RGB, mpp)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		if p := (prediction{m, mpp, planes}); o.fit == "" {
			p.add(report, spec)
		} else {
			fits = append(fits, p)
		}
		each := time.Since(began).Seconds() / float64(i+1)
		j.progress(i+1, fmt.Sprintf("%s  %s", m.Name, left(float64(len(images)-i-1), each)), fields{"image": i + 1, "images": len(images)})
	}
	if o.fit != "" {
		report = score.NewReport(choose(fits, spec))
		for _, p := range fits {
			p.add(report, spec)
		}
	}
	return report, nil
}

// A prediction is what a model says of an image of mpp µm a pixel: how probable the classes of foreground are.
type prediction struct {
	dataset.Image
	mpp    float64
	planes [][]float32
}

// add adds an image to a report. It uses up the planes.
func (m prediction) add(report *score.Report, spec unet.Spec) {
	planes := m.planes
	if names := spec.Classes; len(names) > 2 {
		truth, predicted := classes(m.Image, planes, report.Filter.Threshold)
		report.AddClasses(names, truth, predicted)
	}
	foreground := predict.Highest(planes)
	m.Forget(foreground)
	filter := report.Filter.Pixels(m.unit(spec))
	report.Add(m.Name, score.Compare(m.Instances, filter.Objects(foreground, m.W, m.H)))
}

// unit returns the µm a pixel that a filter is to be counted by, 0 where it is in pixels, as that of a model without a resolution is.
func (m prediction) unit(spec unet.Spec) float64 {
	if spec.MPP > 0 {
		return m.mpp
	}
	return 0
}

// classes returns the labels of the pixels that somebody annotated, and those that segment would give them: of the greatest
// probability, after that of background was scaled such that a single other class wins above the threshold.
func classes(m dataset.Image, planes [][]float32, threshold float64) (truth, predicted []byte) {
	for i, n := range m.Instances.Pix {
		if m.Outside != nil && m.Outside[i] {
			continue
		}
		best, label := float32(threshold), byte(0) // compared as the filter does
		for c, p := range planes {
			if p[i] > best {
				best, label = p[i], byte(c+1)
			}
		}
		truth, predicted = append(truth, m.Class(n)), append(predicted, label)
	}
	return truth, predicted
}

// writeWhole writes a file that a flag names whole or not at all.
func writeWhole(flag, path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("%s %s: %w", flag, path, err)
	}
	w := bufio.NewWriter(f)
	err = errors.Join(write(w), w.Flush(), f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", flag, path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
