package score

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Scores are the metrics of an image, or of several together; see the package comment.
type Scores struct {
	Truth      int     `json:"truth"`   // true objects
	Objects    int     `json:"objects"` // found ones
	F1At50     float64 `json:"f1_50"`
	Precision  float64 `json:"precision"` // at IoU 0.5
	Recall     float64 `json:"recall"`    // at IoU 0.5
	F1         float64 `json:"f1"`        // mean of IoU 0.50 to 0.95
	AJI        float64 `json:"aji"`
	PQ         float64 `json:"pq"`
	DQ         float64 `json:"dq"`
	SQ         float64 `json:"sq"`
	Merges     int     `json:"merges"`
	Splits     int     `json:"splits"`
	IoU        float64 `json:"iou"` // of pixels
	Dice       float64 `json:"dice"`
	PixelError float64 `json:"pixel_error"`
	RandError  float64 `json:"rand_error"`
}

// Scores computes all metrics.
func (c Counts) Scores() Scores {
	o := c.Objects
	return Scores{
		Truth: o.Truth, Objects: o.Found,
		F1At50: o.F1At50(), Precision: o.Precision(), Recall: o.Recall(), F1: o.F1(),
		AJI: o.AJI(), PQ: o.PQ(), DQ: o.F1At50(), SQ: o.SQ(),
		Merges: o.Merges, Splits: o.Splits,
		IoU: c.Pixels.IoU(), Dice: c.Pixels.Dice(), PixelError: c.Pixels.Error(),
		RandError: c.Rand.Error(),
	}
}

// A Report holds the scores of images and of all together.
type Report struct {
	Filter  Filter  `json:"filter"` // that found the objects
	Images  []Image `json:"images"`
	Total   Scores  `json:"total"`
	Classes []Class `json:"classes,omitempty"` // background first, where classes are told apart
	sum     Counts
	pixels  []Pixels // by class
}

// A Class is how well the pixels of one class agree, in all images together.
type Class struct {
	Name string  `json:"name"`
	IoU  float64 `json:"iou"`
	Dice float64 `json:"dice"`
}

// An Image is a row of a Report.
type Image struct {
	Name string `json:"name"`
	Scores
}

// NewReport returns a report without images.
func NewReport(f Filter) *Report {
	return &Report{Filter: f, Images: []Image{}, Total: Counts{}.Scores()}
}

// Add adds an image.
func (r *Report) Add(name string, c Counts) {
	r.sum.Add(c)
	r.Images = append(r.Images, Image{name, c.Scores()})
	r.Total = r.sum.Scores()
}

// AddClasses adds the classes of the pixels of an image, those of the truth and those that were predicted: a byte a pixel, which
// is an index of names.
func (r *Report) AddClasses(names []string, truth, predicted []byte) {
	if r.Classes == nil {
		r.Classes, r.pixels = make([]Class, len(names)), make([]Pixels, len(names))
	}
	for i, name := range names {
		r.pixels[i].Add(PixelsOf(byte(i), truth, predicted))
		r.Classes[i] = Class{name, r.pixels[i].IoU(), r.pixels[i].Dice()}
	}
}

// WriteJSON writes the report as one indented JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// columns are those of tables: the names are the keys of the JSON, the headings are for people.
var columns = []struct {
	name, heading string // without heading: not on a terminal
	of            func(Scores) any
}{
	{"truth", "truth", func(s Scores) any { return s.Truth }},
	{"objects", "objects", func(s Scores) any { return s.Objects }},
	{"f1_50", "F1@.5", func(s Scores) any { return s.F1At50 }},
	{"precision", "", func(s Scores) any { return s.Precision }},
	{"recall", "", func(s Scores) any { return s.Recall }},
	{"f1", "F1", func(s Scores) any { return s.F1 }},
	{"aji", "AJI", func(s Scores) any { return s.AJI }},
	{"pq", "PQ", func(s Scores) any { return s.PQ }},
	{"dq", "", func(s Scores) any { return s.DQ }},
	{"sq", "SQ", func(s Scores) any { return s.SQ }},
	{"merges", "merges", func(s Scores) any { return s.Merges }},
	{"splits", "splits", func(s Scores) any { return s.Splits }},
	{"iou", "IoU", func(s Scores) any { return s.IoU }},
	{"dice", "Dice", func(s Scores) any { return s.Dice }},
	{"pixel_error", "pixel err", func(s Scores) any { return s.PixelError }},
	{"rand_error", "Rand err", func(s Scores) any { return s.RandError }},
}

// rows are the images, and then the total under that name.
func (r *Report) rows() []Image {
	return append(r.Images[:len(r.Images):len(r.Images)], Image{"total", r.Total})
}

// WriteCSV writes a line of names, a line an image, and last a line named total.
func (r *Report) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	line := []string{"name"}
	for _, col := range columns {
		line = append(line, col.name)
	}
	err := c.Write(line)
	for _, image := range r.rows() {
		line = append(line[:0], image.Name)
		for _, col := range columns {
			switch v := col.of(image.Scores).(type) {
			case float64:
				line = append(line, strconv.FormatFloat(v, 'f', 6, 64))
			default:
				line = append(line, fmt.Sprint(v))
			}
		}
		if err == nil {
			err = c.Write(line)
		}
	}
	c.Flush()
	if err == nil {
		err = c.Error()
	}
	return err
}

// WriteText writes the same as a table for a terminal, to three digits and without what others imply.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := []string{"image"}
	for _, col := range columns {
		if col.heading != "" {
			line = append(line, fmt.Sprintf("%5s", col.heading))
		}
	}
	_, err := fmt.Fprintln(t, strings.Join(line, "\t"))
	for _, image := range r.rows() {
		line = append(line[:0], image.Name)
		for _, col := range columns {
			if col.heading == "" {
				continue
			}
			format := "%*v"
			if _, ok := col.of(image.Scores).(float64); ok {
				format = "%*.3f"
			}
			line = append(line, fmt.Sprintf(format, max(5, len(col.heading)), col.of(image.Scores)))
		}
		if err == nil {
			_, err = fmt.Fprintln(t, strings.Join(line, "\t"))
		}
	}
	if err != nil {
		return err
	}
	return t.Flush()
}
