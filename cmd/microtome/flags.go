package main

import (
	"github.com/spf13/pflag"

	"microtome/slide/tissue"
	"microtome/unet"
	"microtome/unet/dataset"
)

// modelFlags binds the flags that say how a model is run.
func modelFlags(f *pflag.FlagSet, c *unet.Config) {
	f.StringVar(&c.Device, "device", c.Device, "`DEVICE` the model runs on: auto, cpu, cuda[:N], tensorrt[:N], webgpu, gorgonia (no library needed, for models that microtome trained), or several with commas between")
	f.IntVar(&c.Batch, "batch", c.Batch, "`TILES` that the network gets at a time, 0: one on a CPU, as many as fill a GPU")
	f.BoolVar(&c.Half, "fp16", c.Half, "let tensorrt compute in half precision")
	f.BoolVar(&c.TTA, "tta", c.TTA, "average over the eight flips and rotations of each tile: eight times as slow")
	cardFlags(f, c)
	f.StringVar(&c.Library, "onnxruntime", c.Library, "ONNX Runtime library `FILE` (default: $ONNXRUNTIME_LIB, beside the program or in ../lib, the system's)")
}

// cardFlags binds the flags that say what the file of a model does not.
func cardFlags(f *pflag.FlagSet, c *unet.Config) {
	f.StringVar(&c.Card, "card", c.Card, "`FILE` that says how the model is used: rdf.yaml of bioimage.io, config.json of WSInfer, metadata.json of MONAI (default: one beside the model)")
	f.StringSliceVar(&c.Classes, "classes", c.Classes, "`NAMES` of the model's classes with commas between, background first")
	f.StringVar(&c.Output, "output", c.Output, "`NAME` of the model's output, where it has several")
}

// dataFlags binds the flags that say how a data set is read.
func dataFlags(f *pflag.FlagSet, c *dataset.Config) {
	f.StringVar(&c.Index, "index", c.Index, "`FILE` in place of the folder's index.json")
	f.IntVar(&c.MinInstance, "min-instance", c.MinInstance, "instances of fewer `PIXELS` become background")
}

// A recall is the flag that says on which side the search for tissue errs.
type recall tissue.Recall

func (r *recall) String() string { return tissue.Recall(*r).String() }

func (r *recall) Set(s string) error {
	v, err := tissue.ParseRecall(s)
	*r = recall(v)
	return err
}

func (*recall) Type() string { return "first|strict|safe" }

// given are the flags of a set that the user gave, on the command line or with --config.
func given(f *pflag.FlagSet) []*pflag.Flag {
	var flags []*pflag.Flag
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			flags = append(flags, flag)
		}
	})
	return flags
}

// override sets what flags were given for, of a configuration that they are bound to by bind: theirs goes before what it holds.
func override(flags []*pflag.Flag, bind func(*pflag.FlagSet)) error {
	again := pflag.NewFlagSet("", pflag.ContinueOnError)
	bind(again)
	for _, flag := range flags {
		if err := again.Set(flag.Name, flag.Value.String()); err != nil {
			return err
		}
	}
	return nil
}
