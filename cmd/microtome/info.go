package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

type infoOptions struct {
	unet  unet.Config
	json  bool
	check bool
	rdf   string
}

func newInfoCommand() *cobra.Command {
	var o infoOptions
	c := &cobra.Command{
		Use:   "info PATH|MODEL",
		Short: "Show what a slide, a model or a mask is",
		Long: `info shows what microtome makes of a file: size, levels, resolution and vendor of a slide; classes,
geometry, work, memory and card of a model (an ONNX file, or ` + strings.Join(unet.Builtin(), ", ") + `); a mask with its areas.

--check runs the network: it measures how far around a tile pixels change it, and whether shifted tiles give the same, and
runs the test tensors that the model's card names. It ends with exit code 1 where tiles differ, or where the network gives
something else than the tensors by more than ` + fmt.Sprint(unet.Tolerance) + `. --rdf writes a model that microtome made as bioimage.io wants it.`,
		Example: "  microtome info slide.svs\n  microtome info model.onnx --check\n  microtome info results/slide/mask.tif",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.EqualFold(filepath.Ext(args[0]), ".onnx") || isBuiltin(args[0]) {
				return modelInfo(c.Context(), c.OutOrStdout(), args[0], o)
			}
			return slideInfo(c.OutOrStdout(), args[0], o.json)
		},
	}
	f := c.Flags()
	cardFlags(f, &o.unet)
	f.StringVar(&o.unet.Library, "onnxruntime", "", "ONNX Runtime library `FILE`")
	f.BoolVar(&o.check, "check", false, "measure the network's field, and run the test tensors of its card")
	f.StringVar(&o.rdf, "rdf", "", "write rdf.yaml, the model and test tensors into `FOLDER`")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return c
}

func isBuiltin(name string) bool {
	for _, b := range unet.Builtin() {
		if b == name {
			return true
		}
	}
	return false
}

func modelInfo(ctx context.Context, w io.Writer, name string, o infoOptions) (err error) {
	m, err := unet.Open(name, o.unet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if o.rdf != "" {
		if err := unet.WriteRDF(ctx, name, o.unet, o.rdf); err != nil {
			return err
		}
	}
	var measured *unet.Measured
	var checks []unet.Check
	var failed error
	if o.check {
		if measured, err = unet.MeasureField(name, o.unet); err != nil {
			return err
		}
		checks, failed = unet.RunTests(name, o.unet) // said when the rest is printed
	}
	if o.json {
		err = writeJSON(w, modelJSON(m.Spec(), measured, checks))
	} else {
		err = printModel(w, m, measured, checks)
	}
	err = cmp.Or(err, failed)
	if err == nil && measured != nil && !measured.Seamless() {
		err = fmt.Errorf("model %s: shifted tiles give %d of %d values differently: please report the model", name, measured.Differ, measured.Compared)
	}
	for _, c := range checks {
		if err == nil && !c.Passed() {
			err = fmt.Errorf("model %s: the output differs by %.3g from %s, and %.3g is allowed", name, c.Deviation, c.Output, c.Limit)
		}
	}
	return err
}

// printModel prints what is known of a model.
func printModel(w io.Writer, m unet.Model, measured *unet.Measured, checks []unet.Check) error {
	s := m.Spec()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, a ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", a...) }
	row("model", "%s", s.Name)
	row("classes", "%s", strings.Join(s.Classes, ", "))
	row("made for", "%s", resolution(s.MPP, "any resolution"))
	if s.Takes != "" {
		row("takes", "%s", s.Takes)
		row("gives", "%s", s.Gives)
	}
	if s.PerSlide {
		row("normalises", "by the slide: by what a sample of its tissue looks like")
	}
	row("tiles", "multiples of %d px, and %d px before and %d px after them", s.Stride, s.Before, s.After)
	if s.Unbounded != "" {
		row("seams", "cannot be excluded: %s; segment blends tiles, with --overlap", s.Unbounded)
	}
	if s.Input > 0 {
		row("input", "%d px, no other size", s.Input)
	}
	for _, core := range []int{512, 1024, 2048} {
		if core%s.Stride == 0 && s.Input == 0 {
			row("memory", "%s for a tile of %d px", size(m.Bytes(core)), core)
		}
	}
	if s.Input > 0 {
		core := s.Input - s.Before - s.After
		row("memory", "%s for a tile of %d px", size(m.Bytes(core)), core)
	}
	if s.Parameters > 0 {
		row("parameters", "%s", humanize.Comma(s.Parameters))
		row("work", "%s FLOP a pixel of a large tile", humanize.Comma(int64(math.Round(s.FLOP))))
	}
	row("engine", "%s", s.Engine)
	for _, why := range s.PassedOver {
		row("passed over", "%s", why)
	}
	row("sha256", "%s", s.SHA256)
	if s.Source != "" {
		row("card", "%s", s.Source)
	}
	printCard(t, s.Card)
	for _, text := range s.Warnings {
		row("warning", "%s", text)
	}
	if measured != nil {
		row("measured", "%s", measured)
	}
	for _, c := range checks {
		verdict := "as expected"
		if !c.Passed() {
			verdict = "NOT as expected"
		}
		row("check", "%s: %s, %d values differ by up to %.3g (allowed: %.3g)", filepath.Base(c.Output), verdict, c.Values, c.Deviation, c.Limit)
		if c.Cause != "" {
			row("", "likely because %s", c.Cause)
		}
	}
	return t.Flush()
}

// printCard adds what the model says of its training and of how its labels are made, as far as it does.
func printCard(w io.Writer, c unet.Card) {
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, strings.Join(strings.Fields(text), " "))
		}
	}
	amount := func(name string, v float64, format string) {
		if v != 0 {
			row(name, fmt.Sprintf(format, v))
		}
	}
	if c.Mean != 0 || c.Scale != 0 {
		row("sees", fmt.Sprintf("(value - %g) · %.6g", c.Mean, cmp.Or(c.Scale, 1.0/255)))
	}
	row("colors", strings.Join(c.Colors, ", "))
	amount("threshold", c.Threshold, "foreground where its probability is above %g")
	unit := "µm"
	if c.MPP == 0 {
		unit = "px"
	}
	amount("min area", c.MinArea, "%g "+unit+"², smaller objects do not count")
	amount("min peak", c.MinPeak, "%g, objects that reach it nowhere do not count")
	amount("grow", c.Grow, "objects are grown by %g "+unit)
	row("trained on", strings.TrimSpace(c.TrainingSet+" "+c.TrainingSHA256))
	row("recipe", c.Recipe)
	if c.Seed != 0 {
		row("seed", strconv.FormatUint(c.Seed, 10))
	}
	row("made by", c.Version)
	row("metrics", c.Metrics)
	row("description", c.Description)
	row("licence", c.Licence)
	row("quantised", c.Quantised)
}

