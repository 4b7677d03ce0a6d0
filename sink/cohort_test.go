package sink

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// table reads a table by columns.
func table(t *testing.T, path string) (names []string, rows []map[string]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll() // all as long as the first
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			if _, twice := row[name]; twice {
				t.Errorf("two columns are named %q", name)
			}
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return lines[0], rows
}

// slideSummary is the summary of a mask of 2000 × 1000 pixels, a quarter of it tissue.
func slideSummary(path string, mpp float64, classes ...ClassSummary) *Summary {
	return &Summary{
		Slide: SlideSummary{Path: path}, Mask: MaskSummary{Width: 2000, Height: 1000, MPP: mpp}, Seconds: 12.3456,
		Coverage: CoverageSummary{Expected: 2e6, Written: 2e6, Tissue: 5e5, Inferred: 8e5, Skipped: 1199e3, Unread: 1000},
		Tissue:   TissueSummary{Source: "auto"},
		Classes:  append([]ClassSummary{{Label: 0, Name: "background", Pixels: 1}}, classes...),
	}
}

func TestCohort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cohort.csv")
	old := slideSummary("/slides/old.svs", 0.25, ClassSummary{Label: 1, Name: "nucleus", Pixels: 4000})
	old.Tissue, old.Coverage = TissueSummary{}, CoverageSummary{Expected: 2e6, Written: 2e6}
	glass := slideSummary("/slides/glass.svs", 0.5, ClassSummary{Label: 1, Name: "nucleus"})
	glass.Coverage.Tissue = 0
	rows := []CohortRow{
		NewCohortRow("done", "/out/a", slideSummary("/slides/a, \"b\"\nc.svs", 0.5, ClassSummary{Label: 1, Name: "nucleus", Pixels: 12345})),
		NewCohortRow("kept", "/out/d", slideSummary("=d.svs", 0, // no resolution
			ClassSummary{Label: 1, Name: "tissue", Pixels: 7}, ClassSummary{Label: 2, Name: "nucleus", Pixels: 100},
			ClassSummary{Label: 3, Name: "nucleus", Pixels: 1}, ClassSummary{Label: Unread, Name: "unread", Pixels: 1000})),
		NewCohortRow("kept", "/out/old", old),
		NewCohortRow("done", "/out/glass", glass),
	}
	if err := WriteCohort(Disk, path, rows); err != nil {
		t.Fatal(err)
	}
	names, got := table(t, path)
	if want := slices.Concat(cohortColumns, []string{"nucleus_px", "nucleus_mm2", "nucleus_of_tissue", "tissue_class_px", "tissue_class_mm2", "tissue_class_of_tissue"}); !slices.Equal(names, want) {
		t.Errorf("columns\n%v, want\n%v", names, want)
	}
	for i, want := range []map[string]string{
		{
			"slide": "/slides/a, \"b\"\nc.svs", "result": "/out/a", "status": "done", "width": "2000", "height": "1000", "mpp": "0.5", "mm2": "0.5",
			"tissue_px": "500000", "tissue_mm2": "0.125", "tissue_fraction": "0.25", "unread_px": "1000", "seconds": "12.346",
			"nucleus_px": "12345", "nucleus_mm2": "0.00308625", "nucleus_of_tissue": "0.02469", "tissue_class_px": "", "tissue_class_mm2": "", "tissue_class_of_tissue": "",
		},
		{
			"slide": "=d.svs", "result": "/out/d", "status": "kept", "width": "2000", "height": "1000", "mpp": "", "mm2": "",
			"tissue_px": "500000", "tissue_mm2": "", "tissue_fraction": "0.25", "unread_px": "1000", "seconds": "12.346",
			"nucleus_px": "101", "nucleus_mm2": "", "nucleus_of_tissue": "0.000202", "tissue_class_px": "7", "tissue_class_mm2": "", "tissue_class_of_tissue": "1.4e-05",
		},
		{
			"slide": "/slides/old.svs", "result": "/out/old", "status": "kept", "width": "2000", "height": "1000", "mpp": "0.25", "mm2": "0.125",
			"tissue_px": "", "tissue_mm2": "", "tissue_fraction": "", "unread_px": "0", "seconds": "12.346",
			"nucleus_px": "4000", "nucleus_mm2": "0.00025", "nucleus_of_tissue": "", "tissue_class_px": "", "tissue_class_mm2": "", "tissue_class_of_tissue": "",
		},
		{
			"slide": "/slides/glass.svs", "result": "/out/glass", "status": "done", "width": "2000", "height": "1000", "mpp": "0.5", "mm2": "0.5",
			"tissue_px": "0", "tissue_mm2": "0", "tissue_fraction": "0", "unread_px": "1000", "seconds": "12.346",
			"nucleus_px": "0", "nucleus_mm2": "0", "nucleus_of_tissue": "", "tissue_class_px": "", "tissue_class_mm2": "", "tissue_class_of_tissue": "",
		},
	} {
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("row %d is\n%v, want\n%v", i, got[i], want)
		}
	}
	if got := left(t, filepath.Dir(path)); !slices.Equal(got, []string{"cohort.csv"}) {
		t.Errorf("left %v", got)
	}
	if err := WriteCohort(Disk, path, nil); err != nil {
		t.Fatal(err)
	}
	if names, rows := table(t, path); !slices.Equal(names, cohortColumns) || rows != nil {
		t.Errorf("without slides: %v, %v", names, rows)
	}
}

