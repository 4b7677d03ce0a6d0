package train

import (
	"bufio"
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"microtome/unet/score"
)

// readMetrics reads the first bytes of a metrics.jsonl, as many as a checkpoint vouches for.
func readMetrics(path string, bytes int64) ([]Validated, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []Validated
	for d := json.NewDecoder(bufio.NewReader(io.LimitReader(f, bytes))); ; {
		var l Validated
		if err := d.Decode(&l); err == io.EOF {
			return lines, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(lines)+1, err)
		}
		lines = append(lines, l)
	}
}

// Size of the picture of the curves, px, at 96 px an inch.
const curvesWidth, curvesHeight, perInch = 1600, 700, 96

// A curve is one number of each line.
type curve struct {
	name  string
	color color.RGBA
	of    func(Validated) float64
}

// Okabe and Ito's colours, which people with the common colour deficiencies can tell apart.
var (
	blue   = color.RGBA{0, 114, 178, 255}
	orange = color.RGBA{230, 159, 0, 255}
	green  = color.RGBA{0, 158, 115, 255}
	red    = color.RGBA{213, 94, 0, 255}
)

// drawCurves writes a PNG of how the loss, the learning rate and the scores went, and which step was the best.
func drawCurves(w io.Writer, lines []Validated) error {
	last, best := 1.0, 0.0
	for _, l := range lines {
		last = max(last, float64(l.Step))
		if l.Best {
			best = float64(l.Step)
		}
	}
	loss := newPanel("training loss", last)
	loss.Y.Scale, loss.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(decades)
	if err := addCurves(loss, lines, curve{"", blue, func(l Validated) float64 {
		if l.Loss <= 0 {
			return math.NaN() // has no logarithm
		}
		return l.Loss
	}}); err != nil {
		return err
	}
	if loss.Y.Min > loss.Y.Max { // nothing was added
		loss.Y.Min, loss.Y.Max = 0.1, 1
	}
	loss.Y.Min, loss.Y.Max = loss.Y.Min/1.6, loss.Y.Max*1.6 // 2.56 apart at least: one of 1, 2, 5 … is between

	rate := newPanel("learning rate", last)
	if err := addCurves(rate, lines, curve{"", blue, func(l Validated) float64 { return l.Rate }}); err != nil {
		return err
	}
	rate.X.Label.Text, rate.Y.Min = "step", 0
	if rate.Y.Max > 0 {
		rate.Y.Max *= 1.05
	} else {
		rate.Y.Max = 1
	}

	scores := newPanel("score", last)
	if err := addCurves(
		scores, lines,
		curve{"IoU, training", orange, func(l Validated) float64 { return l.IoU }},
		curve{"IoU, validation", blue, validated(func(s score.Scores) float64 { return s.IoU })},
		curve{"F1 at IoU 0.5, validation", green, validated(func(s score.Scores) float64 { return s.F1At50 })},
		curve{"PQ, validation", red, validated(func(s score.Scores) float64 { return s.PQ })},
	); err != nil {
		return err
	}
	scores.X.Label.Text, scores.Y.Min, scores.Y.Max, scores.Y.Tick.Marker = "step", 0, 1, plot.TickerFunc(tenths)
	if best > 0 {
		mark, err := plotter.NewLine(plotter.XYs{{X: best, Y: 0}, {X: best, Y: 1}})
		if err != nil {
			return err
		}
		mark.Dashes = []vg.Length{4, 4}
		scores.Add(mark)
		scores.Legend.Add("best: step "+strconv.Itoa(int(best)), mark)
	}

	canvas := vgimg.NewWith(vgimg.UseWH(curvesWidth*vg.Inch/perInch, curvesHeight*vg.Inch/perInch), vgimg.UseDPI(perInch))
	all := draw.New(canvas)
	middle := (all.Max.X - all.Min.X) / 2
	const edge = vg.Length(12)
	left := draw.Crop(all, edge, -middle-edge, edge, -edge)
	for i, c := range plot.Align([][]*plot.Plot{{loss}, {rate}}, draw.Tiles{Rows: 2, Cols: 1, PadY: edge}, left) {
		[]*plot.Plot{loss, rate}[i].Draw(c[0])
	}
	right := draw.Crop(all, middle+edge, -edge, edge, -edge)
	legend := scores.Legend // above the curves, wherever they run
	legend.Top, legend.Left, legend.XOffs = true, true, 4*edge
	scores.Legend = plot.NewLegend()
	legend.Draw(right)
	scores.Draw(draw.Crop(right, 0, 0, 0, legend.Rectangle(right).Min.Y-right.Max.Y-edge))
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// validated makes a number of a line of one of its scores; there is none where no image was held back.
func validated(of func(score.Scores) float64) func(Validated) float64 {
	return func(l Validated) float64 {
		if l.Images == 0 {
			return math.NaN()
		}
		return of(l.Scores)
	}
}

// tenths marks 0, 0.1 … 1.
func tenths(_, _ float64) []plot.Tick {
	var ticks []plot.Tick
	for i := range 11 {
		ticks = append(ticks, plot.Tick{Value: float64(i) / 10, Label: strconv.FormatFloat(float64(i)/10, 'f', 1, 64)})
	}
	return ticks
}

// newPanel returns axes over the steps to the last.
func newPanel(name string, last float64) *plot.Plot {
	p := plot.New()
	p.X.Min, p.X.Max, p.Y.Label.Text = 0, last, name
	p.Legend.ThumbnailWidth, p.Legend.Padding = 24, 2
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{200}, color.Gray{200}
	p.Add(grid)
	return p
}

// addCurves adds what of the curves is a number.
func addCurves(p *plot.Plot, lines []Validated, curves ...curve) error {
	for _, c := range curves {
		var points plotter.XYs
		for _, l := range lines {
			if y := c.of(l); !math.IsNaN(y) && !math.IsInf(y, 0) {
				points = append(points, plotter.XY{X: float64(l.Step), Y: y})
			}
		}
		if points == nil {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = c.color, 1.5
		dots.Color, dots.Shape, dots.Radius = c.color, draw.CircleGlyph{}, 2
		p.Add(line, dots)
		if c.name != "" {
			p.Legend.Add(c.name, line, dots)
		}
	}
	return nil
}

// decades marks 1, 2 and 5 in each power of ten.
func decades(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(low)); e <= math.Log10(high); e++ {
		for m := 1.0; m < 10; m++ {
			t := plot.Tick{Value: m * math.Pow(10, e)}
			if m == 1 || m == 2 || m == 5 {
				t.Label = strconv.FormatFloat(t.Value, 'g', 3, 64)
			}
			if t.Value >= low && t.Value <= high {
				ticks = append(ticks, t)
			}
		}
	}
	return ticks
}
