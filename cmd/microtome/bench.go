package main

import (
	"github.com/spf13/cobra"
)

func newBenchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Make synthetic slides with known truth, and segment one",
		Args:  arguments(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newBenchDemoCommand(), newBenchSlideCommand())
	c.AddCommand(newBenchReportCommand(), newBenchCompareCommand(), newBenchPlotCommand())
	return c
}
