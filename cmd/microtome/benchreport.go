package main

import (
	"github.com/spf13/cobra"

	"microtome/bench/results"
)

func newBenchReportCommand() *cobra.Command {
	var o results.ReportConfig
	c := &cobra.Command{
		Use:   "report FILE...",
		Short: "Show results files as tables",
		Args:  arguments(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			runs, err := readResults(args)
			if err != nil {
				return err
			}
			return results.WriteReport(c.OutOrStdout(), runs, o)
		},
	}
	c.Flags().BoolVar(&o.Markdown, "markdown", false, "tables for documents, in Markdown")
	c.Flags().BoolVar(&o.Stages, "stages", false, "show what the workers of each stage did, and the queues between")
	return c
}

// readResults reads all results of some files.
func readResults(paths []string) ([]results.Result, error) {
	var all []results.Result
	for _, path := range paths {
		runs, err := results.Read(path)
		if err != nil {
			return nil, usageError{err}
		}
		all = append(all, runs...)
	}
	return all, nil
}
