package results

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// A ReportConfig says how results are reported.
type ReportConfig struct {
	Markdown bool
	Stages   bool // what the workers of each stage did, too
}

// Tables of a report, and the figures in them by name. What no run has is left out.
var (
	tables = []struct {
		caption string
		columns []string
	}{
		{"How fast", []string{"mpx_per_s", "mm2_per_s", "tiles_per_s", "s_per_slide", "gflop_per_s", "useful_gflop_per_s"}},
		{"What of the machine is reached: % of its ceilings, and of the workers' time in the network", []string{"sgemm", "copy", "decode", "codec", "model_busy"}},
		{"What it costs", []string{"cpu_s_per_mpx", "decoded_per_needed", "overlap_waste", "peak_rss", "peak_cgroup", "budget_high", "allocated_per_tile", "gc_cpu"}},
	}

	// These stand with their spread; the other figures of a table are made of them, or hardly vary.
	spreadColumns = []string{"mpx_per_s", "cpu_s_per_mpx", "peak_rss"}
)

// WriteReport writes tables of results: what is the same for all of them once, and a line for each setting, of which rounds are
// summed up as benchstat does it, by their median and how far its interval of 95 % confidence reaches.
func WriteReport(w io.Writer, results []Result, c ReportConfig) error {
	all, places := group(results)
	settings := make([]Setting, len(all))
	for i, s := range all {
		settings[i] = s.setting
	}
	vary, constant := split(settings)

	var said [][2]string
	heads := &grid{head: []string{"", ""}, left: 2}
	for i, e := range places {
		for j, l := range e.lines() {
			if len(places) > 1 && j == 0 {
				l[0] += " " + strconv.Itoa(i+1)
			}
			said = append(said, l)
		}
	}
	if len(constant) > 0 {
		said = append(said, [2]string{"setting", describe(settings[0], constant)})
	}
	for _, l := range said {
		if c.Markdown {
			heads.add(l[0], l[1])
			continue
		}
		for i, part := range wrap(l[1], 105) { // beside the names, within 120 columns
			heads.add([]string{l[0], ""}[min(i, 1)], part)
		}
	}
	if err := heads.write(w, c.Markdown); err != nil {
		return err
	}

	few := false
	for _, kind := range tables {
		t, unknown := table(all, kind.columns, vary, len(places) > 1)
		if t == nil {
			continue
		}
		few, t.caption = few || unknown, kind.caption
		if err := t.write(w, c.Markdown); err != nil {
			return err
		}
	}
	if few {
		if _, err := fmt.Fprint(w, "±∞: a median has an interval of 95 % confidence from six rounds on.\n\n"); err != nil {
			return err
		}
	}
	if !c.Stages {
		return nil
	}
	return stageTable(all, vary, len(places) > 1).write(w, c.Markdown)
}

// table returns a line for each series, nil where no run has any of the figures; few says that rounds were too few for an interval.
func table(all []series, columns []string, vary []axis, places bool) (t *grid, few bool) {
	t = &grid{}
	t.heads(vary, places)
	t.head = append(t.head, "n")
	var metrics []Metric
	for _, m := range Metrics() { // in the order of the columns
		if slices.Contains(columns, m.Name) && slices.ContainsFunc(all, func(s series) bool { return s.values(m) != nil }) {
			metrics = append(metrics, m)
			t.head = append(t.head, m.Title)
		}
	}
	if metrics == nil {
		return nil, false
	}
	for _, s := range all {
		line := append(s.cells(vary, places), strconv.Itoa(len(s.rounds)))
		for _, m := range metrics {
			values := s.values(m)
			if values == nil {
				line = append(line, "–")
				continue
			}
			sum := summarise(values)
			text := m.format(sum.Center)
			if slices.Contains(spreadColumns, m.Name) && len(values) > 1 {
				text += " " + spread(sum)
				few = few || strings.Contains(text, "∞")
			}
			line = append(line, text)
		}
		t.add(line...)
	}
	return t, few
}

