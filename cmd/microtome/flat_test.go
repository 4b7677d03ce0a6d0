package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"microtome/unet"
)

// TestMemoryIsFlat watches a process over many slides: its memory and its open files after the last quarter of them are
// what they were after the second: 2,000 slides of 1000 × 1000 px with MICROTOME_LONG, without it 400 of 300 × 300, of which the
// first 150 or so warm allocators up.
func TestMemoryIsFlat(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("slow, and it reads /proc")
	}
	needRuntime(t)
	count, size := 400, 300
	if os.Getenv("MICROTOME_LONG") != "" {
		count, size = 2000, 1000
	}
	one := makeSlide(t, size)
	model := makeModel(t, unet.Architecture{Depth: 2, Base: 2, Classes: 2, Card: unet.Card{MPP: 0.5}, Same: true})
	folder := t.TempDir()
	for i := range count {
		if err := os.Link(one, filepath.Join(folder, fmt.Sprintf("s%d.svs", i))); err != nil {
			t.Skipf("slides cannot be linked: %v", err)
		}
	}
	cmd := exec.Command("microtome", "segment", folder, "-o", t.TempDir(), "--model", model)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var kib, files []int
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
		status, err := os.ReadFile(proc + "status")
		if err != nil {
			t.Fatal(err)
		}
		open, err := os.ReadDir(proc + "fd")
		if err != nil {
			t.Fatal(err)
		}
		_, rss, _ := strings.Cut(string(status), "VmRSS:")
		n, err := strconv.Atoi(strings.Fields(rss)[0])
		if err != nil {
			t.Fatal(err)
		}
		kib, files = append(kib, n), append(files, len(open))
	}
	if err := cmd.Wait(); err != nil || len(kib) != count {
		t.Fatalf("%v after %d of %d slides", err, len(kib), count)
	}
	median := func(v []int) int {
		v = slices.Sorted(slices.Values(v))
		return v[len(v)/2]
	}
	for what, v := range map[string][]int{"KiB": kib, "open files": files} {
		quarter := count / 4
		before, after := median(v[quarter:2*quarter]), median(v[3*quarter:])
		t.Logf("%s: median %d of the second quarter, %d of the last, at most %d", what, before, after, slices.Max(v))
		if 100*after > 105*before {
			t.Errorf("%s grew from %d to %d", what, before, after)
		}
	}
}
