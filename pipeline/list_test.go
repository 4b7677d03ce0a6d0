package pipeline

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// readList reads a list of that content, in a folder that also has a model.onnx and a folder nuclei. What
// comes back has "D" for the folder.
func readList(t testing.TB, dir, name, content string) (items []Item, notes []string, err error) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.WriteFile(path, []byte(content), 0o666), os.WriteFile(filepath.Join(dir, "model.onnx"), nil, 0o666), os.MkdirAll(filepath.Join(dir, "nuclei"), 0o777)); err != nil {
		t.Fatal(err)
	}
	items, notes, err = ReadList(path)
	short := func(s string) string { return strings.ReplaceAll(filepath.ToSlash(s), filepath.ToSlash(dir), "D") }
	for i := range items {
		items[i].Path, items[i].Model = short(items[i].Path), short(items[i].Model)
	}
	for i := range notes {
		notes[i] = short(notes[i])
	}
	if err != nil {
		err = errors.New(short(err.Error()))
	}
	return items, notes, err
}

func TestReadList(t *testing.T) {
	a, b := Item{Path: "D/a.svs"}, Item{Path: "D/sub/b b.svs"}
	full := Item{Path: "/x/a.svs", MPP: 0.25, Model: "D/model.onnx", Region: image.Rect(10, 20, 40, 60)}
	for _, c := range []struct {
		name, content string
		want          []Item
		note          string
	}{
		{"l.txt", "a.svs\n\n# comment\n  sub/b b.svs \n", []Item{a, b}, ""},
		{"l.TXT", "\ufeffa.svs\r\nsub/b b.svs\r\n./a.svs", []Item{a, b}, ""},
		{"l.txt", "~/a.svs\n/x/b.svs\n'a,b'", []Item{{Path: "D/~/a.svs"}, {Path: "/x/b.svs"}, {Path: "D/'a,b'"}}, ""},
		{"l.csv", "slide\na.svs\nsub/b b.svs\na.svs\n", []Item{a, b}, ""},
		{"l.csv", "\ufeffPath,MPP\r\na.svs,\r\n,\r\nsub/b b.svs,\r\n", []Item{a, b}, ""},
		{"l.csv", "region;file;model;mpp\n10 20 30 40;/x/a.svs;model.onnx;0,25\n", []Item{full}, ""},
		{"l.csv", "mpp\tmodel\tfile\tregion\n.25\tmodel.onnx\t/x/a.svs\t10,20; 30 ,40\n", []Item{full}, ""},
		{"l.csv", "slide,region,model,mpp\n\"/x/a.svs\",\"10,20,30,40\",model.onnx,2.5e-1\n", []Item{full}, ""},
		{"l.csv", "slide,model\na.svs,nuclei\n\"sub/b b.svs\",/m.onnx\n", []Item{{Path: a.Path, Model: "nuclei"}, {Path: b.Path, Model: "/m.onnx"}}, ""},
		{"l.csv", "slide,stain,\"a;b;c\",,side,mmp,mpp\na.svs,HE,,,left,1,2\n", []Item{{Path: a.Path, MPP: 2}}, `D/l.csv: columns that mean nothing here are ignored: "stain", "a;b;c", number 4, "side", "mmp"`},
		{"l.csv", "slide,\"a;b;c\"\na.svs,\n", []Item{a}, `D/l.csv: columns that mean nothing here are ignored: "a;b;c"`},
		{"l.csv", "\n\nslide\n\n\"a.svs\"\n", []Item{a}, ""},
	} {
		items, notes, err := readList(t, t.TempDir(), c.name, c.content)
		if err != nil || !slices.Equal(items, c.want) || strings.Join(notes, "|") != c.note {
			t.Errorf("%q: %+v, %q, %v", c.content, items, notes, err)
		}
	}
}

