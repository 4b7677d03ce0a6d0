package train

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microtome/unet/score"
)

// pictureOf reads back what was written, which must be the same each time.
func pictureOf(t *testing.T, write func(*bytes.Buffer) error) image.Image {
	t.Helper()
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := write(b); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two pictures of the same differ")
	}
	m, err := png.Decode(&first)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func at(m image.Image, x, y int) color.RGBA { return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA) }

// columns lists the columns of the picture in which a colour occurs.
func columns(m image.Image, c color.RGBA) []int {
	var found []int
	for x := range m.Bounds().Dx() {
		for y := range m.Bounds().Dy() {
			if at(m, x, y) == c {
				found = append(found, x)
				break
			}
		}
	}
	return found
}

func TestCurvesShowWhatIsANumber(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	good := Validated{Step: 100, Loss: 0.5, IoU: 0.4, Rate: 1e-3, Images: 2, Scores: score.Scores{IoU: 0.3, F1At50: 0.6, PQ: 0.2}, Best: true}
	later := good
	later.Step, later.Loss, later.Best = 200, 0.25, false
	broken := Validated{Step: 150, Loss: nan, IoU: inf, Rate: nan, Images: 2, Scores: score.Scores{IoU: nan, F1At50: nan, PQ: nan}}
	zero := Validated{Step: 300} // nothing held back, no loss, no rate
	for _, c := range []struct {
		name                 string
		lines                []Validated
		loss, training, held bool
	}{
		{"no line", nil, false, false, false},
		{"one line", []Validated{good}, true, true, true},
		{"two lines", []Validated{good, later}, true, true, true},
		{"not a number between", []Validated{good, broken, later}, true, true, true},
		{"no number at all", []Validated{broken}, false, false, false},
		{"nothing held back", []Validated{zero}, true, true, false}, // the rate is blue as well
	} {
		t.Run(c.name, func(t *testing.T) {
			m := pictureOf(t, func(b *bytes.Buffer) error { return drawCurves(b, c.lines) })
			if m.Bounds() != image.Rect(0, 0, curvesWidth, curvesHeight) {
				t.Fatalf("%v", m.Bounds())
			}
			left := slices.ContainsFunc(columns(m, blue), func(x int) bool { return x < curvesWidth/2 })
			if left != c.loss {
				t.Errorf("loss or rate is drawn: %v", left)
			}
			if got := columns(m, orange) != nil; got != c.training {
				t.Errorf("training IoU is drawn: %v", got)
			}
			if got := columns(m, red) != nil; got != c.held {
				t.Errorf("PQ is drawn: %v", got)
			}
		})
	}
}

func TestTheLastBestStepIsMarked(t *testing.T) {
	var lines []Validated
	for i := range 10 {
		lines = append(lines, Validated{Step: 100 * (i + 1), Loss: 1, Images: 1, Best: i == 0 || i == 4})
	}
	m := pictureOf(t, func(b *bytes.Buffer) error { return drawCurves(b, lines) })
	var dashes []int // columns of the right half that are black over a third of the height
	for x := curvesWidth*56/100 + 1; x < curvesWidth; x++ {
		n := 0
		for y := range curvesHeight {
			if c := at(m, x, y); c.R < 160 && c.R == c.G && c.G == c.B {
				n++
			}
		}
		if n > curvesHeight/4 {
			dashes = append(dashes, x)
		}
	}
	if len(dashes) == 0 || dashes[len(dashes)-1]-dashes[0] > 3 {
		t.Fatalf("dashes in columns %v", dashes)
	}
	last := columns(m, red) // of the curve that is drawn last, at step 1000
	right := last[len(last)-1]
	if x := dashes[0]; x < right-380 || x > right-320 {
		t.Errorf("step 500 is marked at column %d; step 1000 is at %d", x, right)
	}
}

func TestMarksOfAnyLoss(t *testing.T) {
	for v := 1e-7; v < 1e7; v *= 1.03 {
		labels := 0
		for _, tick := range decades(v/1.6, v*1.6) {
			if tick.Value < v/1.6 || tick.Value > v*1.6 {
				t.Fatalf("%g is marked between %g and %g", tick.Value, v/1.6, v*1.6)
			}
			if tick.Label != "" {
				labels++
			}
		}
		if labels == 0 {
			t.Fatalf("nothing is marked around %g", v)
		}
	}
	var got []string
	for _, tick := range decades(0.08, 3) {
		got = append(got, tick.Label)
	}
	if want := ",,0.1,0.2,,,0.5,,,,,1,2,"; strings.Join(got, ",") != want {
		t.Errorf("%q, want %q", strings.Join(got, ","), want)
	}
}

func TestMetricsAreReadUpToTheCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), MetricsName)
	var data []byte
	var ends []int64
	for i := range 3 {
		line, err := json.Marshal(Validated{Step: i, Loss: 1, Best: i == 1})
		if err != nil {
			t.Fatal(err)
		}
		data = append(append(data, line...), '\n')
		ends = append(ends, int64(len(data)))
	}
	if err := os.WriteFile(path, append(data, `{"step`...), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, end := range ends {
		lines, err := readMetrics(path, end)
		if err != nil || len(lines) != i+1 || lines[i].Step != i || lines[i].Best != (i == 1) {
			t.Errorf("%d bytes: %v, %v", end, lines, err)
		}
	}
	if lines, err := readMetrics(path, 0); err != nil || lines != nil {
		t.Errorf("nothing: %v, %v", lines, err)
	}
	if _, err := readMetrics(path, int64(len(data)+6)); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("half a line: %v", err)
	}
}
