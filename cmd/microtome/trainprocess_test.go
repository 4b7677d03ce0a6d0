package main

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"microtome/unet/train"
)

// The tests here train as a process of its own, and end it.

// makeDiscs makes a data set.
func makeDiscs(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "discs")
	if out, err := exec.Command("discs", "-edge", "40", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// training returns a command that trains a network of a few hundred weights for some seconds, of which much is validation.
func training(data, out string, flags ...string) *exec.Cmd {
	args := []string{
		"train", data, "-o", out, "--depth", "1", "--base", "2", "--tile", "24", "--batch", "1", "--steps", "240", "--every", "24",
		"--average", "0.9", "--rate", "0.01", "--patience", "0",
	}
	return exec.Command("microtome", append(args, flags...)...)
}

// code returns the exit code of a command, -1 of one that was killed.
func code(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

// read returns the content of a file of a run, of a checkpoint the numbers: its head holds the length of the metrics, which hold
// how long they took.
func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if name == train.CheckpointName {
		_, data, _ = bytes.Cut(data, []byte("\n"))
		_, data, _ = bytes.Cut(data, []byte("\n"))
		data = data[:len(data)-32] // the checksum
	}
	return data
}

// A run that is killed at any moment, and gone on with, ends with the bytes of one that is not.
func TestKillAndResume(t *testing.T) {
	data, whole := makeDiscs(t), filepath.Join(t.TempDir(), "whole")
	began := time.Now()
	if out, err := training(data, whole).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	took := time.Since(began)
	want := 6
	if os.Getenv("MICROTOME_LONG") != "" {
		want = 100
	}
	for kills := 0; kills < want && !t.Failed(); {
		broken := filepath.Join(t.TempDir(), "broken")
		n := trainKilled(t, data, broken, took/3)
		t.Logf("done after %d kills", n)
		kills += n
		for _, name := range []string{train.ModelName, train.CheckpointName} {
			if !bytes.Equal(read(t, whole, name), read(t, broken, name)) {
				t.Errorf("%s differs", name)
			}
		}
		if w, b := read(t, whole, train.MetricsName), read(t, broken, train.MetricsName); bytes.Count(w, []byte("\n")) != bytes.Count(b, []byte("\n")) {
			t.Errorf("%s:\n%s\nof the run that was not killed:\n%s", train.MetricsName, b, w)
		}
	}
}

// trainKilled trains, kills the process after a random time of at most longest, and goes on from the checkpoint, until training is
// done. It returns how often it killed, which is at most six times: most processes of a slow machine may be killed too early to
// come to the next checkpoint.
func trainKilled(t *testing.T, data, dir string, longest time.Duration) (kills int) {
	t.Helper()
	for {
		var flags []string
		if _, err := os.Stat(filepath.Join(dir, train.CheckpointName)); err == nil {
			flags = []string{"--resume"}
		}
		cmd := training(data, dir, flags...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		keep := func() bool { return true }
		if kills < 6 {
			keep = time.AfterFunc(time.Duration(rand.Float64()*float64(longest)), func() { _ = cmd.Process.Kill() }).Stop
		}
		err := cmd.Wait()
		keep()
		switch code(t, err) {
		case exitOK:
			return kills
		case -1:
			kills++
		default:
			t.Fatalf("after %d kills: %v: %s", kills, err, stderr.String())
		}
	}
}

// interruptAt starts a command, sends it a signal at each line of its standard error that holds one of some words, in order, and
// returns its exit code and what it said.
func interruptAt(t *testing.T, cmd *exec.Cmd, signal os.Signal, words ...string) (int, string) {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if len(words) > 0 && strings.Contains(lines.Text(), words[0]) {
			words = words[1:]
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	return code(t, cmd.Wait()), said.String()
}

// Ctrl-C writes a checkpoint, from which the run goes on to the bytes of one that was not interrupted.
func TestInterruptTraining(t *testing.T) {
	data, whole, broken := makeDiscs(t), filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "broken")
	if out, err := training(data, whole).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for n, c := range []struct {
		signal os.Signal
		word   string
	}{{os.Interrupt, `"training"`}, {syscall.SIGTERM, `"validated"`}, {os.Interrupt, `"validated"`}} {
		var flags []string
		if n > 0 {
			flags = []string{"--resume"}
		}
		got, said := interruptAt(t, training(data, broken, flags...), c.signal, c.word)
		if got != exitInterrupted || !strings.Contains(said, stoppingTraining) || !strings.Contains(said, "microtome: interrupted: the checkpoint in "+broken+" holds step ") || !strings.HasSuffix(said, "of 240: go on with --resume\n") {
			t.Fatalf("exit code %d, want %d; it said:\n%s", got, exitInterrupted, said)
		}
	}
	if out, err := training(data, broken, "--resume").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{train.ModelName, train.CheckpointName} {
		if !bytes.Equal(read(t, whole, name), read(t, broken, name)) {
			t.Errorf("%s differs", name)
		}
	}
}

// A second Ctrl-C does not wait for the end of the step, which takes minutes here.
func TestSecondInterruptOfTraining(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	cmd := training(makeDiscs(t), out, "--base", "64", "--depth", "3", "--tile", "1024", "--batch", "4", "--threads", "1")
	began := time.Now()
	got, said := interruptAt(t, cmd, os.Interrupt, `"training"`, stoppingTraining)
	if got != exitInterrupted || strings.Contains(said, "--resume") {
		t.Errorf("exit code %d, want %d, after %v; it said:\n%s", got, exitInterrupted, time.Since(began), said)
	}
	if _, err := os.Stat(filepath.Join(out, train.CheckpointName)); err != nil { // of the begin
		t.Error(err)
	}
}

// Of two processes that train in one folder the second is refused.
func TestTwoProcessesTrainInOneFolder(t *testing.T) {
	data, out := makeDiscs(t), filepath.Join(t.TempDir(), "out")
	first := training(data, out, "--steps", "1000000")
	stderr, err := first.StderrPipe()
	if err == nil {
		err = first.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), `"training"`) {
	}
	for _, flags := range [][]string{nil, {"--resume", "--steps", "1000000"}} {
		said, err := training(data, out, flags...).CombinedOutput()
		if got := code(t, err); got != exitFailed || !strings.Contains(string(said), out+": another process trains in this folder: wait for it, or give another") {
			t.Errorf("exit code %d; it said:\n%s", got, said)
		}
	}
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if got := code(t, first.Wait()); got != exitInterrupted {
		t.Errorf("exit code %d of the first, want %d", got, exitInterrupted)
	}
}

// TestDiskFullInTraining trains into file systems that become full at the first checkpoint, and later; what there was stays whole.
func TestDiskFullInTraining(t *testing.T) {
	data := makeDiscs(t)
	for _, size := range []string{"8k", "64k"} {
		t.Run(size, func(t *testing.T) {
			out := t.TempDir()
			if b, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "none", out).CombinedOutput(); err != nil {
				t.Skipf("a small file system cannot be mounted here, which takes root: %s", bytes.TrimSpace(b))
			}
			defer exec.Command("umount", out).Run()
			said, err := training(data, out).CombinedOutput()
			if got := code(t, err); got != exitFailed || !strings.Contains(string(said), "no space left on device: free some space, or write elsewhere with -o") {
				t.Errorf("exit code %d; it said:\n%s", got, said)
			}
			if last := strings.Split(strings.TrimSpace(string(said)), "\n"); !strings.HasPrefix(last[len(last)-1], "microtome: ") {
				t.Errorf("more than a line about the error:\n%s", said)
			}
			left, err := filepath.Glob(filepath.Join(out, ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("%v was left behind, %v", left, err)
			}
			if size == "8k" {
				expectNoResult(t, out)
				return
			}
			if _, _, err := train.ReadSettings(out); err != nil {
				t.Errorf("the checkpoint is gone: %v", err)
			}
			// With room the run goes on.
			if b, err := exec.Command("mount", "-o", "remount,size=4m", out).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			if said, err := training(data, out, "--resume").CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
}
