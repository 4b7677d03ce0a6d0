package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

func newInfoCommand() *cobra.Command {
	var library string
	var asJSON bool
	c := &cobra.Command{
		Use:   "info PATH|MODEL",
		Short: "Show what a slide, a model or a mask is",
		Long: `info shows what microtome makes of a file: size, levels, resolution and vendor of a slide; classes,
geometry, memory and card of a model (an ONNX file, or ` + strings.Join(unet.Builtin(), ", ") + `); a mask with its areas.`,
		Example: "  microtome info slide.svs\n  microtome info model.onnx\n  microtome info results/slide/mask.tif",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.EqualFold(filepath.Ext(args[0]), ".onnx") || isBuiltin(args[0]) {
				return modelInfo(c.OutOrStdout(), args[0], unet.Config{Library: library}, asJSON)
			}
			return slideInfo(c.OutOrStdout(), args[0], asJSON)
		},
	}
	c.Flags().StringVar(&library, "onnxruntime", "", "ONNX Runtime library `FILE`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
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

func modelInfo(w io.Writer, name string, cfg unet.Config, asJSON bool) (err error) {
	m, err := unet.Open(name, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	s := m.Spec()
	if asJSON {
		return writeJSON(w, modelJSON(s))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "model\t%s\n", s.Name)
	fmt.Fprintf(t, "classes\t%s\n", strings.Join(s.Classes, ", "))
	fmt.Fprintf(t, "made for\t%s\n", resolution(s.MPP, "any resolution"))
	fmt.Fprintf(t, "tiles\tmultiples of %d px, and %d px before and %d px after them\n", s.Stride, s.Before, s.After)
	for _, core := range []int{512, 1024, 2048} {
		if core%s.Stride == 0 && (s.Input == 0 || s.Geometry.Input(core) == s.Input) {
			fmt.Fprintf(t, "memory\t%s for a tile of %d px\n", size(m.Bytes(core)), core)
		}
	}
	fmt.Fprintf(t, "engine\t%s\n", s.Engine)
	fmt.Fprintf(t, "sha256\t%s\n", s.SHA256)
	printCard(t, s.Card)
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