func slideInfo(w io.Writer, path string, asJSON bool) (err error) {
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	i := s.Info()
	if asJSON {
		v := slideJSON(i)
		if isMask(i) {
			v["mask"] = summaryOf(path)
		}
		return writeJSON(w, v)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	full := i.Levels[0].Size
	fmt.Fprintf(t, "slide\t%s\n", path)
	fmt.Fprintf(t, "size\t%d × %d px\n", full.X, full.Y)
	fmt.Fprintf(t, "resolution\t%s\n", resolution(i.MPP, "not stated: segment needs --mpp or --level"))
	if i.Objective > 0 {
		fmt.Fprintf(t, "objective\t%g×\n", i.Objective)
	}
	if i.Vendor != "" {
		fmt.Fprintf(t, "vendor\t%s\n", i.Vendor)
	}
	fmt.Fprintf(t, "read by\tlibvips, %s\n", strings.TrimSuffix(strings.TrimPrefix(i.Loader, "VipsForeignLoad"), "File"))
	if b := i.Bounds; b.Size() != full {
		fmt.Fprintf(t, "scanned\t%d × %d px at (%d, %d)\n", b.Dx(), b.Dy(), b.Min.X, b.Min.Y)
	}
	for n, l := range i.Levels {
		fmt.Fprintf(t, "level %d\t%d × %d px\t1/%.4g\tblocks of %d × %d\n", n, l.Size.X, l.Size.Y, l.Downsample, l.Block.X, l.Block.Y)
	}
	if isMask(i) {
		maskInfo(t, path)
	}
	return t.Flush()
}

func isMask(i slide.Info) bool { return strings.HasPrefix(i.Description, "microtome mask") }

// summaryOf returns the summary beside a mask, nil if there is none.
func summaryOf(mask string) *sink.Summary {
	s, err := sink.ReadSummary(filepath.Join(filepath.Dir(mask), "summary.json"))
	if err != nil {
		return nil
	}
	return s
}

// maskInfo adds what the summary beside a mask says of it.
func maskInfo(w io.Writer, path string) {
	s := summaryOf(path)
	if s == nil {
		fmt.Fprintf(w, "mask\tof microtome, without its summary.json\n")
		return
	}
	fmt.Fprintf(w, "mask of\t%s\n", s.Slide.Path)
	fmt.Fprintf(w, "by\t%s on %s, microtome %s\n", s.Model.Name, s.Model.Engine, s.Version)
	for _, c := range s.Classes {
		fmt.Fprintf(w, "label %d\t%s\t%d px\t%s\n", c.Label, c.Name, c.Pixels, area(c.MM2))
	}
}
