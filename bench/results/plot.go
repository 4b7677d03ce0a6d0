package results

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Formats are those that plots may have.
func Formats() []string { return []string{"svg", "png"} }

// A Plot is a picture of results, or why there is none.
type Plot struct {
	Name string // of its files
	Why  string // there is none; "": there is
	draw func() (*plot.Plot, error)
}

// Size of a plot; a PNG has 96 px an inch.
const plotWidth, plotHeight = 8 * vg.Inch, 5 * vg.Inch

// Okabe and Ito's colours, which people with the common colour deficiencies can tell apart.
var plotColors = []color.RGBA{
	{0, 114, 178, 255}, {230, 159, 0, 255}, {0, 158, 115, 255}, {213, 94, 0, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {0, 0, 0, 255},
}

// Plots returns the pictures of results: how the cost grows with the slide, how workers and tiles help, and what the stages did.
// Results of several environments or settings are lines of their own.
func Plots(results []Result) []Plot {
	all, _ := group(results)
	one := func(m string) Metric {
		x, err := ParseMetric(m)
		if err != nil {
			panic(err) // a name written here
		}
		return x
	}
	area := func(s Setting) float64 { return float64(s.Width) * float64(s.Height) / 1e6 }
	workers := func(s Setting) float64 { return float64(s.Workers) }
	return []Plot{
		curves(all, "cost-by-size", "CPU time by size of the slide", "area of the slide, Mpx", "CPU s/Mpx", "size", area, one("cpu_s_per_mpx"), nil),
		curves(all, "speed-by-size", "Throughput by size of the slide", "area of the slide, Mpx", "Mpx/s", "size", area, one("mpx_per_s"), nil),
		curves(all, "workers", "Speed-up by workers", "workers", "speed-up, ×", "workers", workers, one("mpx_per_s"), speedUp),
		tilePlot(all, one("overlap_waste")),
		stagePlot(all),
	}
}

// Write writes a plot in some formats and returns the files.
func (p Plot) Write(dir string, formats []string) (files []string, err error) {
	picture, err := p.draw()
	if err != nil {
		return nil, err
	}
	for _, format := range formats {
		c, err := draw.NewFormattedCanvas(plotWidth, plotHeight, format)
		if err != nil {
			return files, err
		}
		drawAbove(draw.New(c), picture)
		path := filepath.Join(dir, p.Name+"."+format)
		f, err := os.Create(path)
		if err != nil {
			return files, err
		}
		_, err = c.WriteTo(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return files, err
		}
		files = append(files, path)
	}
	return files, nil
}

// drawAbove draws a plot above its legend, which would hide what it shows.
func drawAbove(c draw.Canvas, p *plot.Plot) {
	const edge = vg.Length(12)
	c.SetColor(color.White)
	c.Fill(c.Path())
	c = draw.Crop(c, edge, -edge, edge, -edge)
	legend := p.Legend
	p.Legend = plot.NewLegend()
	legend.Top, legend.Left, legend.XOffs = false, true, 4*edge
	legend.Draw(c)
	p.Draw(draw.Crop(c, 0, -edge, legend.Rectangle(c).Size().Y+edge, 0))
	p.Legend = legend
}

// A trace is a curve of a plot: the medians of series that differ in one axis only, and how far their intervals reach.
type trace struct {
	name   string
	first  series
	points plotter.XYs
	low    []float64
	high   []float64
}

// Len and the others make a trace plotter.YErrorer.
func (t trace) Len() int                         { return len(t.points) }
func (t trace) XY(i int) (x, y float64)          { return t.points.XY(i) }
func (t trace) YError(i int) (low, high float64) { return t.low[i], t.high[i] }
func (t *trace) add(x, y, low, high float64) {
	t.points, t.low, t.high = append(t.points, plotter.XY{X: x, Y: y}), append(t.low, low), append(t.high, high)
}

// traces returns the curves of a metric over an axis: series that differ in other axes as well are on other curves. What a size of
// slide brings with it, its name, or a tile its input, is no other axis.
func traces(all []series, along string, x func(Setting) float64, m Metric) []trace {
	follows := map[string][]string{"size": {"slide"}, "tile": {"input"}}
	var others []axis
	settings := make([]Setting, len(all))
	for i, s := range all {
		settings[i] = s.setting
	}
	if len(settings) == 0 {
		return nil
	}
	vary, _ := split(settings)
	for _, a := range vary {
		if a.name != along && !slices.Contains(follows[along], a.name) {
			others = append(others, a)
		}
	}
	var found []trace
	index := map[string]int{}
	for _, s := range slices.SortedStableFunc(slices.Values(all), func(a, b series) int { return cmp.Compare(x(a.setting), x(b.setting)) }) {
		values := s.values(m)
		if values == nil {
			continue
		}
		name := s.title(others, places(all))
		i, ok := index[name]
		if !ok {
			i = len(found)
			index[name], found = i, append(found, trace{name: name, first: s})
		}
		sum := summarise(values)
		low, high := sum.Center-sum.Lo, sum.Hi-sum.Center
		if math.IsInf(sum.Lo, 0) || math.IsInf(sum.Hi, 0) { // too few rounds
			low, high = sum.Center-slices.Min(values), slices.Max(values)-sum.Center
		}
		found[i].add(x(s.setting), sum.Center, low, high)
	}
	found = slices.DeleteFunc(found, func(t trace) bool { return t.points[0].X == t.points[len(t.points)-1].X })
	slices.SortStableFunc(found, func(a, b trace) int { return strings.Compare(a.name, b.name) })
	return found
}

// title names a series by what it does not share with others.
func (s series) title(vary []axis, places bool) string {
	name := describe(s.setting, vary)
	if places {
		name = strings.TrimPrefix(name+", machine "+strconv.Itoa(s.place+1), ", ")
	}
	return name
}

// places says whether series are of several environments.
func places(all []series) bool {
	return slices.ContainsFunc(all, func(s series) bool { return s.place != all[0].place })
}

// speedUp makes throughput one against that of the fewest workers, and adds what would be ideal.
func speedUp(p *plot.Plot, found []trace) {
	low, high := math.Inf(1), 0.0
	for _, t := range found {
		first := t.points[0]
		for i := range t.points {
			scale := 1 / first.Y * first.X
			t.points[i].Y, t.low[i], t.high[i] = t.points[i].Y*scale, t.low[i]*scale, t.high[i]*scale
			low, high = min(low, t.points[i].X), max(high, t.points[i].X)
		}
	}
	ideal := &plotter.Line{XYs: plotter.XYs{{X: low, Y: low}, {X: high, Y: high}}, LineStyle: dashed()}
	p.Add(ideal)
	p.Legend.Add("ideal", ideal)
}

func dashed() draw.LineStyle {
	return draw.LineStyle{Color: color.Gray{90}, Width: vg.Points(1.2), Dashes: []vg.Length{vg.Points(5), vg.Points(4)}}
}

// curves is a plot of a metric over an axis.
func curves(all []series, name, title, xName, yName, along string, x func(Setting) float64, m Metric, change func(*plot.Plot, []trace)) Plot {
	found := traces(all, along, x, m)
	p := Plot{Name: name}
	if len(found) == 0 {
		p.Why = fmt.Sprintf("no two runs with a %s differ in %s alone", m.Name, along)
		return p
	}
	p.draw = func() (*plot.Plot, error) {
		c := canvas(title, xName, yName)
		if change != nil {
			change(c, found)
		}
		if err := addTraces(c, found); err != nil {
			return nil, err
		}
		c.X.Tick.Marker = ticksAt(found)
		if along == "size" {
			c.X.Scale = plot.LogScale{}
		}
		return c, nil
	}
	return p
}

// tilePlot shows what of the network's input is overlap, measured and by theory, (input ÷ core)².
func tilePlot(all []series, m Metric) Plot {
	found := traces(all, "tile", func(s Setting) float64 { return float64(s.Tile) }, m)
	p := Plot{Name: "tiles"}
	if len(found) == 0 {
		p.Why = "no two runs with an overlap_waste differ in tile alone"
		return p
	}
	p.draw = func() (*plot.Plot, error) {
		c := canvas("Overlap by size of tile", "edge of a tile's core, px", "pixels that the network sees for one that it labels")
		var halos []int // several curves may have one
		for _, t := range found {
			halo := t.first.setting.Input - t.first.setting.Tile
			if slices.Contains(halos, halo) {
				continue
			}
			halos = append(halos, halo)
			f := plotter.NewFunction(func(x float64) float64 { return math.Pow((x+float64(halo))/x, 2) })
			f.XMin, f.XMax, f.Samples, f.LineStyle = t.points[0].X, t.points[len(t.points)-1].X, 200, dashed()
			c.Add(f)
			c.Legend.Add(fmt.Sprintf("theory: (input ÷ core)², input = core + %d", halo), f)
		}
		if err := addTraces(c, found); err != nil {
			return nil, err
		}
		c.Y.Min = 1
		c.X.Scale, c.X.Tick.Marker = plot.LogScale{}, ticksAt(found)
		return c, nil
	}
	return p
}

// addTraces draws curves with dots and intervals, and their names where there are several or other lines.
func addTraces(c *plot.Plot, found []trace) error {
	for i, t := range found {
		line, dots, err := plotter.NewLinePoints(t.points)
		if err != nil {
			return err
		}
		bars, err := plotter.NewYErrorBars(t)
		if err != nil {
			return err
		}
		paint := plotColors[i%len(plotColors)]
		line.Color, line.Width = paint, vg.Points(1.8)
		if i >= len(plotColors) {
			line.Dashes = []vg.Length{vg.Points(2), vg.Points(2)}
		}
		dots.Color, dots.Shape, dots.Radius = paint, draw.CircleGlyph{}, vg.Points(3)
		bars.Color, bars.Width, bars.CapWidth = paint, vg.Points(1), vg.Points(6)
		c.Add(line, dots, bars)
		c.Legend.Add(cmp.Or(t.name, "measured"), line, dots)
	}
	c.Y.Min = min(c.Y.Min, 0)
	c.Y.Max *= 1.05
	return nil
}

// ticksAt marks what was measured, as far apart as labels need.
func ticksAt(found []trace) plot.Ticker {
	var at []float64
	for _, t := range found {
		for _, p := range t.points {
			at = append(at, p.X)
		}
	}
	slices.Sort(at)
	at = slices.Compact(at)
	if len(at) > 12 {
		return plot.DefaultTicks{}
	}
	ticks := make([]plot.Tick, len(at))
	for i, x := range at {
		ticks[i] = plot.Tick{Value: x, Label: digits(x)}
		if x == math.Trunc(x) {
			ticks[i].Label = strconv.Itoa(int(x))
		}
	}
	return plot.ConstantTicks(ticks)
}

// canvas returns axes with a grid.
func canvas(title, x, y string) *plot.Plot {
	c := plot.New()
	c.Title.Text, c.X.Label.Text, c.Y.Label.Text = title, x, y
	c.Title.TextStyle.Font.Size, c.Title.Padding = vg.Points(15), vg.Points(8)
	for _, a := range []*plot.Axis{&c.X, &c.Y} {
		a.Label.TextStyle.Font.Size, a.Tick.Label.Font.Size, a.Label.Padding = vg.Points(12), vg.Points(11), vg.Points(6)
	}
	c.Legend.TextStyle.Font.Size, c.Legend.ThumbnailWidth, c.Legend.Padding = vg.Points(11), vg.Points(24), vg.Points(3)
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = color.Gray{220}, color.Gray{220}
	c.Add(g)
	return c
}

// stagePlot shows what the workers of each stage did, setting by setting, as bars that fill the time of a run.
func stagePlot(all []series) Plot {
	const most = 28 // lines that can be read
	type bar struct {
		name  string
		stage Stage
	}
	p := Plot{Name: "stages"}
	settings := make([]Setting, len(all))
	for i, s := range all {
		settings[i] = s.setting
	}
	if len(all) == 0 {
		p.Why = "there are no runs"
		return p
	}
	vary, _ := split(settings)
	var bars []bar
	for _, s := range all {
		stages := s.stages()
		if stages != nil && len(all) > 1 {
			bars = append(bars, bar{name: s.title(vary, places(all))})
		}
		for _, stage := range stages {
			bars = append(bars, bar{stage.Stage, stage})
		}
	}
	switch {
	case len(bars) == 0:
		p.Why = "the runs have no stages"
		return p
	case len(bars) > most:
		p.Why = fmt.Sprintf("%d bars of %d settings cannot be read: give files with fewer settings", len(bars), len(all))
		return p
	}
	p.draw = func() (*plot.Plot, error) {
		c := canvas("What the workers of each stage did", "share of the run, %", "")
		slices.Reverse(bars) // the first is on top
		names := make([]string, len(bars))
		states := []struct {
			name string
			of   func(Stage) float64
		}{
			{"busy", func(s Stage) float64 { return s.Busy }},
			{"starved", func(s Stage) float64 { return s.Starved }},
			{"blocked", func(s Stage) float64 { return s.Blocked }},
			{"waiting", func(s Stage) float64 { return s.Waiting }},
		}
		height := min(vg.Points(22), (plotHeight-vg.Points(190))/vg.Length(len(bars))*0.8)
		var below *plotter.BarChart
		for i, state := range states {
			shares := make(plotter.Values, len(bars))
			for j, b := range bars {
				shares[j], names[j] = 100*state.of(b.stage), b.name
			}
			chart, err := plotter.NewBarChart(shares, height)
			if err != nil {
				return nil, err
			}
			chart.Horizontal, chart.Color, chart.LineStyle.Width = true, plotColors[i], 0
			if below != nil {
				chart.StackOn(below)
			}
			below = chart
			c.Add(chart)
			c.Legend.Add(state.name, chart)
		}
		c.NominalY(names...)
		if len(bars) > 12 {
			c.Y.Tick.Label.Font.Size = vg.Points(8)
		}
		c.X.Min, c.X.Max = 0, 100
		c.Y.Min, c.Y.Max = -0.6, float64(len(bars))-0.4
		return c, nil
	}
	return p
}
