package slide_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microtome/slide"
)

// tree makes empty files and returns the folder that holds them.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// find returns what Find gives below dir, with "!" before what comes with an error.
func find(dir string, names ...string) []string {
	var paths, got []string
	for _, n := range names {
		paths = append(paths, filepath.Join(dir, n))
	}
	for path, err := range slide.Find(paths...) {
		path, _ = filepath.Rel(dir, path)
		if err != nil {
			path = "!" + path
		}
		got = append(got, filepath.ToSlash(path))
	}
	return got
}

func TestFind(t *testing.T) {
	dir := tree(t,
		"b.svs", "a.SVS", "notes.txt", ".hidden.svs", // capitals count, text and hidden files do not
		"deep/er/c.ndpi", ".trash/d.svs",
		"m.mrxs", "m/Slidedat.ini", "m/thumb.png", // the data of an MRXS file
		"out/b/mask.tif", "out/b/summary.json", "out/b/overlay.png", // results are not slides
		"empty/readme.md",
	)
	for _, c := range []struct{ ask, want string }{
		{".", "a.SVS b.svs deep/er/c.ndpi m.mrxs"},
		{"b.svs", "b.svs"},
		{"notes.txt", "notes.txt"}, // what a person names is tried
		{"deep b.svs", "deep/er/c.ndpi b.svs"},
		{"empty", "!empty"},
		{"nowhere b.svs", "!nowhere b.svs"},
	} {
		if got := find(dir, strings.Fields(c.ask)...); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("find %s: %v, want %s", c.ask, got, c.want)
		}
	}
}

func TestFindStopsWhenAsked(t *testing.T) {
	n := 0
	for range slide.Find(tree(t, "a.svs", "b.svs", "c.svs")) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d slides after the first break", n)
	}
}
