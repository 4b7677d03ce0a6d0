package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"microtome/bench/results"
	"microtome/unet"
)

// work is a microtome of which every run costs as much as it is told to: it labels tiles with the network haematoxylin, a share of
// them given in percent of the number behind --tiles, and prints the result that microtome bench --once would.
func work(percent int) {
	tiles := 100
	for i, arg := range os.Args {
		switch arg {
		case "--tiles":
			n, err := strconv.Atoi(os.Args[i+1])
			must(err)
			tiles = n
		case "--fail":
			fmt.Fprintln(os.Stderr, "microtome: starting\nmicrotome: the disk is on fire")
			os.Exit(1)
		case "--silent":
			return
		}
	}
	model, err := unet.Open("haematoxylin", unet.Config{})
	must(err)
	spec := model.Spec()
	const core = 256
	edge := spec.Geometry.Input(core)
	in, out := make([]byte, edge*edge*spec.Channels), make([]byte, core*core)
	for i := range in {
		in[i] = byte(i * i >> 7)
	}
	must(model.Predict(context.Background(), 1, in, out)) // the first takes longer, and is no part of the share
	started, before := time.Now(), processorTime()
	for range tiles * percent / 100 {
		must(model.Predict(context.Background(), 1, in, out))
	}
	seconds, cpu := time.Since(started).Seconds(), processorTime()-before
	must(model.Close())
	mpx := float64(tiles*core*core) / 1e6
	must(json.NewEncoder(os.Stdout).Encode(results.Result{
		Schema: results.Schema, Time: started,
		Setting:     results.Setting{Scenario: "work", Width: core, Height: core * tiles, Slides: 1, Model: "haematoxylin", Tile: core, Input: edge, Workers: 1},
		Environment: results.Environment{Version: "test"},
		Figures:     results.Figures{Seconds: seconds, CPU: cpu, Tiles: tiles, MPXPerS: mpx / seconds, CPUPerMPX: cpu / mpx, TilesPerS: float64(tiles) / seconds},
	}))
}

func processorTime() float64 {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// Twenty comparisons of a build with itself and twenty with one that takes 10 % more: at most one alarm is false, and at most one slow-
// down is missed. Real processes do real work, beside whatever else the machine does; it takes ten minutes or more.
func TestCompareLong(t *testing.T) {
	if os.Getenv("MICROTOME_LONG") == "" {
		t.Skip("MICROTOME_LONG is not set: takes twenty minutes")
	}
	needRuntime(t)
	a, err := exec.LookPath("yesterday")
	if err != nil {
		t.Fatal(err)
	}
	slow, err := exec.LookPath("today")
	if err != nil {
		t.Fatal(err)
	}
	tiles := "150"
	for _, c := range []struct {
		name, b       string
		least, utmost int // comparisons that say slower
	}{{"itself", a, 0, 1}, {"slower", slow, 19, 20}} {
		said := 0
		for i := range 20 {
			var out bytes.Buffer
			cmd := exec.Command("microtome", "bench", "compare", a, c.b, "--", "--tiles", tiles)
			cmd.Stdout = &out
			err := cmd.Run()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			t.Logf("%s %d: %s", c.name, i, lines[len(lines)-1])
			switch code := cmd.ProcessState.ExitCode(); code {
			case exitOK:
			case exitFailed:
				said++
			default:
				t.Fatalf("exit code %d: %v\n%s", code, err, out.String())
			}
		}
		t.Logf("%s: %d of 20 are said to be slower", c.name, said)
		if said < c.least || said > c.utmost {
			t.Errorf("%s: %d of 20 are said to be slower, want %d to %d", c.name, said, c.least, c.utmost)
		}
	}
}
