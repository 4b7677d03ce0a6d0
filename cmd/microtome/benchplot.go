package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"microtome/bench/results"
)

func newBenchPlotCommand() *cobra.Command {
	out, formats := "", []string{"svg"}
	c := &cobra.Command{
		Use:   "plot FILE... -o FOLDER",
		Short: "Draw results files: scaling with size and workers, tiles against theory, what stages did",
		Args:  arguments(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				return usageError{errors.New("-o FOLDER is missing")}
			}
			for _, f := range formats {
				if !slices.Contains(results.Formats(), f) {
					return usageError{fmt.Errorf("--format %s: give %s", f, strings.Join(results.Formats(), ", "))}
				}
			}
			runs, err := readResults(args)
			if err != nil {
				return err
			}
			return runPlot(runs, out, formats, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVarP(&out, "out", "o", out, "`FOLDER` for the plots")
	c.Flags().StringSliceVar(&formats, "format", formats, "`FORMATS` with commas between: svg, png")
	return c
}

func runPlot(runs []results.Result, out string, formats []string, stdout, stderr io.Writer) error {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	drawn := false
	for _, p := range results.Plots(runs) {
		if p.Why != "" {
			fmt.Fprintf(stderr, "microtome: no plot %s: %s\n", p.Name, p.Why)
			continue
		}
		files, err := p.Write(out, formats)
		for _, f := range files {
			fmt.Fprintln(stdout, f)
		}
		if err != nil {
			return err
		}
		drawn = true
	}
	if !drawn {
		return errors.New("nothing to plot: microtome bench --sweep makes runs that differ in one axis")
	}
	return nil
}
