package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microtome/pipeline"
	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/train"
)

type trainOptions struct {
	recipe  string
	out     string
	resume  bool
	preview bool
	json    bool
	threads int
	data    dataset.Config
	card    unet.Card
	changed []*pflag.Flag // of the configuration
}

func newTrainCommand() *cobra.Command {
	o := trainOptions{recipe: "default", data: dataset.NewDefaultConfig()}
	defaults, err := train.NewConfig(o.recipe)
	if err != nil {
		panic(err) // the recipe is ours
	}
	c := &cobra.Command{
		Use:   "train DATASET -o DIR",
		Short: "Train a U-Net on images with marked instances",
		Long: `train makes a model of the images in a folder, which hold instances that somebody marked:

  NAME.png and NAME_instances.png   pixels of instance n have the value n, 16-bit grey
  images/ and masks/                masks of 0 and 255, whose connected parts are the instances
  NAME.svs and NAME.geojson         a slide, in any format, with QuPath's annotations: inside those of
                                    class Region everything is annotated, the others are instances

An index.json in the folder, or --index FILE, may say more of an image: {"image": "a.png", "mpp": 0.25,
"group": "patient 7", "split": "validation"}. Images of one group are never on both sides of the split.

DIR gets
  model.onnx      the weights that did best on validation; segment --model and eval take it as it is
  metrics.jsonl   a line for each validation
  curves.png      loss and scores so far; previews.png, what is found in validation images
  checkpoint      all that --resume needs to go on, to the same bytes as if nothing had happened

Recipes, from which the other flags depart: default; paper, as in Ronneberger, Fischer and Brox 2015;
nuclei, how the built-in model was made.`,
		Example: "  microtome train nuclei/ -o run --mpp 0.5\n  microtome train nuclei/ -o run --preview\n  microtome train nuclei/ -o run --resume",
		Args:    arguments(cobra.ExactArgs(1)),
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "`DIR` for the run's files")
	f.StringVar(&o.recipe, "recipe", o.recipe, "configuration to start from: "+strings.Join(train.Recipes, ", "))
	f.BoolVar(&o.resume, "resume", false, "go on from DIR's checkpoint, with its configuration")
	f.BoolVar(&o.preview, "preview", false, "write DIR/preview.png with training tiles, their targets and weights, and stop")
	f.IntVar(&o.threads, "threads", 0, "processors to use, 0: all; results do not depend on it")
	f.BoolVar(&o.json, "json", false, "print the last validation as JSON")
	f.StringVar(&o.data.Index, "index", "", "`FILE` in place of the folder's index.json")
	f.StringSliceVar(&o.data.Classes, "classes", nil, "`NAMES` of the classes of instances, label 1 first; default: those of the annotations, sorted")
	f.IntVar(&o.data.MinInstance, "min-instance", 0, "instances of fewer `PIXELS` become background")
	f.StringVar(&o.card.Licence, "licence", "", "`TEXT` for the model's card")
	f.StringVar(&o.card.Description, "description", "", "`TEXT` for the model's card")
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	trainFlags(own, &defaults)
	f.AddFlagSet(own)
	withConfig(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		own.VisitAll(func(flag *pflag.Flag) {
			if f.Changed(flag.Name) {
				o.changed = append(o.changed, flag)
			}
		})
		return runTrain(c.Context(), o, args[0], c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// trainFlags binds flags to a configuration.
func trainFlags(f *pflag.FlagSet, c *train.Config) {
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
	f.StringVar(&c.Init, "init", c.Init, "start from the weights of a model `FILE` that train wrote")
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

// config returns the recipe, or the checkpoint's configuration, with the flags that were given.
func (o *trainOptions) config() (train.Config, error) {
	c, err := train.NewConfig(o.recipe)
	if err != nil {
		return c, usageError{err}
	}
	if o.resume {
		c, err = train.ReadConfig(o.out)
		if errors.Is(err, fs.ErrNotExist) {
			return c, fmt.Errorf("%s: no checkpoint to go on from: leave out --resume to start", o.out)
		}
		if err != nil {
			return c, err
		}
	}
	was, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	again := pflag.NewFlagSet("", pflag.ContinueOnError)
	trainFlags(again, &c)
	for _, flag := range o.changed {
		if err := again.Set(flag.Name, flag.Value.String()); err != nil {
			return c, usageError{err}
		}
	}
	now, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	if o.resume && string(was) != string(now) {
		return c, usageError{fmt.Errorf("%s: the run was begun with other settings: leave flags out to go on with them, or start anew in another folder", o.out)}
	}
	if err := c.Validate(); err != nil {
		return c, usageError{oneLine(err)}
	}
	return c, nil
}

func runTrain(ctx context.Context, o trainOptions, dir string, stdout, stderr io.Writer) error {
	if o.out == "" {
		return usageError{errors.New("no folder for the run: give -o DIR")}
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	o.data.Open, o.data.MPP = pipeline.OpenAnnotated, cfg.MPP
	if err := o.data.Validate(); err != nil {
		return usageError{oneLine(err)}
	}
	set, err := dataset.Load(ctx, dir, o.data)
	if err != nil {
		return err
	}
	o.card.Version = version
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	o.card.TrainingSet = filepath.Base(abs)
	r := &train.Run{Config: cfg, Set: set, Dir: o.out, Resume: o.resume, Threads: o.threads, Card: o.card}
	if err := os.MkdirAll(o.out, 0o777); err != nil {
		return err
	}
	if o.preview {
		path, err := r.WritePreview()
		if err == nil {
			_, err = fmt.Fprintln(stdout, path)
		}
		return err
	}
	talk := newTrainTalk(ctx, stderr, r)
	last, err := r.Train(ctx)
	talk.close()
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(last)
	}
	_, err = fmt.Fprintf(stdout, "%s\nbest at step %d: object F1 at IoU 0.5 %.3f, pixel IoU %.3f, on %d validation images\n",
		filepath.Join(o.out, train.ModelName), last.Step, last.Scores.F1At50, last.Scores.IoU, last.Images)
	return err
}
