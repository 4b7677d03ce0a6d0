package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"microtome/bench/synthetic"
	"microtome/pipeline"
	"microtome/slide"
	"microtome/unet"
)

func newBenchSlideCommand() *cobra.Command {
	o := synthetic.NewDefaultConfig()
	c := &cobra.Command{
		Use:   "slide FILE.svs",
		Short: "Make a synthetic slide, and FILE-truth.tif and FILE-truth.csv with its nuclei",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Validate(); err != nil {
				return usageError{oneLine(err)}
			}
			if ext := filepath.Ext(args[0]); !strings.EqualFold(ext, ".svs") {
				return usageError{fmt.Errorf("%s: give a name that ends in .svs, which the slide will be", args[0])}
			}
			return paintSlide(c.Context(), args[0], o, c.ErrOrStderr())
		},
	}
	slideFlags(c, &o)
	return c
}

// paintSlide writes a slide with its truth, and tells how it goes on.
func paintSlide(ctx context.Context, path string, o synthetic.Config, stderr io.Writer) error {
	j := newJob(ctx, stderr, stopping)
	defer j.close()
	all := float64(o.Size) * float64(o.Size) / 1e6
	began := time.Now()
	j.begin("megapixels", 0, int(all))
	return synthetic.WriteSlideProgress(ctx, path, truthOf(path), o, func(part float64) {
		spent := time.Since(began).Seconds()
		j.progress(int(part*all), left(1-part, spent/part), fields{"megapixels": int(part * all), "of": int(all), "mpx_per_second": part * all / spent})
	})
}

func slideFlags(c *cobra.Command, o *synthetic.Config) {
	c.Flags().IntVar(&o.Size, "size", o.Size, "edge of the slide in `PIXELS`")
	c.Flags().Uint64Var(&o.Seed, "seed", o.Seed, "another seed gives another tissue")
}

func truthOf(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) + "-truth.tif" }

func newBenchDemoCommand() *cobra.Command {
	o := synthetic.NewDefaultConfig()
	out := "demo"
	c := &cobra.Command{
		Use:   "demo",
		Short: "Make a synthetic slide, segment it with the built-in model, and compare with the truth",
		Args:  arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return usageError{oneLine(err)}
			}
			return runDemo(c.Context(), o, out, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	slideFlags(c, &o)
	c.Flags().StringVarP(&out, "out", "o", out, "`FOLDER` for the slide and its results")
	return c
}

func runDemo(ctx context.Context, o synthetic.Config, out string, stdout, stderr io.Writer) (err error) {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	path := filepath.Join(out, "slide.svs")
	fmt.Fprintf(stderr, "microtome: making a slide of %d × %d px with known truth\n", o.Size, o.Size)
	if err := paintSlide(ctx, path, o, stderr); err != nil {
		return err
	}
	model, err := unet.Open(defaultModel, unet.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	debug.SetGCPercent(pipeline.GCPercent)
	cfg := pipeline.NewDefaultConfig()
	cfg.Out, cfg.Force, cfg.Version, cfg.Arguments = filepath.Join(out, "results"), true, version, os.Args[1:]
	var end pipeline.SlideEnd
	talk := newTalker(ctx, stderr, talkOptions{total: 1})
	p := &pipeline.Pipeline{Model: model, Config: cfg, Events: pipeline.Tee(talk.events(), pipeline.Events{
		SlideEnd: func(e pipeline.SlideEnd) { end = e },
	})}
	err = p.Run(ctx, pipeline.Items(slide.Find(slide.FindConfig{}, path)))
	talk.close()
	if err != nil {
		return err
	}
	iou, err := synthetic.IoU(ctx, filepath.Join(end.Dir, "mask.tif"), truthOf(path))
	if err != nil {
		return err
	}
	return printDemo(stdout, end, iou)
}

func printDemo(w io.Writer, end pipeline.SlideEnd, iou float64) error {
	s := end.Summary
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range s.Classes {
		fmt.Fprintf(t, "%s\t%d px\t%s\n", c.Name, c.Pixels, area(c.MM2))
	}
	for _, stage := range s.Stages {
		fmt.Fprintf(t, "%s\t%.2f s\tof all its workers\n", stage.Stage, stage.Seconds)
	}
	fmt.Fprintf(t, "whole run\t%.2f s\t%.1f Mpx/s\n", s.Seconds, float64(s.Coverage.Written)/1e6/s.Seconds)
	fmt.Fprintf(t, "memory high-water\t%s\tof %s\n", size(s.Memory.Peak), size(s.Memory.Limit))
	fmt.Fprintf(t, "IoU against the truth\t%.3f\t0.89 is usual\n", iou)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nOpen %s to see it.\n", filepath.Join(end.Dir, "overlay.png"))
	return err
}
