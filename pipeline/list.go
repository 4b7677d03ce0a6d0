package pipeline

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	maxList       = 64 << 20 // bytes, some hundred thousand slides
	maxComplaints = 10
)

// ReadList reads a list of slides. In a .txt each line is a path; empty lines, and those that begin with #,
// are passed over. A .csv, with commas, semicolons or tabs, begins with a line that names its columns,
// in any order:
//
//	slide    path of a slide; also path or file
//	mpp      its µm a pixel at level 0
//	model    built-in model, or a file
//	region   x y width height of what is segmented, px of level 0
//
// An empty cell leaves it to the run. Paths are relative to the list's folder; a model that is no file there
// is taken as it is given. Equal lines count once. Whether slides exist is not looked at.
//
// notes are what the user should know of a list that can be used: columns that are ignored. An error
// joins what is wrong with the list, each with file and line, the first ten at most.
func ReadList(path string) (items []Item, notes []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("the list cannot be read: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxList+1))
	if err != nil {
		return nil, nil, fmt.Errorf("the list cannot be read: %w", err)
	}
	l := list{name: path, dir: filepath.Dir(path), seen: map[string]int{}}
	l.read(b)
	if l.wrong == 0 && len(l.items) == 0 {
		l.complain(0, "names no slides: give a path a line")
	}
	if n := l.wrong - len(l.complaints); n > 0 {
		l.complaints = append(l.complaints, fmt.Errorf("and %d more", n))
	}
	if l.wrong > 0 {
		return nil, nil, errors.Join(l.complaints...)
	}
	return l.items, l.notes, nil
}

// A list is what is read of one so far.
type list struct {
	name, dir  string
	items      []Item
	lines      []int          // of items
	seen       map[string]int // which item a path is
	notes      []string
	complaints []error // the first
	wrong      int     // complaints in all
}

// complain says what is wrong with a line; 0 is the file as a whole.
func (l *list) complain(line int, format string, args ...any) {
	if l.wrong++; l.wrong > maxComplaints {
		return
	}
	where := l.name
	if line > 0 {
		where += fmt.Sprintf(" line %d", line)
	}
	l.complaints = append(l.complaints, fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...)))
}

// add adds the slide of a line.
func (l *list) add(line int, it Item) {
	if !filepath.IsAbs(it.Path) {
		it.Path = filepath.Join(l.dir, it.Path)
	}
	it.Path = filepath.Clean(it.Path)
	i, twice := l.seen[it.Path]
	switch {
	case !twice:
		l.seen[it.Path] = len(l.items)
		l.items, l.lines = append(l.items, it), append(l.lines, line)
	case l.items[i] != it:
		l.complain(line, "line %d has the same slide with other values: keep one of them", l.lines[i])
	}
}

func (l *list) read(b []byte) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	switch ext := strings.ToLower(filepath.Ext(l.name)); {
	case len(b) > maxList:
		l.complain(0, "larger than a list of slides can be: give a .txt or .csv file")
	case bytes.IndexByte(b, 0) >= 0:
		l.complain(0, "not plain text: save the list as UTF-8")
	case ext == ".txt":
		l.readText(b)
	case ext == ".csv":
		l.readTable(b)
	default:
		l.complain(0, "a list of slides is a .txt or a .csv file")
	}
}

func (l *list) readText(b []byte) {
	n := 0
	for line := range bytes.Lines(b) {
		n++
		if p := string(bytes.TrimSpace(line)); p != "" && p[0] != '#' {
			l.add(n, Item{Path: p})
		}
	}
}

func (l *list) readTable(b []byte) {
	r := csv.NewReader(bytes.NewReader(b))
	r.Comma = separator(b)
	r.FieldsPerRecord = -1
	var columns map[string]int
	width := 0
	for {
		row, err := r.Read()
		var bad *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.As(err, &bad):
			l.complain(bad.Line, "%w: put the cell in quotes, and double those within", bad.Err)
			if columns == nil {
				return
			}
			continue
		case err != nil:
			l.complain(0, "%w", err)
			return
		}
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		line, _ := r.FieldPos(0)
		switch {
		case columns == nil:
			if columns = l.header(line, row); columns == nil {
				return
			}
			width = len(row)
		case !slices.ContainsFunc(row, func(cell string) bool { return cell != "" }):
		case len(row) != width:
			l.complain(line, "cells: %d, the first line has %d: leave one empty for the run's own, put one with a separator in quotes", len(row), width)
		default:
			l.row(line, row, columns)
		}
	}
}

