package score

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func exampleReport() *Report {
	r := NewReport(NewDefaultFilter())
	r.Add("good", Compare(draw("aab..bb."), draw("AAA..BB.")))
	r.Add("naïve, with \"quotes\"", Compare(draw("aabb...."), draw("AAAA...C")))
	r.Add("empty", Compare(draw("...."), draw("....")))
	return r
}

// The keys are a promise to scripts.
func TestReportJSON(t *testing.T) {
	var b bytes.Buffer
	r := exampleReport()
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	back.sum = r.sum
	if !reflect.DeepEqual(&back, r) {
		t.Errorf("read back %+v, want %+v", back, r)
	}
	var tree struct {
		Filter map[string]any
		Images []map[string]any
		Total  map[string]any
	}
	if err := json.Unmarshal(b.Bytes(), &tree); err != nil {
		t.Fatal(err)
	}
	keys := strings.Fields("truth objects f1_50 precision recall f1 aji pq dq sq merges splits iou dice pixel_error rand_error")
	for _, row := range append(tree.Images, tree.Total) {
		for _, k := range keys {
			if _, ok := row[k].(float64); !ok {
				t.Errorf("no number %s in %v", k, row)
			}
		}
	}
	if len(tree.Total) != len(keys) || len(tree.Images[0]) != len(keys)+1 || tree.Images[0]["name"] != "good" {
		t.Errorf("other keys: %s", b.String())
	}
	for _, k := range []string{"threshold", "min_area", "min_peak", "grow", "connectivity"} {
		if _, ok := tree.Filter[k].(float64); !ok {
			t.Errorf("no number %s in %v", k, tree.Filter)
		}
	}
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	if !slices.Equal(names, keys) {
		t.Errorf("columns %v, want %v", names, keys)
	}
}

// The total is of sums: an image of many objects weighs more than one of few.
func TestReportTotal(t *testing.T) {
	r := exampleReport()
	two := 2. // keeps the compiler from exact arithmetic
	want := Scores{
		Truth: 4, Objects: 4, F1At50: 0.5, Precision: 0.5, Recall: 0.5, DQ: 0.5, Merges: 1,
		F1: 2. * (4 + 4) / (10 * 8), SQ: two / 3, PQ: 0.5 * (two / 3),
		AJI: (4. + 4) / (6 + 9), IoU: 9. / 10, Dice: 18. / 19, PixelError: 1. / 20,
		RandError: 1 - 2.*(9+8)/(13+8+13+16),
	}
	if r.Total != want {
		t.Errorf("total\n%+v, want\n%+v", r.Total, want)
	}
}

func TestReportCSV(t *testing.T) {
	var b bytes.Buffer
	r := exampleReport()
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 5 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, image := range r.rows() {
		row := rows[i+1]
		if row[0] != image.Name {
			t.Errorf("row %d is of %s, want %s", i, row[0], image.Name)
		}
		// By way of JSON, to see that each column holds what its name says.
		text, _ := json.Marshal(image.Scores)
		want := map[string]float64{}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		for k, name := range rows[0][1:] {
			got, err := strconv.ParseFloat(row[k+1], 64)
			if err != nil || math.Abs(got-want[name]) > 1e-6 {
				t.Errorf("%s of %s is %s, want %v", name, image.Name, row[k+1], want[name])
			}
		}
	}
	if rows[4][0] != "total" {
		t.Errorf("the last row is of %s", rows[4][0])
	}
}

func TestReportText(t *testing.T) {
	var b strings.Builder
	if err := exampleReport().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `
image                 truth  objects  F1@.5     F1    AJI     PQ     SQ  merges  splits    IoU   Dice  pixel err  Rand err
good                      2        2  1.000  0.400  0.667  0.667  0.667       0       0  1.000  1.000      0.000     0.308
naïve, with "quotes"      2        2  0.000  0.000  0.444  0.000  0.000       1       0  0.800  0.889      0.125     0.333
empty                     0        0  1.000  1.000  1.000  1.000  1.000       0       0  1.000  1.000      0.000     0.000
total                     4        4  0.500  0.200  0.533  0.333  0.667       1       0  0.900  0.947      0.050     0.320
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("%s\nwant%s", got, want)
	}
}

// A report without images is still one that can be written.
func TestReportWithoutImages(t *testing.T) {
	var b bytes.Buffer
	r := NewReport(NewDefaultFilter())
	if err := r.WriteJSON(&b); err != nil || !strings.Contains(b.String(), `"images": []`) {
		t.Errorf("%v, %s", err, b.String())
	}
}

// A writer that fails is reported.
func TestReportWriterFails(t *testing.T) {
	r := exampleReport()
	for name, write := range map[string]func() error{
		"JSON": func() error { return r.WriteJSON(full{}) },
		"CSV":  func() error { return r.WriteCSV(full{}) },
		"text": func() error { return r.WriteText(full{}) },
	} {
		if err := write(); err == nil || err.Error() != "disk full" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClassesOfAReport(t *testing.T) {
	r := NewReport(NewDefaultFilter())
	names := []string{"background", "tumour", "immune"}
	r.AddClasses(names, []byte{0, 1, 1, 2}, []byte{0, 1, 2, 2})
	r.AddClasses(names, []byte{1, 0}, []byte{1, 1})
	want := []Class{{"background", 0.5, 2.0 / 3}, {"tumour", 0.5, 2.0 / 3}, {"immune", 0.5, 2.0 / 3}}
	for i, c := range r.Classes {
		if c.Name != want[i].Name || math.Abs(c.IoU-want[i].IoU) > 1e-12 || math.Abs(c.Dice-want[i].Dice) > 1e-12 {
			t.Errorf("class %d is %+v, want %+v", i, c, want[i])
		}
	}
	var text strings.Builder
	if err := r.WriteJSON(&text); err != nil || !strings.Contains(text.String(), `"name": "immune"`) {
		t.Errorf("%v: %s", err, text.String())
	}
}
