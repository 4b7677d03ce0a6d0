package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"microtome/pipeline"
	"microtome/slide"
	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/onnx"
	"microtome/unet/quantize"
	"microtome/unet/score"
)

type quantizeOptions struct {
	quantize quantize.Config
	tiles    pipeline.Calibration
	slides   []string
	out      string
	half     bool
	dataset  string
	eval     evalOptions
	json     bool
}

// comparedRounds is how often both models label the tiles that they are compared on.
const comparedRounds = 5

func newQuantizeCommand() *cobra.Command {
	o := quantizeOptions{
		quantize: quantize.NewDefaultConfig(), tiles: pipeline.Calibration{Tiles: 16, Core: 256, Seed: 1},
		eval: evalOptions{data: dataset.NewDefaultConfig(), filter: score.NewDefaultFilter(), split: "validation", held: 0.2},
	}
	c := &cobra.Command{
		Use:   "quantize MODEL --calibrate SLIDE... -o OUT.onnx",
		Short: "Make a model faster by computing on bytes",
		Long: `quantize writes a model whose convolutions compute on bytes in place of floats, in the form that ONNX Runtime is fast
with on a processor. Which values occur is seen on tiles of tissue, of slides such as the model is for; folders of slides
do as well. What bytes should cover, all values or all but the rarest, and which convolutions must stay on
floats, is tried on a quarter of the tiles. Geometry and card stay, so tiles are as free of seams as before.

On the tiles both models then take turns: speed, and the share of pixels with the same label. With --dataset they
are also compared by the nuclei, or whatever it marks, that they find.

--fp16 writes a model of halves instead, for graphics processors; it needs no slides.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.`,
		Example: "  microtome quantize nuclei --calibrate slide.svs -o nuclei8.onnx\n" +
			"  microtome quantize run/model.onnx --calibrate a.svs b.svs -o fast.onnx --dataset images/",
		Args: arguments(cobra.MinimumNArgs(1)),
	}
	f := c.Flags()
	f.StringArrayVar(&o.slides, "calibrate", nil, "`SLIDE` or folder of slides whose tissue shows which values occur")
	f.StringVarP(&o.out, "out", "o", "", "`FILE` to write, replaced if it is there (required)")
	f.BoolVar(&o.half, "fp16", false, "floats of 16 bits, for graphics processors")
	f.StringVar(&o.quantize.Range, "range", o.quantize.Range, "`VALUES` that bytes cover: "+strings.Join(quantize.Ranges, ", "))
	f.Float64Var(&o.quantize.Agree, "agree", o.quantize.Agree, "`SHARE` of the pixels that must keep their label; convolutions stay on floats until they do")
	f.BoolVar(&o.quantize.Narrow, "narrow", false, "weights of 7 bits, for processors without VNNI, which add up those of 8 wrongly")
	f.IntVar(&o.tiles.Tiles, "tiles", o.tiles.Tiles, "how many tiles of tissue, of all slides together")
	f.IntVar(&o.tiles.Core, "tile", o.tiles.Core, "edge of the tiles, without their margins, `PIXELS`")
	f.Uint64Var(&o.tiles.Seed, "seed", o.tiles.Seed, "of the tiles' places")
	f.Float64Var(&o.tiles.MPP, "mpp", 0, "`MICRONS` a pixel of level 0 (default: as the slide says)")
	f.StringVar(&o.quantize.Library, "onnxruntime", "", "ONNX Runtime library `FILE` (default: $ONNXRUNTIME_LIB, beside the program or in ../lib, the system's)")
	cardFlags(f, &o.eval.unet)
	f.StringVar(&o.dataset, "dataset", "", "`FOLDER` of images with marked instances, on which both models are evaluated")
	dataFlags(f, &o.eval.data)
	f.StringVar(&o.eval.split, "split", o.eval.split, "which `IMAGES` of the data set: "+strings.Join(parts, ", "))
	f.Float64Var(&o.eval.held, "validation", o.eval.held, "share of the groups that is for validation, as given to train")
	f.BoolVar(&o.json, "json", false, "print JSON")
	withConfig(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.slides = append(o.slides, args[1:]...) // --calibrate a.svs b.svs
		return runQuantize(c.Context(), o, args[0], c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// validate reports everything that is wrong with what was given.
func (o *quantizeOptions) validate(model string) error {
	o.eval.unet.Device, o.eval.unet.Library = "cpu", o.quantize.Library
	errs := []error{o.quantize.Validate(), o.eval.validate()}
	if o.out == "" {
		errs = append(errs, errors.New("no file to write: give -o OUT.onnx"))
	}
	if sameFile(model, o.out) {
		errs = append(errs, fmt.Errorf("-o %s is the model itself: give another file", o.out))
	}
	if len(o.slides) == 0 && !o.half {
		errs = append(errs, errors.New("no slide to calibrate on: give --calibrate SLIDE, with tissue such as the model is for"))
	}
	if o.tiles.Tiles < quantize.LeastTiles || o.tiles.Tiles > 1000 {
		errs = append(errs, fmt.Errorf("%d tiles: give %d to 1000", o.tiles.Tiles, quantize.LeastTiles))
	}
	if o.tiles.Core < 16 || o.tiles.Core > 2048 {
		errs = append(errs, fmt.Errorf("tiles of %d px: give 16 to 2048", o.tiles.Core))
	}
	if !(o.tiles.MPP >= 0 && o.tiles.MPP <= 1000) {
		errs = append(errs, fmt.Errorf("mpp %g: give 0 to 1000", o.tiles.MPP))
	}
	return errors.Join(errs...)
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(one, other)
}

// A quantised holds what came of it, as JSON names it.
type quantised struct {
	Model      string               `json:"model"`
	Form       string               `json:"form"` // int8 or fp16
	Size       int                  `json:"bytes"`
	Range      float64              `json:"range,omitempty"` // share of the values that bytes cover
	Layers     []quantize.Layer     `json:"layers,omitempty"`
	Comparison *quantize.Comparison `json:"comparison,omitempty"`
	F1Before   *float64             `json:"f1_50_before,omitempty"`
	F1After    *float64             `json:"f1_50_after,omitempty"`
}

func runQuantize(ctx context.Context, o quantizeOptions, name string, stdout, stderr io.Writer) (err error) {
	if err := o.validate(name); err != nil {
		return usageError{oneLine(err)}
	}
	m, spec, err := unet.Form(name, o.eval.unet)
	if err != nil {
		return err
	}
	if err := writable(o.out); err != nil { // before minutes of work
		return err
	}
	before, err := unet.OpenForm(m, o.eval.unet)
	if err != nil {
		return fmt.Errorf("model %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, before.Close()) }()
	images, err := o.images(ctx, before.Spec())
	if err != nil {
		return err
	}
	tiles, err := o.read(ctx, before.Spec())
	if err != nil {
		return err
	}
	result := quantised{Model: o.out, Form: "int8"}
	made, err := o.make(ctx, m, tiles, &result, stderr)
	if err != nil {
		return fmt.Errorf("model %s: %w", name, err)
	}
	made.Set(unet.KeyQuantised, fmt.Sprintf("%s of %s", result.how(len(tiles)), spec.SHA256))
	made.Set(unet.KeyArchitecture, "") // only ONNX Runtime runs it, and nothing trains it
	data := made.Encode()
	result.Size = len(data)
	after, err := unet.OpenForm(made, o.eval.unet)
	if err != nil {
		return fmt.Errorf("model %s: what was made of it: %w", name, err)
	}
	defer func() { err = errors.Join(err, after.Close()) }()
	if err := o.compare(ctx, before, after, tiles, images, &result, stderr); err != nil {
		return err
	}
	err = writeWhole("-o", o.out, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(result)
	}
	return result.write(stdout)
}

// make quantises the model.
func (o *quantizeOptions) make(ctx context.Context, m *onnx.Model, tiles []quantize.Tile, result *quantised, stderr io.Writer) (*onnx.Model, error) {
	if o.half {
		result.Form = "fp16"
		return quantize.Half(m)
	}
	j := newJob(ctx, stderr, stopping)
	defer j.close()
	begun := false
	o.quantize.Progress = func(done, all int, next string) {
		if !begun {
			j.begin("step", 0, all)
			begun = true
		}
		j.progress(done, next, fields{"step": done, "steps": all, "next": next})
	}
	made, report, err := quantize.Int8(ctx, m, tiles, o.quantize)
	if err != nil {
		return nil, err
	}
	result.Range, result.Layers = report.Share, report.Layers
	if report.Differ > 1-o.quantize.Agree {
		j.warn(fmt.Sprintf("%.2f %% of the pixels keep their label, not the %g %% asked for", 100*(1-report.Differ), 100*o.quantize.Agree))
	}
	return made, nil
}

// images reads the data set, if there is one.
func (o *quantizeOptions) images(ctx context.Context, spec unet.Spec) ([]dataset.Image, error) {
	if o.dataset == "" {
		return nil, nil
	}
	return o.eval.load(ctx, o.dataset, spec)
}

// read reads the tiles of all slides, as many of each.
func (o *quantizeOptions) read(ctx context.Context, spec unet.Spec) ([]quantize.Tile, error) {
	var paths []string
	for path, err := range slide.Find(slide.FindConfig{}, o.slides...) {
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	if len(paths) == 0 && len(o.slides) > 0 {
		return nil, fmt.Errorf("no slides in %s: give slides that show tissue", strings.Join(o.slides, ", "))
	}
	var tiles []quantize.Tile
	for i, path := range paths {
		c := o.tiles
		c.Tiles = (o.tiles.Tiles*(i+1))/len(paths) - len(tiles)
		c.Core = max(1, (c.Core+spec.Stride/2)/spec.Stride) * spec.Stride
		c.Seed += uint64(i)
		if spec.Input > 0 {
			c.Core = spec.Input - spec.Before - spec.After
		}
		some, err := pipeline.CalibrationTiles(ctx, path, spec, c)
		if err != nil {
			return nil, err
		}
		for _, t := range some {
			tiles = append(tiles, t)
		}
	}
	return tiles, nil
}

// compare lets both models label the tiles, and the data set.
func (o *quantizeOptions) compare(ctx context.Context, before, after unet.Engine, tiles []quantize.Tile, images []dataset.Image, result *quantised, stderr io.Writer) error {
	if len(tiles) > 0 {
		j := newJob(ctx, stderr, stopping)
		defer j.close()
		j.begin("tile", 0, len(tiles)*(comparedRounds+1))
		c, err := quantize.Compare(ctx, before, after, tiles, comparedRounds, func(done int) {
			j.progress(done, "comparing", fields{"compared": done})
		})
		if err != nil {
			return err
		}
		result.Comparison = &c
	}
	if images == nil {
		return nil
	}
	filter, err := o.eval.withCard(before.Spec().Card)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		unet.Engine
		f1 **float64
	}{{before, &result.F1Before}, {after, &result.F1After}} {
		report, err := o.eval.score(ctx, m, images, filter, stderr)
		if err != nil {
			return err
		}
		f1 := report.Total.F1At50
		*m.f1 = &f1
	}
	return nil
}

// how is what the file says of how it was made.
func (q *quantised) how(tiles int) string {
	if q.Form == "fp16" {
		return "fp16"
	}
	return fmt.Sprintf("int8, %d of %d convolutions, %g %% of the values on %d tiles,", q.onBytes(), len(q.Layers), 100*q.Range, tiles)
}

func (q *quantised) onBytes() int { return (&quantize.Report{Layers: q.Layers}).Bytes() }

// write prints the result for a person.
func (q *quantised) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "model\t%s, %s, %s\n", q.Model, q.Form, size(int64(q.Size)))
	if q.Form == "int8" {
		fmt.Fprintf(t, "bytes cover\t%g %% of the values\n", 100*q.Range)
		fmt.Fprintf(t, "on bytes\t%d of %d convolutions\n", q.onBytes(), len(q.Layers))
		for _, l := range q.Layers {
			if l.Why != "" {
				fmt.Fprintf(t, "on floats\t%s: %s\n", l.Name, l.Why)
			} else {
				fmt.Fprintf(t, "\t%s: without it %.3f %% of the labels change\n", l.Name, 100*l.Differ)
			}
		}
	}
	if c := q.Comparison; c != nil {
		fmt.Fprintf(t, "speed\t%.2f times that of the model before, %.2f Mpx/s against %.2f\n", c.Speed, c.After/1e6, c.Before/1e6)
		fmt.Fprintf(t, "same label\t%.3f %% of the pixels\n", 100*c.Agree)
	}
	if q.F1Before != nil {
		fmt.Fprintf(t, "F1 at IoU 0.5\t%.4f, before %.4f\n", *q.F1After, *q.F1Before)
	}
	return t.Flush()
}

// writable reports why a file cannot be made in a folder.
func writable(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("-o %s: %w", path, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
