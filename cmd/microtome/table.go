package main

import (
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
)

// printTable says how a run over several slides ended.
func printTable(w io.Writer, sum account, out string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "done\t%d\n", sum.done)
	fmt.Fprintf(t, "kept\t%d\n", sum.kept)
	fmt.Fprintf(t, "failed\t%d\n", sum.failed)
	if rest := sum.total - sum.all(); rest > 0 {
		fmt.Fprintf(t, "not done\t%d\n", rest)
	}
	if sum.mm2 > 0 {
		fmt.Fprintf(t, "area\t%s mm²\n", number(sum.mm2))
	}
	fmt.Fprintf(t, "wall time\t%s\n", span(sum.wall))
	if sum.slidesPerH > 0 {
		fmt.Fprintf(t, "slides/h\t%s\n", number(sum.slidesPerH))
	}
	if sum.mm2PerH > 0 {
		fmt.Fprintf(t, "mm²/h\t%s\n", number(sum.mm2PerH))
	}
	_ = t.Flush()
	if sum.failed == 0 {
		return
	}
	fmt.Fprintln(w, "failed:")
	for _, f := range sum.failures {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", f.slide, f.stage, f.why)
	}
	_ = t.Flush()
	if more := sum.failed - len(sum.failures); more > 0 {
		fmt.Fprintf(w, "  and %d more: see %s\n", more, filepath.Join(out, "failures.csv"))
	}
}
