package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"microtome/bench"
	"microtome/bench/results"
)

// defaultRounds finds 10 % in 19 of 20 comparisons in every kind of noise that TestPower of bench simulates.
const defaultRounds = 30

type compareOptions struct {
	results.CompareConfig
	metric, threshold, out string
	rounds                 int
}

func newBenchCompareCommand() *cobra.Command {
	o := compareOptions{CompareConfig: results.NewDefaultCompareConfig(), threshold: "5%", rounds: defaultRounds}
	o.metric = o.Metric.Name
	c := &cobra.Command{
		Use:   "compare A B [-- FLAGS...]",
		Short: "Say whether B is slower than A: two programs, run by turns, or two results files",
		Long: `Say whether B is slower than A.

A and B are two builds of microtome, or one and the same. They run "bench --once FLAGS" by turns, A B, B A, A B, and their CPU time is
compared pair by pair. Or they are results files; then only settings that both have are compared.

  microtome bench compare old/microtome new/microtome -- --scenario end-to-end --size 4096

Exit codes: 0 B is not slower, 1 B is slower (p < alpha, and by more than the threshold), or a run failed, 2 it cannot be told.`,
		Args: func(c *cobra.Command, args []string) error {
			if n := c.ArgsLenAtDash(); n >= 0 {
				args = args[:n]
			}
			return arguments(cobra.ExactArgs(2))(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.read(); err != nil {
				return usageError{err}
			}
			return runCompare(c.Context(), o, args[0], args[1], args[2:], c.Flags().Changed("rounds"), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.metric, "metric", o.metric, "the verdict goes by this `FIGURE` of results files")
	f.StringVar(&o.threshold, "threshold", o.threshold, "a difference that matters, as a `SHARE` of A")
	f.Float64Var(&o.Alpha, "alpha", o.Alpha, "`CHANCE` of a false alarm")
	f.IntVar(&o.rounds, "rounds", o.rounds, "`NUMBER` of runs of each program")
	f.StringVarP(&o.out, "out", "o", o.out, "keep the runs in results files: X.jsonl makes X-a.jsonl and X-b.jsonl of this `FILE`, or adds to them")
	return c
}

func (o *compareOptions) read() (err error) {
	if o.Metric, err = results.ParseMetric(o.metric); err != nil {
		return fmt.Errorf("--metric: %w", err)
	}
	text, hundredths := strings.CutSuffix(strings.TrimSpace(o.threshold), "%")
	if o.Threshold, err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
		return fmt.Errorf("--threshold %s is no number: give a share of A such as 5%%", o.threshold)
	}
	if hundredths {
		o.Threshold /= 100
	}
	return o.Validate()
}

func runCompare(ctx context.Context, o compareOptions, a, b string, flags []string, rounds bool, stdout, stderr io.Writer) error {
	files := 0
	for _, path := range []string{a, b} {
		is, err := isResults(path)
		if err != nil {
			return usageError{err}
		}
		if is {
			files++
		}
	}
	switch {
	case files == 1:
		return usageError{errors.New("one of A and B is a results file and the other is not: give two files or two programs")}
	case files == 0:
		return runTurns(ctx, o, a, b, flags, stdout, stderr)
	case len(flags) > 0 || rounds || o.out != "":
		return usageError{errors.New("results files are not run again: --rounds, -o and what comes after -- are for programs")}
	}
	ra, err := results.Read(a)
	if err != nil {
		return usageError{err}
	}
	rb, err := results.Read(b)
	if err != nil {
		return usageError{err}
	}
	all, err := results.Compare(ra, rb, o.CompareConfig)
	if err != nil {
		return usageError{err}
	}
	return printComparisons(all, a, b, stdout, stderr)
}

// isResults tells results files from programs: a line of JSON begins with a brace.
func isResults(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := bench.Find(path); err != nil {
			return false, fmt.Errorf("%s: no such file or program", path)
		}
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	var first [1]byte
	if n, _ := f.Read(first[:]); n == 1 && first[0] == '{' {
		return true, nil
	}
	if _, err := bench.Find(path); err != nil {
		return false, fmt.Errorf("%s is neither a results file of microtome bench nor a program", path)
	}
	return false, nil
}

func runTurns(ctx context.Context, o compareOptions, nameA, nameB string, flags []string, stdout, stderr io.Writer) (err error) {
	if least := o.Rounds(); o.rounds < least {
		return usageError{fmt.Errorf("--rounds %d is too few for p < %v, whatever the runs measure: give %d or more", o.rounds, o.Alpha, least)}
	}
	a, err := bench.Find(nameA)
	if err != nil {
		return usageError{err}
	}
	b, err := bench.Find(nameB)
	if err != nil {
		return usageError{err}
	}
	if !slices.ContainsFunc(flags, func(f string) bool { return f == "--dir" || strings.HasPrefix(f, "--dir=") }) {
		var dir string
		if dir, err = os.MkdirTemp("", "microtome-bench-"); err != nil { // both read one slide, which is made once
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		flags = append(slices.Clone(flags), "--dir="+dir)
	}
	ext := filepath.Ext(o.out)
	name := strings.TrimSuffix(o.out, ext)
	var as, bs []results.Result
	fmt.Fprintf(stderr, "microtome: %d rounds of A and B, after one of each that does not count\n", o.rounds)
	failed := bench.ByTurns(ctx, a, b, flags, o.rounds, func(ra, rb results.Result) error {
		as, bs = append(as, ra), append(bs, rb)
		fmt.Fprintf(stderr, "microtome: round %d of %d: A %s, B %s\n", len(as), o.rounds, o.Metric.Text(ra), o.Metric.Text(rb))
		if o.out == "" {
			return nil
		}
		return errors.Join(results.Append(name+"-a"+ext, ra), results.Append(name+"-b"+ext, rb))
	})
	if len(as) == 0 {
		return failed
	}
	one, err := results.ComparePairs(as, bs, o.CompareConfig)
	if err != nil {
		return errors.Join(failed, usageError{err})
	}
	said := printComparisons([]results.Comparison{one}, nameA, nameB, stdout, stderr)
	if failed != nil {
		return failed
	}
	return said
}

// printComparisons returns an error where B is slower, or where it cannot be told.
func printComparisons(all []results.Comparison, a, b string, stdout, stderr io.Writer) error {
	fmt.Fprintf(stdout, "A: %s\nB: %s\n", a, b)
	var slower, unclear error
	for _, c := range all {
		for _, note := range c.Notes {
			fmt.Fprintf(stderr, "microtome: warning: %s\n", note)
		}
		fmt.Fprintf(stdout, "\n%s\n\n", c.Setting)
		if err := c.WriteTable(stdout); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "\n%s\n", c.Sentence())
		switch c.Verdict {
		case results.Slower:
			slower = errReported
		case results.Unclear:
			unclear = usageError{c.TooFew()}
		}
	}
	if slower != nil {
		return slower
	}
	return unclear
}
