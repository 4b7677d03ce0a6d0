package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"microtome/bench"
	"microtome/bench/results"
)

// A section of docs/performance.md is what one command of microtome bench measures.
type section struct {
	title, text string
	flags       string // of microtome bench
	stages      bool   // show what the workers did
}

var performance = []section{
	{"The whole, and its parts", `The built-in model on a slide of 8192 × 8192 px: each part alone, then all of it as users run it. Of the whole, *network %* is the
share of the workers' time in which the network computes; *useful* is what of its GFLOP/s goes into pixels that are labelled, and not into
their surroundings.`, "--size 8192 --model nuclei", true},
	{"Without the network", `A model that compares green with a number, and no model at all: what remains are decoding, cutting, stitching, compressing and
checksums. With --sink null the pyramid is made and thrown away, with --cache cold the slide's file is not in the page cache, with --cache memory there is
none.`, "--size 20000 --model passthrough --scenario end-to-end", true},
	{"", "", "--size 8192 --model nuclei --scenario end-to-end --null-model --sweep sink=lzw,packbits,null --sweep cache=warm,cold,memory", false},
	{"With the area", `A small network on 1, 4, 16, 64 and 100 times the area of 4096 × 4096 px. What a pixel costs should not change, nor the
memory.`, "--model haematoxylin --scenario end-to-end --sweep size=4096,8192,16384,32768,40960", false},
	{"With the processors", `The built-in model with one worker and with two.`, "--model nuclei --size 4096 --scenario infer,end-to-end --sweep workers=1,2 --repeat 3", false},
	{"With the tile", `Small tiles waste more on their surroundings: of a tile with a core of *tile* px the network sees *input* px, so it computes
(input / core)² pixels for one. Tiles at the edge of the slide are trimmed, so the whole does a little better.`, "--model nuclei --size 4096 --memory 6GiB --scenario infer,end-to-end --sweep tile=256,512,1024,2048", false},
	{"Many small slides", `A hundred slides of 1000 × 1000 px, one at a time and as many as fit into the memory.`, "--model nuclei --size 1000 --copies 100 --scenario end-to-end --sweep slides=1,0", false},
}

const performanceHead = `# Performance

What microtome reaches on the machine named below, and how that was measured. The page and its plots are made by

    microtome bench performance -o %s

which takes a quarter of an hour, and writes every run as a line of JSON beside them, for ` + "`bench report`, `bench compare` and `bench plot`" + `.

**Method.** Each run is a process of its own. Slides are synthetic: the same on every machine, with the density of nuclei, the texture and the
noise of sections stained with haematoxylin and eosin, in an Aperio file of JPEG tiles; all of the slide is labelled (--tissue off). Wall and CPU time are those of the work,
without starting the program and loading the model. Ceilings are measured by the tool itself, with all processors at work: products of
matrices of 768 × 768 float32 by ONNX Runtime, copies of 64 MB of memory, the slide's own blocks in random order without a cache, and labels
into tiles of the mask. Tables show medians and the spread of repeated runs where there are some. A machine that others use too
is noisy: trust ratios within a table, and CPU time more than wall time.
`

func newBenchPerformanceCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "performance",
		Short: "Measure this machine from all sides, and write a page with tables and plots",
		Args:  arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return usageError{errors.New("-o FOLDER is missing: name the folder for performance.md and what belongs to it")}
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return runPerformance(c.Context(), self, out, performance, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVarP(&out, "out", "o", out, "`FOLDER` for performance.md, performance.jsonl and the plots in performance/")
	return c
}

// runPerformance runs the sections one after another, each as a command of the program self. The page is there when all of them are done.
func runPerformance(ctx context.Context, self, out string, sections []section, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "microtome-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	plots := filepath.Join(out, "performance")
	if err := os.MkdirAll(plots, 0o777); err != nil {
		return err
	}
	lines := filepath.Join(dir, "all.jsonl")
	var page strings.Builder
	fmt.Fprintf(&page, performanceHead, out)
	for i, s := range sections {
		fmt.Fprintf(stderr, "microtome: part %d of %d: microtome bench %s\n", i+1, len(sections), s.flags)
		one := filepath.Join(dir, "one.jsonl")
		timeline := filepath.Join(plots, fmt.Sprintf("timeline-%d.svg", i+1))
		args := append([]string{"bench", "--dir", dir, "-o", one, "--json"}, strings.Fields(s.flags)...)
		if s.stages {
			args = append(args, "--timeline", timeline)
		}
		cmd := bench.Program(self).Command(ctx, args...)
		cmd.Stderr = stderr
		if err := cmd.Run(); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("microtome bench %s: %w", s.flags, err)
		}
		runs, err := results.Read(one)
		if err != nil {
			return err
		}
		if err := errors.Join(results.Append(lines, runs...), os.Remove(one)); err != nil {
			return err
		}
		if s.title != "" {
			fmt.Fprintf(&page, "\n## %s\n\n%s\n", s.title, s.text)
		}
		fmt.Fprintf(&page, "\n    microtome bench %s\n\n", s.flags)
		if err := results.WriteReport(&page, runs, results.ReportConfig{Markdown: true, Stages: s.stages}); err != nil {
			return err
		}
		if why := runs[len(runs)-1].Why; s.stages && why != "" {
			fmt.Fprintf(&page, "\n%s\n\n![stages over time](performance/%s)\n", why, filepath.Base(timeline))
		}
	}
	all, err := results.Read(lines)
	if err != nil {
		return err
	}
	fmt.Fprint(&page, "\n## Plots\n")
	for _, p := range results.Plots(all) {
		if p.Why != "" {
			continue
		}
		files, err := p.Write(plots, []string{"svg"})
		if err != nil {
			return err
		}
		for _, f := range files {
			fmt.Fprintf(&page, "\n![%s](performance/%s)\n", p.Name, filepath.Base(f))
		}
	}
	data, err := os.ReadFile(lines)
	if err != nil {
		return err
	}
	path := filepath.Join(out, "performance.md")
	if err := errors.Join(os.WriteFile(filepath.Join(out, "performance.jsonl"), data, 0o666), os.WriteFile(path, []byte(page.String()), 0o666)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, path)
	return err
}