// separator returns what separates the cells of a table: what is most frequent in its first line, outside
// of quotes.
func separator(b []byte) rune {
	line, _, _ := bytes.Cut(bytes.TrimLeft(b, "\r\n"), []byte("\n"))
	separators := []rune{',', ';', '\t'}
	counts := make([]int, len(separators))
	quoted := false
	for _, r := range string(line) {
		quoted = quoted != (r == '"')
		if i := slices.Index(separators, r); i >= 0 && !quoted {
			counts[i]++
		}
	}
	return separators[slices.Index(counts, slices.Max(counts))]
}

// columnNames are the columns of a list, each with the words for it.
var columnNames = map[string][]string{
	"slide":  {"slide", "path", "file"},
	"mpp":    {"mpp"},
	"model":  {"model"},
	"region": {"region"},
}

// header returns which column is what, or nil where the list cannot be read without knowing.
func (l *list) header(line int, row []string) map[string]int {
	columns, before := map[string]int{}, l.wrong
	var unknown []int
	for i, cell := range row {
		known := false
		for column, words := range columnNames {
			if !slices.Contains(words, strings.ToLower(cell)) {
				continue
			}
			known = true
			if first, twice := columns[column]; twice {
				l.complain(line, "columns %q and %q are both the %s: rename one", row[first], cell, column)
				continue
			}
			columns[column] = i
		}
		if !known {
			unknown = append(unknown, i)
		}
	}
	var ignored []string
	for _, i := range unknown {
		if meant := meant(row[i], columns); meant != "" {
			l.complain(line, "column %q looks like %q: call it that, or something else", row[i], meant)
			continue
		}
		if row[i] == "" {
			ignored = append(ignored, fmt.Sprintf("number %d", i+1))
			continue
		}
		ignored = append(ignored, strconv.Quote(row[i]))
	}
	if _, ok := columns["slide"]; !ok && l.wrong == before {
		l.complain(line, "no column is named slide: the first line names the columns, slide and any of mpp, model, region")
	}
	if l.wrong > before {
		return nil
	}
	if len(ignored) > 0 {
		l.notes = append(l.notes, fmt.Sprintf("%s: columns that mean nothing here are ignored: %s", l.name, strings.Join(ignored, ", ")))
	}
	return columns
}

// meant returns the name of a column that is not there and that name is one typing error away from.
func meant(name string, columns map[string]int) string {
	for _, column := range []string{"slide", "mpp", "model", "region"} {
		if _, ok := columns[column]; ok {
			continue
		}
		for _, word := range columnNames[column] {
			if typo(strings.ToLower(name), word) {
				return word
			}
		}
	}
	return ""
}

// typo reports whether a becomes b by one letter more, less or another, or by two that change places.
func typo(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}

// row adds the slide of a row, or everything that is wrong with it.
func (l *list) row(line int, row []string, columns map[string]int) {
	before := l.wrong
	cell := func(column string) string {
		if i, ok := columns[column]; ok {
			return row[i]
		}
		return ""
	}
	it := Item{Path: cell("slide"), Model: cell("model")}
	switch {
	case it.Path == "":
		l.complain(line, "no slide: give its path")
	case strings.ContainsAny(it.Path, "\r\n"):
		l.complain(line, "slide %q: a path is on one line", it.Path)
	}
	if s := cell("mpp"); s != "" {
		var err error
		it.MPP, err = strconv.ParseFloat(strings.Replace(s, ",", ".", 1), 64) // half the world writes 0,25
		if err != nil || !(it.MPP >= 0.01 && it.MPP <= 100) {
			l.complain(line, "mpp %q: give micrometres a pixel, such as 0.25", s)
		}
	}
	if s := cell("region"); s != "" {
		var ok bool
		if it.Region, ok = parseRegion(s); !ok {
			l.complain(line, "region %q: give x y width height in pixels of level 0, such as 5000 8000 4096 4096", s)
		}
	}
	if beside := filepath.Join(l.dir, it.Model); it.Model != "" && !filepath.IsAbs(it.Model) {
		if info, err := os.Stat(beside); err == nil && !info.IsDir() {
			it.Model = beside
		}
	}
	if l.wrong == before {
		l.add(line, it)
	}
}

// parseRegion reads x y width height between spaces, commas or semicolons.
func parseRegion(s string) (image.Rectangle, bool) {
	words := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ,;", r) })
	if len(words) != 4 {
		return image.Rectangle{}, false
	}
	var n [4]int
	for i, w := range words {
		v, err := strconv.ParseUint(w, 10, 30) // so that sums of two fit any int
		if err != nil {
			return image.Rectangle{}, false
		}
		n[i] = int(v)
	}
	return image.Rect(n[0], n[1], n[0]+n[2], n[1]+n[3]), n[2] > 0 && n[3] > 0
}
