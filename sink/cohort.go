package sink

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A CohortRow is a slide in cohort.csv: what the table needs of its summary and no more, as a run of
// thousands of slides keeps all of them.
type CohortRow struct {
	Slide   string // path
	Result  string // folder
	Status  string // "done", or "kept" from an earlier run
	Width   int    // of the mask, px
	Height  int
	MPP     float64 // µm a pixel of the mask; 0: unknown
	Pixels  int64   // of the mask
	Known   bool    // the summary counts tissue: those of earlier versions do not
	Tissue  int64   // px
	Unread  int64   // px
	Seconds float64
	Classes []ClassArea // background and unread left out
}

// A ClassArea is what a model labelled with a class of that name.
type ClassArea struct {
	Name   string
	Pixels int64
}

// NewCohortRow returns the row of a slide whose results lie in dir.
func NewCohortRow(status, dir string, s *Summary) CohortRow {
	row := CohortRow{
		Slide: s.Slide.Path, Result: dir, Status: status, Width: s.Mask.Width, Height: s.Mask.Height, MPP: s.Mask.MPP,
		Pixels: s.Coverage.Expected, Known: s.Tissue.Source != "", Tissue: s.Coverage.Tissue, Unread: s.Coverage.Unread, Seconds: s.Seconds,
	}
	for _, c := range s.Classes {
		if c.Label != 0 && c.Label != Unread {
			row.Classes = append(row.Classes, ClassArea{c.Name, c.Pixels})
		}
	}
	return row
}

// MM2 returns the area of pixels of the mask, in mm²; NaN: the resolution is unknown.
func (r CohortRow) MM2(pixels int64) float64 {
	if r.MPP == 0 {
		return math.NaN()
	}
	return float64(pixels) * r.MPP * r.MPP / 1e6
}

var cohortColumns = []string{
	"slide", "result", "status", "width", "height", "mpp", "mm2", "tissue_px", "tissue_mm2", "tissue_fraction", "unread_px", "seconds",
}

// WriteCohort writes a table with a row a slide, as comma-separated values with a line of names: of the
// mask the size in pixels, its µm a pixel and mm²; of tissue px, mm² and share of the mask; pixels that
// could not be read; seconds; and of each class px, mm² and share of the pixels of tissue, which a margin
// around it may bring above 1. Classes stand in the order in which they come first; those of one name share
// columns, whichever model they are of. A cell is empty where a value is not known: areas without a
// resolution, tissue of earlier versions, a class that the slide's model does not have.
func WriteCohort(fsys FileSystem, path string, rows []CohortRow) error {
	var classes []string
	at := map[string]int{} // in classes
	for _, r := range rows {
		for _, c := range r.Classes {
			if _, ok := at[c.Name]; !ok {
				at[c.Name] = len(classes)
				classes = append(classes, c.Name)
			}
		}
	}
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	_ = w.Write(append(cohortColumns[:len(cohortColumns):len(cohortColumns)], classColumns(classes)...)) // to memory
	for _, r := range rows {
		tissue, tissueMM2, tissueShare := "", "", ""
		if r.Known {
			tissue, tissueMM2, tissueShare = integer(r.Tissue), number(r.MM2(r.Tissue)), number(float64(r.Tissue)/float64(r.Pixels))
		}
		mpp := ""
		if r.MPP != 0 {
			mpp = strconv.FormatFloat(r.MPP, 'g', -1, 64)
		}
		line := []string{
			r.Slide, r.Result, r.Status, strconv.Itoa(r.Width), strconv.Itoa(r.Height), mpp, number(r.MM2(r.Pixels)),
			tissue, tissueMM2, tissueShare, integer(r.Unread), strconv.FormatFloat(r.Seconds, 'f', 3, 64),
		}
		pixels, has := make([]int64, len(classes)), make([]bool, len(classes))
		for _, c := range r.Classes {
			pixels[at[c.Name]] += c.Pixels // a model may have a name twice
			has[at[c.Name]] = true
		}
		for i, px := range pixels {
			switch {
			case !has[i]:
				line = append(line, "", "", "")
			case !r.Known:
				line = append(line, integer(px), number(r.MM2(px)), "")
			default:
				line = append(line, integer(px), number(r.MM2(px)), number(float64(px)/float64(r.Tissue)))
			}
		}
		_ = w.Write(line)
	}
	w.Flush()
	return writeShared(fsys, path, buf.Bytes())
}

// classColumns returns the names of the columns of classes, no two alike: a class may be called tissue.
func classColumns(classes []string) []string {
	taken := map[string]bool{}
	for _, c := range cohortColumns {
		taken[c] = true
	}
	var all []string
	for _, class := range classes {
		for taken[class+"_px"] || taken[class+"_mm2"] || taken[class+"_of_tissue"] {
			class += "_class"
		}
		for _, what := range []string{"_px", "_mm2", "_of_tissue"} {
			all = append(all, class+what)
			taken[class+what] = true
		}
	}
	return all
}

func integer(n int64) string { return strconv.FormatInt(n, 10) }

// number writes areas and shares; what is none, such as a share of nothing, is empty.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// A Failure is a slide that has no results, and why.
type Failure struct {
	Slide string
	Stage string
	Tile  string // x y w h, in pixels of the mask; "": not of a tile
	Err   string
}

// WriteFailures writes a table with a row a failure, as WriteCohort does. Without failures there is no
// file: one of an earlier run is removed.
func WriteFailures(fsys FileSystem, path string, failures []Failure) error {
	if len(failures) == 0 {
		if err := fsys.Remove(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return advise(err)
		}
		return advise(fsys.SyncDir(filepath.Dir(path)))
	}
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	_ = w.Write([]string{"slide", "stage", "tile", "error"}) // to memory
	for _, f := range failures {
		_ = w.Write([]string{f.Slide, f.Stage, f.Tile, strings.Join(strings.FieldsFunc(f.Err, newline), "; ")})
	}
	w.Flush()
	return writeShared(fsys, path, buf.Bytes())
}

func newline(r rune) bool { return r == '\n' || r == '\r' }

// A Run is what run.json says of a run over slides. Results that differ between two runs differ because
// something here does, or in a slide's summary.json.
type Run struct {
	Status    string    `json:"status"` // "done", "some failed", "failed" or "interrupted"
	Notice    string    `json:"notice"`
	Version   string    `json:"version"`
	Arguments []string  `json:"arguments"`
	Host      string    `json:"host"`
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended"`
	Seconds   float64   `json:"seconds"`

	Slides    RunSlides         `json:"slides"`
	Shard     string            `json:"shard,omitempty"` // i/n: which part of the slides this run had
	Memory    int64             `json:"memory_limit"`    // bytes
	Models    []RunModel        `json:"models"`
	Libraries map[string]string `json:"libraries"` // versions, by name
	Config    any               `json:"config"`    // flags and files, as they were understood
}

// RunSlides counts slides by how they ended. The rest of Total was not reached.
type RunSlides struct {
	Total  int `json:"total"`
	Done   int `json:"done"`
	Kept   int `json:"kept"` // of earlier runs
	Failed int `json:"failed"`
}

// RunModel says which model was used, and on what it ran.
type RunModel struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of the file
	Engine string `json:"engine"`
}

// WriteRun writes r as JSON. An empty notice becomes [Notice].
func WriteRun(fsys FileSystem, path string, r Run) error {
	r.Notice = cmp.Or(r.Notice, Notice)
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeShared(fsys, path, append(data, '\n'))
}
