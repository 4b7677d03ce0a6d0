package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microtome/pipeline"
	"microtome/sink"
	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/train"
)

type trainOptions struct {
	train.Config               // what is shown as defaults: those of a recipe
	given        []*pflag.Flag // of settings
	card         unet.Card
	data         dataset.Config
	out          string
	resume       bool
	preview      bool
	json         bool
	threads      int
}

func newTrainCommand() *cobra.Command {
	o := trainOptions{data: dataset.NewDefaultConfig()}
	var err error
	if o.Config, err = train.NewConfig("default"); err != nil {
		panic(err) // the recipe is ours
	}
	c := &cobra.Command{
		Use:   "train DATASET -o DIR",
		Short: "Train a U-Net on images with marked instances",
		Long: `train makes a model of the images in a folder, which hold instances that somebody marked:

  NAME.png and NAME_instances.png   pixels of instance n have the value n, 16-bit grey
  images/ and masks/                masks of 0 and 255, whose connected parts are the instances
  NAME.svs and NAME.geojson         a slide, in any format, with QuPath's annotations: inside those of
                                    class Region* everything is annotated, the others are instances

An index.json in the folder, or --index FILE, may say more of an image: {"image": "a.png", "mpp": 0.25,
"group": "patient 7", "split": "validation"}. Images of one group are never on both sides of the split.

DIR gets
  model.onnx      the weights that did best on validation; segment --model and eval take it as it is
  metrics.jsonl   a line for each validation
  curves.png      loss and scores so far; previews.png, what is found in validation images
  checkpoint      all that --resume needs to go on, to the same bytes as if nothing had happened

The path of the model and its scores go to standard output. What happens goes to standard error: as a progress bar
on a terminal, as JSON lines elsewhere. The first Ctrl-C writes a checkpoint, a second stops at once.

Recipes, from which the other flags depart: default, which the defaults below are of; paper, as in Ronneberger,
Fischer and Brox 2015; nuclei, how the built-in model was made.

Exit codes: 0 trained, 1 failed, 2 usage, 130 interrupted.`,
		Example: "  microtome train nuclei/ -o run --mpp 0.5\n  microtome train nuclei/ -o run --preview\n  microtome train nuclei/ -o run --resume",
		Args:    arguments(cobra.ExactArgs(1)),
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "`DIR` for the run's files")
	f.BoolVar(&o.resume, "resume", false, "go on from DIR's checkpoint, with the settings that the run was begun with")
	f.BoolVar(&o.preview, "preview", false, "write DIR/preview.png with training tiles, their targets and weights, and stop")
	f.IntVar(&o.threads, "threads", 0, "processors to use, 0: all; results do not depend on it")
	f.BoolVar(&o.json, "json", false, "print the best validation as JSON")
	dataFlags(f, &o.data)
	f.StringSliceVar(&o.data.Classes, "classes", nil, "`NAMES` of the classes of instances, label 1 first; default: those of the annotations, sorted")
	settings := pflag.NewFlagSet("", pflag.ContinueOnError)
	settingFlags(settings, &o.Config, &o.card)
	f.AddFlagSet(settings)
	withConfig(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.given = given(settings)
		return runTrain(c.Context(), o, args[0], c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// settingFlags binds the flags of what a run keeps from its begin to its end.
func settingFlags(f *pflag.FlagSet, c *train.Config, card *unet.Card) {
	f.StringVar(&c.Recipe, "recipe", c.Recipe, "`NAME` of the configuration to start from: "+strings.Join(train.Recipes, ", "))
	f.StringVar(&card.Licence, "licence", card.Licence, "`TEXT` for the model's card")
	f.StringVar(&card.Description, "description", card.Description, "`TEXT` for the model's card")
	f.StringVar(&c.Name, "name", c.Name, "`NAME` of the model")
	f.IntVar(&c.Shape.Depth, "depth", c.Shape.Depth, "levels of the network")
	f.IntVar(&c.Shape.Base, "base", c.Shape.Base, "channels of the first level")
	f.BoolVar(&c.Shape.Same, "same", c.Shape.Same, "pad convolutions with zeros, where the paper does not")
	f.Float64Var(&c.MPP, "mpp", c.MPP, "`MICRONS` a pixel that the model works at, 0: images as they are")
	f.Float64Var(&c.Nucleus, "nucleus", c.Nucleus, "images without a resolution get that at which their median instance is `MICRONS` wide, 0: they are taken as they are")
	f.IntVar(&c.Tile, "tile", c.Tile, "edge in `PIXELS` of what the network puts out of a training tile")
	f.IntVar(&c.Batch, "batch", c.Batch, "tiles a step")
	f.IntVar(&c.Steps, "steps", c.Steps, "steps")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "another seed gives other weights and tiles")
	f.StringVar(&c.Init, "init", c.Init, "start from the weights of a built-in `MODEL`, or of a file that train wrote")
	f.Float64Var(&c.Dropout, "dropout", c.Dropout, "share of features that is dropped at the end of the contracting path")
	f.StringVar(&c.Optimise.Method, "optimiser", c.Optimise.Method, "adam or sgd")
	f.Float64Var(&c.Optimise.Rate, "rate", c.Optimise.Rate, "learning rate")
	f.Float64Var(&c.Optimise.Momentum, "momentum", c.Optimise.Momentum, "of sgd")
	f.StringVar(&c.Optimise.Schedule, "schedule", c.Optimise.Schedule, "of the learning rate: constant or cosine")
	f.IntVar(&c.Optimise.WarmUp, "warm-up", c.Optimise.WarmUp, "steps in which the learning rate rises")
	f.Float64Var(&c.Optimise.Clip, "clip", c.Optimise.Clip, "largest norm of the gradients, 0: any")
	f.Float64Var(&c.Average, "average", c.Average, "decay of the running mean of the weights that is kept, 0: the weights themselves")
	f.IntVar(&c.Every, "every", c.Every, "steps from one validation and checkpoint to the next")
	f.IntVar(&c.Patience, "patience", c.Patience, "stop after so many validations without a better one, 0: never")
	f.Float64Var(&c.Held, "validation", c.Held, "share of the groups that is held back for validation")
	f.Float64Var(&c.Target.W0, "w0", c.Target.W0, "weight that the narrowest gap between instances adds")
	f.Float64Var(&c.Target.Sigma, "sigma", c.Target.Sigma, "`PIXELS` over which that falls off")
	f.BoolVar(&c.Balance, "balance", c.Balance, "weigh classes by their share of pixels")
	f.IntVar(&c.Cut, "cut", c.Cut, "`PIXELS` that instances which touch are cut back by")
	a := &c.Augment
	f.BoolVar(&a.Shift, "shift", a.Shift, "augmentation: tiles from anywhere in the image")
	f.BoolVar(&a.Rotate, "rotate", a.Rotate, "augmentation: any angle")
	f.BoolVar(&a.Flip, "flip", a.Flip, "augmentation: flips and quarter turns")
	f.Float64Var(&a.ScaleMin, "scale-min", a.ScaleMin, "augmentation: smallest magnification")
	f.Float64Var(&a.ScaleMax, "scale-max", a.ScaleMax, "augmentation: largest magnification")
	f.Float64Var(&a.Elastic, "elastic", a.Elastic, "augmentation: `PIXELS` of elastic displacement, 0: none")
	f.Float64Var(&a.Brightness, "brightness", a.Brightness, "augmentation")
	f.Float64Var(&a.Contrast, "contrast", a.Contrast, "augmentation")
	f.Float64Var(&a.Gamma, "gamma", a.Gamma, "augmentation")
	f.Float64Var(&a.Blur, "blur", a.Blur, "augmentation: largest blur in `PIXELS`")
	f.Float64Var(&a.Noise, "noise", a.Noise, "augmentation: largest noise in grey levels")
	f.Float64Var(&a.Sharpen, "sharpen", a.Sharpen, "augmentation: how much edges are sharpened at most, instead of blurred")
	f.Float64Var(&a.JPEG, "jpeg", a.JPEG, "augmentation: share of tiles that are compressed")
	f.Float64Var(&a.Stain, "stain", a.Stain, "augmentation: amounts of haematoxylin and eosin")
	f.Float64Var(&a.StainTurn, "stain-turn", a.StainTurn, "augmentation: `DEGREES` that the stains' colours turn")
	f.Float64Var(&a.ChannelMix, "channel-mix", a.ChannelMix, "augmentation: share of each channel that goes to another")
	f.Float64Var(&a.Eosin, "eosin", a.Eosin, "augmentation: share of tiles with pink stroma between instances, which must be nuclei")
	f.Float64Var(&a.Grey, "grey", a.Grey, "augmentation: share of tiles that keep their colours")
}

// settings puts the flags that were given over the recipe's configuration, or reads those of the run to go on with.
func (o *trainOptions) settings() error {
	if o.resume {
		return o.settingsOfRun()
	}
	c, err := train.NewConfig(o.Recipe)
	if err != nil {
		return err
	}
	if err := override(o.given, func(f *pflag.FlagSet) { settingFlags(f, &c, &unet.Card{}) }); err != nil {
		return err
	}
	o.Config = c
	return nil
}

// settingsOfRun reads the settings of the run in the folder, which no flag may change.
func (o *trainOptions) settingsOfRun() error {
	c, card, err := train.ReadSettings(o.out)
	if err != nil {
		return err
	}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	settingFlags(f, &c, &card)
	for _, flag := range o.given {
		if was := f.Lookup(flag.Name).Value.String(); was != flag.Value.String() {
			return usageError{fmt.Errorf("%s: the run was begun with --%s=%s, not %s: leave it out to go on, or start anew in another folder", o.out, flag.Name, was, flag.Value)}
		}
	}
	o.Config, o.card = c, card
	return nil
}

// validate reports everything that is wrong with what was given.
func (o *trainOptions) validate() error {
	var errs []error
	if o.out == "" {
		errs = append(errs, errors.New("-o DIR is missing: give a folder for the run"))
	}
	if !slices.Contains(train.Recipes, o.Recipe) {
		errs = append(errs, fmt.Errorf("no recipe %q: give one of %s", o.Recipe, strings.Join(train.Recipes, ", ")))
	}
	if o.threads < 0 || o.threads > 1024 {
		errs = append(errs, fmt.Errorf("%d threads: give 1 to 1024, or 0 for all processors", o.threads))
	}
	return errors.Join(append(errs, o.Validate(), o.data.Validate())...)
}

func runTrain(ctx context.Context, o trainOptions, dir string, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return usageError{oneLine(err)}
	}
	if err := o.settings(); err != nil {
		return err
	}
	o.data.Open, o.data.MPP = pipeline.OpenAnnotated, o.MPP
	set, err := dataset.Load(ctx, dir, o.data)
	if err != nil {
		return err
	}
	if _, _, err := set.Split(o.Held); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := o.describe(set, dir); err != nil {
		return err
	}
	r := &train.Run{Config: o.Config, Set: set, Dir: o.out, Card: o.card, Resume: o.resume, Threads: o.threads}
	if o.preview {
		path, err := r.WritePreview()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, path)
		return err
	}
	j := newJob(ctx, stderr, stoppingTraining)
	j.listen(r)
	if n := o.assumed(set); n > 0 {
		j.warn(fmt.Sprintf("the resolution of %d of %d images is not known and taken to be the model's, %g µm/px: give --nucleus, or mpp in index.json", n, len(set.Images), o.MPP))
	}
	best, err := r.Train(ctx)
	j.close()
	if err != nil {
		return err
	}
	return printTrained(stdout, o, best)
}

// assumed counts the images whose resolution is neither known nor guessed from their nuclei, and so taken to be the model's.
func (o *trainOptions) assumed(set *dataset.Set) int {
	n := 0
	for _, m := range set.Images {
		if m.MPP == 0 && o.MPP > 0 && o.Nucleus == 0 {
			n++
		}
	}
	return n
}

// describe fills the card of the model as far as it is known before.
func (o *trainOptions) describe(set *dataset.Set, dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	o.card.Version, o.card.TrainingSet = version, filepath.Base(abs)
	for label := range set.ClassNames {
		c := sink.ColorOf(byte(label))
		o.card.Colors = append(o.card.Colors, fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B))
	}
	return nil
}

func printTrained(w io.Writer, o trainOptions, best train.Validated) error {
	if o.json {
		return json.NewEncoder(w).Encode(best)
	}
	scores := "no images to validate with"
	if best.Images > 0 {
		scores = fmt.Sprintf("object F1 at IoU 0.5 %.3f, pixel IoU %.3f on %d validation images", best.Scores.F1At50, best.Scores.IoU, best.Images)
	}
	_, err := fmt.Fprintf(w, "%s\nbest at step %d: %s\n", filepath.Join(o.out, train.ModelName), best.Step, scores)
	return err
}
