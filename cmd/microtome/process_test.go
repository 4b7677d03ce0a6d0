package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"microtome/bench"
	"microtome/sink"
	"microtome/unet"
)

// The tests here run the command as a process of its own, for what only a whole process shows.

func needRuntime(t testing.TB) {
	t.Helper()
	if _, _, err := unet.Libraries(unet.Config{}); err != nil {
		t.Skip(err)
	}
}

func makeSlide(t testing.TB, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slide.svs")
	if err := bench.WriteSlide(path, filepath.Join(t.TempDir(), "truth.tif"), bench.Config{Size: size, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	return path
}

func makeModel(t testing.TB, a unet.Architecture) string {
	t.Helper()
	data, err := a.ONNX()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func expectNoFile(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s was left behind", p)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestInterrupt sends signals in the middle of a slide: exit 130, and nothing is left.
func TestInterrupt(t *testing.T) {
	needRuntime(t)
	path := makeSlide(t, 1024)
	model := makeModel(t, unet.Architecture{Depth: 4, Base: 16, Classes: 2, MPP: 0.5, Same: true})
	for name, signals := range map[string][]os.Signal{
		"Ctrl-C":       {os.Interrupt},
		"terminate":    {syscall.SIGTERM},
		"Ctrl-C twice": {os.Interrupt, os.Interrupt},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			cmd := exec.Command("microtome", "segment", path, "-o", out, "--model", model, "--workers", "1", "--tile", "512")
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				said.WriteString(lines.Text() + "\n")
				if strings.Contains(lines.Text(), `"segmenting"`) {
					for _, s := range signals {
						if err := cmd.Process.Signal(s); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
				t.Errorf("%v, want exit code %d; it said:\n%s", err, exitInterrupted, said.String())
			}
			if len(signals) == 1 {
				expectNoFile(t, out)
			}
		})
	}
}

// TestDiskFull writes to a file system of 64 KiB.
func TestDiskFull(t *testing.T) {
	needRuntime(t)
	path := makeSlide(t, 1024)
	out := t.TempDir()
	if b, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "none", out).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here, which takes root: %s", bytes.TrimSpace(b))
	}
	defer exec.Command("umount", out).Run()
	var stderr bytes.Buffer
	cmd := exec.Command("microtome", "segment", path, "-o", out, "--compression", "none", "--tile", "256")
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("%v, want exit code %d", err, exitFailed)
	}
	if !strings.Contains(stderr.String(), "no space left on device: free some space") {
		t.Errorf("it said:\n%s", stderr.String())
	}
	expectNoFile(t, out)
}

// TestMemoryStaysWithinPlan compares the most memory that a process had with what its plan said, for
// plans bounded by tiles, by the network, and by next to nothing.
func TestMemoryStaysWithinPlan(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: a large slide and a large network; and the race detector takes memory of its own")
	}
	if runtime.GOOS != "linux" {
		t.Skip("reads the peak from /proc")
	}
	needRuntime(t)
	path := makeSlide(t, 4096)
	large := makeModel(t, unet.Architecture{Depth: 4, Base: 16, Classes: 2, MPP: 0.5, Same: true})
	for _, c := range []struct{ model, memory, workers string }{
		{"passthrough", "256MiB", "2"},
		{"passthrough", "1GiB", "8"},
		{"haematoxylin", "300MiB", "1"},
		{"haematoxylin", "1GiB", "2"},
		{large, "512MiB", "1"},
		{large, "1GiB", "2"},
	} {
		name := filepath.Base(c.model) + ", " + c.memory + ", workers " + c.workers
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("microtome", "segment", path, "-o", t.TempDir(), "--json", "--model", c.model, "--memory", c.memory, "--workers", c.workers)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var s sink.Summary
			if err := json.Unmarshal(out, &s); err != nil {
				t.Fatal(err)
			}
			t.Logf("core %d: limit %s, planned %s, peak %s", s.Mask.Core, size(s.Memory.Limit), size(s.Memory.Planned), size(s.Memory.Peak))
			if s.Memory.Peak > s.Memory.Planned || s.Memory.Planned > s.Memory.Limit {
				t.Errorf("limit %s, planned %s, peak %s", size(s.Memory.Limit), size(s.Memory.Planned), size(s.Memory.Peak))
			}
		})
	}
}