// TestCohortReadsBack: whatever names slides and classes have, columns are told apart and values are where
// they belong.
func TestCohortReadsBack(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.OneOf(
			rapid.SampledFrom([]string{"tissue", "unread", "tissue_class", "a", "a_px", "a_of", "a_of_tissue", "", `"`, ",", "\n", "=1+1", " x ", "Zellkern – groß"}),
			rapid.StringOf(rapid.Rune().Filter(func(c rune) bool { return c != '\r' }))) // the reader turns \r\n into \n
		var rows []CohortRow
		for i := range rapid.IntRange(0, 5).Draw(r, "slides") {
			s := slideSummary(text.Draw(r, "slide"), rapid.SampledFrom([]float64{0, 0.25, 1.0 / 3}).Draw(r, "mpp"))
			s.Coverage.Tissue = rapid.Int64Range(0, 2e6).Draw(r, "tissue")
			for label := range rapid.IntRange(0, 4).Draw(r, "classes") {
				s.Classes = append(s.Classes, ClassSummary{Label: 1 + label, Name: text.Draw(r, "class"), Pixels: rapid.Int64Range(0, 1<<50).Draw(r, "pixels")})
			}
			rows = append(rows, NewCohortRow("done", fmt.Sprint("/out/", i), s))
		}
		path := filepath.Join(dir, "cohort.csv")
		if err := WriteCohort(Disk, path, rows); err != nil {
			r.Fatal(err)
		}
		names, got := table(t, path)
		if len(got) != len(rows) {
			r.Fatalf("%d rows, want %d", len(got), len(rows))
		}
		seen := map[string]bool{}
		for _, name := range names {
			if seen[name] {
				r.Fatalf("two columns are named %q", name)
			}
			seen[name] = true
		}
		var order []string
		for _, row := range rows {
			for _, c := range row.Classes {
				if !slices.Contains(order, c.Name) {
					order = append(order, c.Name)
				}
			}
		}
		for i, row := range rows {
			if got[i]["slide"] != row.Slide {
				r.Fatalf("slide %q became %q", row.Slide, got[i]["slide"])
			}
			sums := map[string]int64{}
			for _, c := range row.Classes {
				sums[c.Name] += c.Pixels
			}
			for n, name := range order {
				columns := names[len(cohortColumns)+3*n:][:3]
				px, mm2, share := got[i][columns[0]], got[i][columns[1]], got[i][columns[2]]
				if !strings.HasPrefix(columns[0], name) || !strings.HasSuffix(columns[0], "_px") {
					r.Fatalf("class %q is in column %q", name, columns[0])
				}
				sum, has := sums[name]
				if (px != "") != has || has && px != strconv.FormatInt(sum, 10) {
					r.Fatalf("slide %d has %q pixels of %q, want %d", i, px, name, sum)
				}
				near(r, mm2, has && row.MPP > 0, float64(sum)*row.MPP*row.MPP/1e6)
				near(r, share, has && row.Tissue > 0, float64(sum)/float64(row.Tissue))
			}
		}
	})
}

// near checks a cell for a value, or for nothing.
func near(t *rapid.T, cell string, has bool, want float64) {
	v, err := strconv.ParseFloat(cell, 64)
	if !has && cell != "" || has && (err != nil || math.Abs(v-want) > 1e-5*want) {
		t.Fatalf("cell %q, want %g: %v", cell, want, has)
	}
}