// TestReadListComplains: every error has file and line, all that is wrong is told, and nothing is taken.
func TestReadListComplains(t *testing.T) {
	const region = ": give x y width height in pixels of level 0, such as 5000 8000 4096 4096"
	for _, c := range []struct{ name, content, want string }{
		{"l.txt", "", "D/l.txt: names no slides: give a path a line"},
		{"l.txt", "# nothing\n\n", "D/l.txt: names no slides: give a path a line"},
		{"l.csv", "", "D/l.csv: names no slides: give a path a line"},
		{"l.csv", "slide,mpp\n,\n", "D/l.csv: names no slides: give a path a line"},
		{"l.xlsx", "a.svs", "D/l.xlsx: a list of slides is a .txt or a .csv file"},
		{"l.csv", "s\x00l\x00i\x00d\x00e\x00", "D/l.csv: not plain text: save the list as UTF-8"},
		{"l.csv", "a.svs\nb.svs\n", "D/l.csv line 1: no column is named slide: the first line names the columns, slide and any of mpp, model, region"},
		{"l.csv", "slide,mmp\na.svs,1\n", `D/l.csv line 1: column "mmp" looks like "mpp": call it that, or something else`},
		{"l.csv", "slide,mode,reigon,Mp\na.svs,,,\n", `D/l.csv line 1: column "mode" looks like "model": call it that, or something else
D/l.csv line 1: column "reigon" looks like "region": call it that, or something else
D/l.csv line 1: column "Mp" looks like "mpp": call it that, or something else`},
		{"l.csv", "slids\na.svs\n", `D/l.csv line 1: column "slids" looks like "slide": call it that, or something else`},
		{"l.csv", "slide,mpp,path\nS1,1,a.svs\n", `D/l.csv line 1: columns "slide" and "path" are both the slide: rename one`},
		{"l.csv", "slide,mpp\r\na.svs,1\r\nb.svs,abc\r\n\r\n,2\r\nc.svs,0\r\nd.svs,NaN\r\n", `D/l.csv line 3: mpp "abc": give micrometres a pixel, such as 0.25
D/l.csv line 5: no slide: give its path
D/l.csv line 6: mpp "0": give micrometres a pixel, such as 0.25
D/l.csv line 7: mpp "NaN": give micrometres a pixel, such as 0.25`},
		{"l.csv", "slide;mpp;region\na;-1;1 2 3\nb;;1 2 0 4\nc;;1 2 3 4 5\nd;;-1 2 3 4\ne;;1 2 3 99999999999\nf;;a b c d", `D/l.csv line 2: mpp "-1": give micrometres a pixel, such as 0.25
D/l.csv line 2: region "1 2 3"` + region + `
D/l.csv line 3: region "1 2 0 4"` + region + `
D/l.csv line 4: region "1 2 3 4 5"` + region + `
D/l.csv line 5: region "-1 2 3 4"` + region + `
D/l.csv line 6: region "1 2 3 99999999999"` + region + `
D/l.csv line 7: region "a b c d"` + region},
		{"l.csv", "slide,mpp\na.svs\nb.svs,1,2\n", `D/l.csv line 2: cells: 1, the first line has 2: leave one empty for the run's own, put one with a separator in quotes
D/l.csv line 3: cells: 3, the first line has 2: leave one empty for the run's own, put one with a separator in quotes`},
		{"l.csv", "slide,mpp\na.svs,1\nsub/../a.svs,2\n", `D/l.csv line 3: line 2 has the same slide with other values: keep one of them`},
		{"l.csv", "slide\n\"a\nb.svs\"\nc\"d\n", `D/l.csv line 2: slide "a\nb.svs": a path is on one line
D/l.csv line 4: bare " in non-quoted-field: put the cell in quotes, and double those within`},
	} {
		items, notes, err := readList(t, t.TempDir(), c.name, c.content)
		if err == nil || err.Error() != c.want || items != nil || notes != nil {
			t.Errorf("%q: %v, %v:\n%v\nwant\n%s", c.content, items, notes, err, c.want)
		}
	}
	_, _, err := readList(t, t.TempDir(), "l.csv", "slide,mpp\n"+strings.Repeat("a,x\n", 25))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 11 || !strings.HasPrefix(lines[9], "D/l.csv line 11: ") || lines[10] != "and 15 more" {
		t.Errorf("%q", lines)
	}
	if _, _, err := ReadList(filepath.Join(t.TempDir(), "none.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := ReadList(t.TempDir()); err == nil {
		t.Error("a folder is a list")
	}
}

// TestReadListReadsWhatIsWritten writes any table in any of the ways that programs write tables.
func TestReadListReadsWhatIsWritten(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		columns := rapid.Permutation([]string{"Slide", "mpp", "MODEL", "region", "patient"}).Draw(rt, "columns")
		between := rapid.SampledFrom([]string{" ", ", ", ";"}).Draw(rt, "between")
		var b bytes.Buffer
		b.WriteString(rapid.SampledFrom([]string{"", "\ufeff"}).Draw(rt, "mark"))
		w := csv.NewWriter(&b)
		w.Comma = rapid.SampledFrom([]rune{',', ';', '\t'}).Draw(rt, "comma")
		w.UseCRLF = rapid.Bool().Draw(rt, "crlf")
		w.Write(columns)
		var want []Item
		for i := range rapid.IntRange(1, 8).Draw(rt, "rows") {
			it := Item{Path: rapid.StringMatching(`[a-zA-Z0-9 ,;"'é\t#]{0,12}x`).Draw(rt, "path") + fmt.Sprint(i)}
			cells := map[string]string{"Slide": it.Path, "patient": rapid.StringMatching(`[a-z,;" \n]{0,5}`).Draw(rt, "patient")}
			it.Path = "D/" + strings.TrimSpace(it.Path)
			if rapid.Bool().Draw(rt, "has mpp") {
				it.MPP = rapid.Float64Range(0.01, 100).Draw(rt, "mpp")
				cells["mpp"] = fmt.Sprint(it.MPP)
			}
			it.Model = rapid.SampledFrom([]string{"", "nuclei", "/m.onnx"}).Draw(rt, "model")
			cells["MODEL"] = it.Model
			if rapid.Bool().Draw(rt, "has region") {
				n := rapid.SliceOfN(rapid.IntRange(1, 1<<20), 4, 4).Draw(rt, "region")
				it.Region = image.Rect(n[0], n[1], n[0]+n[2], n[1]+n[3])
				cells["region"] = strings.Trim(strings.ReplaceAll(fmt.Sprint(n), " ", between), "[]")
			}
			var row []string
			for _, c := range columns {
				row = append(row, cells[c])
			}
			w.Write(row)
			want = append(want, it)
		}
		w.Flush()
		items, notes, err := readList(t, dir, "l.csv", b.String())
		if err != nil || len(notes) != 1 || !slices.Equal(items, want) {
			rt.Fatalf("%q:\n%+v\n%v %v, want\n%+v", b.String(), items, notes, err, want)
		}
	})
}

