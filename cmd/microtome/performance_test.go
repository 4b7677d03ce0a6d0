package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The page has every section with its command, its table and its plots; all files that it shows are there.
func TestPerformancePage(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	sections := []section{
		{"One", "The first.", "--size 300 --model haematoxylin --scenario end-to-end --ceilings=false", true},
		{"Two", "The second.", "--size 300 --model haematoxylin --scenario write --ceilings=false --sweep tile=128,256", false},
	}
	var out, talk bytes.Buffer
	self, err := exec.LookPath("microtome")
	if err != nil {
		t.Fatal(err)
	}
	if err := runPerformance(t.Context(), self, dir, sections, &out, &talk); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	page, err := os.ReadFile(filepath.Join(dir, "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## One", "## Two", "The second.", "microtome bench --size 300", "| 128 ", "performance/timeline-1.svg"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	for _, part := range strings.Split(string(page), "](")[1:] {
		file, _, _ := strings.Cut(part, ")")
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(talk.String(), "part "); n != 2 {
		t.Errorf("progress tells of %d parts", n)
	}
}