// TestTablesInPython: another reader finds the same cells.
func TestTablesInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not here to read the tables")
	}
	dir := t.TempDir()
	want := []string{"/a, b.svs", "/\"c\".svs", "/d\ne.svs", "/f\r\ng.svs", "/ h ", "=1+1", "@x", "/größe;\t.svs", `\.`}
	var rows []CohortRow
	var failures []Failure
	for _, path := range want {
		rows = append(rows, NewCohortRow("done", "/out", slideSummary(path, 0.5, ClassSummary{Label: 1, Name: "a, " + path, Pixels: 3})))
		failures = append(failures, Failure{path, "read", "1 2 3 4", "line one\nline two, \"quoted\"\r\n"})
	}
	if err := WriteCohort(Disk, filepath.Join(dir, "cohort.csv"), rows); err != nil {
		t.Fatal(err)
	}
	if err := WriteFailures(Disk, filepath.Join(dir, "failures.csv"), failures); err != nil {
		t.Fatal(err)
	}
	read := func(name string) (lines [][]string) {
		out, err := exec.Command(python, "-c", "import csv,json,sys; print(json.dumps(list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8')))))", filepath.Join(dir, name)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &lines); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	cohort := read("cohort.csv")
	for i, path := range want {
		row, fixed := cohort[1+i], len(cohortColumns)
		if len(row) != fixed+3*len(want) || row[0] != path || cohort[0][fixed+3*i] != "a, "+path+"_px" || row[fixed+3*i] != "3" {
			t.Errorf("%q is read as %q", path, row)
		}
	}
	got := read("failures.csv")
	if !slices.Equal(got[0], []string{"slide", "stage", "tile", "error"}) {
		t.Errorf("columns %q", got[0])
	}
	for i, path := range want {
		if !slices.Equal(got[1+i], []string{path, "read", "1 2 3 4", `line one; line two, "quoted"`}) {
			t.Errorf("%q is read as %q", path, got[1+i])
		}
	}
}

// TestFailuresGo: a run without failures leaves no table of an earlier one.
func TestFailuresGo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "failures.csv")
	for range 2 {
		if err := WriteFailures(Disk, path, nil); err != nil {
			t.Fatal(err)
		}
		if got := left(t, dir); len(got) > 0 {
			t.Errorf("left %v", got)
		}
		if err := WriteFailures(Disk, path, []Failure{{Slide: "/a"}}); err != nil {
			t.Fatal(err)
		}
		if got := left(t, dir); !slices.Equal(got, []string{"failures.csv"}) {
			t.Errorf("left %v", got)
		}
	}
	if err := WriteFailures(Disk, filepath.Join(path, "failures.csv"), nil); err == nil {
		t.Error("a folder that cannot be there")
	}
}

func TestRunJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.json")
	var want Run
	v := reflect.ValueOf(&want).Elem()
	n := new(int)
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.Interface && v.Type().Field(i).Name != "Libraries" {
			fill(v.Field(i), n)
		}
	}
	want.Libraries = map[string]string{"libvips": "8.14"}
	want.Config = map[string]any{"tissue": "auto", "workers": 2.0}
	if err := WriteRun(Disk, path, want); err != nil {
		t.Fatal(err)
	}
	var got Run
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil || !reflect.DeepEqual(got, want) || !strings.HasPrefix(string(data), "{\n  \"status\": ") || !strings.HasSuffix(string(data), "}\n") {
		t.Errorf("%v\n%s\nread %+v, want %+v", err, data, got, want)
	}
	if err := WriteRun(Disk, path, Run{Config: func() {}}); err == nil {
		t.Error("a config that is no data")
	}
	if err := WriteRun(Disk, path, Run{Status: "done"}); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); !strings.Contains(string(data), Notice) || strings.Contains(string(data), "shard") {
		t.Errorf("%s", data)
	}
}

// TestSharedFiles: two that write a table at the same time write whole ones; what a killed one left goes
// when it is old, and not before.
func TestSharedFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cohort.csv")
	texts := []string{strings.Repeat("a", 1<<16), strings.Repeat("b", 1<<16)}
	done := make(chan error)
	for _, text := range texts {
		go func() {
			var err error
			for range 100 {
				err = errors.Join(err, writeShared(quick{}, path, []byte(text)))
			}
			done <- err
		}()
	}
	for running := 2; running > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			running--
		default:
			if data, err := os.ReadFile(path); err == nil && !slices.Contains(texts, string(data)) {
				t.Fatal("half a table was read")
			}
		}
	}
	if got := left(t, dir); !slices.Equal(got, []string{"cohort.csv"}) {
		t.Errorf("left %v", got)
	}
	if err := os.Mkdir(filepath.Join(dir, PartialDir), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, ago := range map[string]time.Duration{"cohort.csv.OLD": 2 * deadAfter, "cohort.csv.YOUNG": deadAfter / 2, "run.json.OLD": 2 * deadAfter} {
		file, when := filepath.Join(dir, PartialDir, name), time.Now().Add(-ago)
		if err := errors.Join(os.WriteFile(file, nil, 0o666), os.Chtimes(file, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeShared(Disk, path, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := left(t, dir), []string{".partial", ".partial/cohort.csv.YOUNG", ".partial/run.json.OLD", "cohort.csv"}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}