// stageTable returns a line for each stage of each series. Shares and depths are means, as means of shares add up to 1.
func stageTable(all []series, vary []axis, places bool) *grid {
	t := &grid{caption: "What the workers of each stage did, and how many values waited before it"}
	t.heads(vary, places)
	t.head = append(t.head, "stage", "workers", "busy", "starved", "blocked", "waiting", "queue", "at most")
	t.left++
	for _, s := range all {
		for i, stage := range s.stages() {
			cells := s.cells(vary, places)
			if i > 0 {
				cells = make([]string, len(cells)) // said above
			}
			share := func(v float64) string { return strconv.FormatFloat(100*v, 'f', 0, 64) + " %" }
			t.add(append(cells, stage.Stage, strconv.Itoa(stage.Workers), share(stage.Busy), share(stage.Starved), share(stage.Blocked),
				share(stage.Waiting), strconv.FormatFloat(stage.Depth, 'f', 1, 64), strconv.Itoa(stage.MaxDepth))...)
		}
	}
	return t
}

// stages returns the means of what the stages did over the rounds; MaxDepth is the most of any.
func (s series) stages() []Stage {
	var all []Stage
	for _, r := range s.rounds {
		for _, stage := range r.Stages {
			i := slices.IndexFunc(all, func(have Stage) bool { return have.Stage == stage.Stage })
			if i < 0 {
				all, i = append(all, Stage{Stage: stage.Stage, Workers: stage.Workers}), len(all)
			}
			n := 1 / float64(len(s.rounds))
			a := &all[i]
			a.Busy, a.Starved, a.Blocked, a.Waiting = a.Busy+n*stage.Busy, a.Starved+n*stage.Starved, a.Blocked+n*stage.Blocked, a.Waiting+n*stage.Waiting
			a.Depth, a.MaxDepth = a.Depth+n*stage.Depth, max(a.MaxDepth, stage.MaxDepth)
		}
	}
	return all
}

// cells says which setting a line is of.
func (s series) cells(vary []axis, places bool) []string {
	var cells []string
	if places {
		cells = append(cells, strconv.Itoa(s.place+1))
	}
	for _, a := range vary {
		cells = append(cells, a.of(s.setting))
	}
	return cells
}

// A grid is a table of text: columns of words to the left, of numbers to the right.
type grid struct {
	caption string
	head    []string
	left    int // columns of words, which come first
	lines   [][]string
}

func (t *grid) heads(vary []axis, places bool) {
	if places {
		t.head = append(t.head, "machine")
	}
	for _, a := range vary {
		t.head = append(t.head, a.name)
	}
	t.left = len(t.head)
}

func (t *grid) add(cells ...string) { t.lines = append(t.lines, cells) }

// write writes a table for the terminal, or for documents, and an empty line.
func (t *grid) write(w io.Writer, markdown bool) error {
	if len(t.lines) == 0 {
		return nil
	}
	widths := make([]int, len(t.head))
	rows := t.lines
	if strings.Join(t.head, "") != "" || markdown {
		rows = append([][]string{t.head}, rows...)
	}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], runewidth.StringWidth(cell))
		}
	}
	var b strings.Builder
	if t.caption != "" {
		caption := t.caption
		if markdown {
			caption = "**" + caption + "**"
		}
		b.WriteString(caption + "\n\n")
	}
	line := func(cells []string) {
		var parts []string
		for i, cell := range cells {
			if markdown {
				cell = strings.ReplaceAll(cell, "|", `\|`)
			}
			pad := strings.Repeat(" ", max(0, widths[i]-runewidth.StringWidth(cell)))
			if i < t.left {
				parts = append(parts, cell+pad)
			} else {
				parts = append(parts, pad+cell)
			}
		}
		if markdown {
			b.WriteString("| " + strings.Join(parts, " | ") + " |\n")
		} else {
			b.WriteString(strings.TrimRight(strings.Join(parts, "  "), " ") + "\n")
		}
	}
	for n, row := range rows {
		line(row)
		if markdown && n == 0 {
			for i, width := range widths {
				end := "-"
				if i >= t.left {
					end = ":"
				}
				b.WriteString("|-" + strings.Repeat("-", width) + end)
			}
			b.WriteString("|\n")
		}
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks text at commas into lines no wider than a column.
func wrap(text string, width int) []string {
	var lines []string
	for part := range strings.SplitSeq(text, ", ") {
		if n := len(lines); n > 0 && utf8.RuneCountInString(lines[n-1])+2+utf8.RuneCountInString(part) <= width {
			lines[n-1] += ", " + part
			continue
		} else if n > 0 {
			lines[n-1] += ","
		}
		lines = append(lines, part)
	}
	return lines
}
