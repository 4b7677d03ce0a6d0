package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"microtome/bench/synthetic"
	"microtome/internal/shared"
	"microtome/sink"
	"microtome/unet"
	"microtome/unet/onnx"
)

// The tests here run the command as a process of its own, for what only a whole process shows.

func needRuntime(t testing.TB) {
	t.Helper()
	shared.Runtime(t, func() error {
		_, _, err := unet.Libraries(unet.Config{})
		return err
	})
}

func makeSlide(t testing.TB, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slide.svs")
	if err := synthetic.WriteSlide(t.Context(), path, filepath.Join(t.TempDir(), "truth.tif"), synthetic.Config{Size: size, Seed: 1}); err != nil {
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

// expectNoResult fails the test when there is a file in the folder of a slide, but for the journal by which another
// run would go on.
func expectNoResult(t *testing.T, out string) {
	t.Helper()
	err := filepath.WalkDir(out, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Dir(p) != out && !strings.HasSuffix(p, filepath.Join(sink.PartialDir, "journal")) {
			t.Errorf("%s was left behind", p)
		}
		return nil // a folder that was never made is as good as an empty one
	})
	if err != nil {
		t.Error(err)
	}
}

// TestInterrupt sends signals in the middle of the work: exit 130, and no result is left.
func TestInterrupt(t *testing.T) {
	needRuntime(t)
	path := makeSlide(t, 1024)
	model := makeModel(t, unet.Architecture{Depth: 4, Base: 16, Classes: 2, Card: unet.Card{MPP: 0.5}, Same: true})
	out := filepath.Join(t.TempDir(), "out")
	segment := []string{"segment", path, "-o", out, "--model", model, "--workers", "1", "--tile", "512"}
	verify := []string{"verify", path, "--model", model, "--tile", "512", "--crops", "1000"}
	for name, c := range map[string]struct {
		args   []string
		begun  string
		signal os.Signal
	}{
		"Ctrl-C":           {segment, `"segmenting"`, os.Interrupt},
		"terminate":        {segment, `"segmenting"`, syscall.SIGTERM},
		"Ctrl-C of verify": {verify, `"verifying"`, os.Interrupt},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("microtome", c.args...)
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
				if strings.Contains(lines.Text(), c.begun) {
					if err := cmd.Process.Signal(c.signal); err != nil {
						t.Fatal(err)
					}
				}
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
				t.Errorf("%v, want exit code %d; it said:\n%s", err, exitInterrupted, said.String())
			}
			expectNoResult(t, out)
		})
	}
}

// TestSecondInterrupt: a program that does not stop for the first Ctrl-C stops for the second.
func TestSecondInterrupt(t *testing.T) {
	cmd := exec.Command("stuck")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for range 2 {
		if !lines.Scan() {
			t.Fatal("the program ended before the second signal")
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, want exit code %d", err, exitInterrupted)
	}
}

// stuck is a program that is deaf to its context. It says when it runs, and when it was interrupted.
func stuck() {
	ctx, stop := interruptible(context.Background())
	defer stop()
	fmt.Println("running")
	<-ctx.Done()
	fmt.Println("interrupted")
	select {}
}

// TestNobodysPermissions runs as a user who may neither read the slide nor write the folder.
func TestNobodysPermissions(t *testing.T) {
	needRuntime(t)
	if os.Getuid() != 0 {
		t.Skip("only root can run a program as another user; others have testdata/script/badinput.txt")
	}
	dir, err := os.MkdirTemp("", "nobody") // t.TempDir lies in folders that are closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	library, _, _ := unet.Libraries(unet.Config{})
	program, err := exec.LookPath("microtome")
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for from, to := range map[string]string{makeSlide(t, 300): "open.svs", makeSlide(t, 301): "closed.svs", library: "lib.so", program: "microtome"} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(at(to), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(at("closed.svs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("discs", at("discs")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range []struct{ command, input, want string }{
		{"segment", "closed.svs", "permission denied: make the file readable for this user"},
		{"segment", "open.svs", "permission denied: choose another folder with -o"},
		{"train", "discs", "microtome: mkdir out: permission denied: choose another folder with -o"},
	} {
		cmd := exec.Command(at("microtome"), c.command, c.input, "-o", "out")
		cmd.Dir = dir
		cmd.Env = []string{"ONNXRUNTIME_LIB=" + at("lib.so"), "PATH=" + os.Getenv("PATH")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.Contains(string(out), c.want) {
			t.Errorf("%s %s: %v, it said:\n%s", c.command, c.input, err, out)
		}
	}
	expectNoResult(t, at("out"))
}

// TestTwoProcessesOneFolder: of two that want to write one folder at the same time one does; the other
// says so, or comes late enough to keep what is there.
func TestTwoProcessesOneFolder(t *testing.T) {
	needRuntime(t)
	path, out := makeSlide(t, 1024), filepath.Join(t.TempDir(), "out")
	var cmds [2]*exec.Cmd
	var said [2]bytes.Buffer
	for i := range cmds {
		cmds[i] = exec.Command("microtome", "segment", path, "-o", out, "--model", "passthrough", "--tile", "16", "--workers", "1")
		cmds[i].Stderr = &said[i]
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	done := 0
	for i := range cmds {
		err := cmds[i].Wait()
		if err == nil {
			done++
		} else if !strings.Contains(said[i].String(), "another microtome") {
			t.Errorf("%v, it said:\n%s", err, said[i].String())
		}
	}
	s, err := sink.ReadSummary(filepath.Join(out, "slide", "summary.json"))
	if err != nil || done == 0 {
		t.Fatalf("%d of 2 succeeded, %v", done, err)
	}
	if mask, err := sink.Describe(filepath.Join(out, "slide", "mask.tif")); err != nil || mask != s.Outputs["mask.tif"] {
		t.Errorf("mask.tif is %v, %v; the summary says %v", mask, err, s.Outputs["mask.tif"])
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
	expectNoResult(t, out)
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
	large := makeModel(t, unet.Architecture{Depth: 4, Base: 16, Classes: 2, Card: unet.Card{MPP: 0.5}, Same: true})
	data, err := os.ReadFile(large)
	if err != nil {
		t.Fatal(err)
	}
	unbounded := filepath.Join(t.TempDir(), "unbounded.onnx")
	m, err := onnx.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	hazy(m.Graph, false)
	if err := os.WriteFile(unbounded, m.Encode(), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ model, memory, workers, overlap string }{
		{"passthrough", "256MiB", "2", "0"},
		{"passthrough", "1GiB", "8", "0"},
		{"haematoxylin", "300MiB", "1", "0"},
		{"haematoxylin", "1GiB", "2", "0"},
		{large, "512MiB", "1", "0"},
		{large, "1GiB", "2", "0"},
		{unbounded, "1GiB", "2", "64"},
	} {
		name := filepath.Base(c.model) + ", " + c.memory + ", workers " + c.workers
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("microtome", "segment", path, "-o", t.TempDir(), "--json", "--model", c.model, "--memory", c.memory, "--workers", c.workers, "--overlap", c.overlap)
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