func FuzzReadList(f *testing.F) {
	for _, s := range []string{
		"slide,mpp,model,region\na.svs,0.25,nuclei,1 2 3 4\n", "a.svs\n# b\n", "\ufeffpath;mpp\r\na;0,5\r\n", "file\tmmp\n\"", "slide\n\"a\"b\n,,,\n",
		"slide,slide\n", "region,slide\n1 2 3 4 5,a\n", ",,\n\n\n", "slide\r\"\r\n\"", "slide\nD\nD/\n..\n",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content string, table bool) {
		name := "l.txt"
		if table {
			name = "l.csv"
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		items, notes, err := ReadList(path)
		if err != nil {
			lines := strings.Split(err.Error(), "\n")
			for i, line := range lines {
				if !strings.HasPrefix(line, path) && (i != maxComplaints || !strings.HasPrefix(line, "and ")) {
					t.Fatalf("%q: %q", content, lines)
				}
			}
			if len(lines) > maxComplaints+1 || items != nil || notes != nil {
				t.Fatalf("%q: %q, %v, %v", content, lines, items, notes)
			}
			return
		}
		seen := map[string]bool{}
		for _, it := range items {
			if !filepath.IsAbs(it.Path) || seen[it.Path] || it.MPP != 0 && !(it.MPP >= 0.01 && it.MPP <= 100) || it.Region != it.Region.Canon() || it.Region != (image.Rectangle{}) && it.Region.Empty() {
				t.Fatalf("%q: %+v", content, items)
			}
			seen[it.Path] = true
		}
		if len(items) == 0 {
			t.Fatalf("%q: no slides, no error", content)
		}
	})
}
