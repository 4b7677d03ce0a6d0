package unet

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"microtome/internal/shared"
)

// TestBytesBoundsWhatARunTakes compares Bytes with how much the process grows in concurrent runs. Each
// measurement is made in a process of its own, since ONNX Runtime keeps memory for the next run.
func TestBytesBoundsWhatARunTakes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	if testing.Short() {
		t.Skip("slow: runs large networks")
	}
	if model := os.Getenv("MICROTOME_TEST_FOOTPRINT"); model != "" {
		core, _ := strconv.Atoi(os.Getenv("MICROTOME_TEST_CORE"))
		runs, _ := strconv.Atoi(os.Getenv("MICROTOME_TEST_RUNS"))
		measureFootprint(t, model, core, runs)
		return
	}
	needRuntime(t)
	base16 := Architecture{Depth: 4, Base: 16, Classes: 2}
	padded, linear, nearest := base16, base16, base16
	padded.Same, linear.Same, nearest.Same = true, true, true
	linear.Up, nearest.Up = Linear, Nearest
	odd := Architecture{Depth: 3, Base: 5, Classes: 3, Same: true}
	for _, c := range []struct {
		name       string
		arch       *Architecture // nil: built in
		core, runs int
		device     string
	}{
		{"haematoxylin", nil, 256, 1, "cpu"},
		{"haematoxylin", nil, 1024, 2, "cpu"},
		{"haematoxylin", nil, 2048, 2, "cpu"},
		{"passthrough", nil, 256, 1, "cpu"},
		{"passthrough", nil, 2048, 2, "cpu"},
		{"valid", &base16, 256, 2, "cpu"},
		{"valid", &base16, 512, 1, "cpu"},
		{"same", &padded, 256, 1, "cpu"},
		{"same", &padded, 512, 2, "cpu"},
		{"same linear", &linear, 512, 1, "cpu"},
		{"same nearest", &nearest, 512, 1, "cpu"},
		{"odd width", &odd, 512, 1, "cpu"},
		{"haematoxylin", nil, 1024, 2, "gorgonia"},
		{"valid", &base16, 256, 2, "gorgonia"},
		{"same", &padded, 256, 1, "gorgonia"},
		{"same", &padded, 512, 2, "gorgonia"},
		{"odd width", &odd, 512, 1, "gorgonia"},
	} {
		t.Run(fmt.Sprintf("%s/%s/%d/%d", c.device, c.name, c.core, c.runs), func(t *testing.T) {
			model := c.name
			if c.arch != nil {
				model = writeModel(t, *c.arch)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestBytesBoundsWhatARunTakes$", "-test.v")
			cmd.Env = append(os.Environ(), "MICROTOME_TEST_FOOTPRINT="+model,
				"MICROTOME_TEST_CORE="+strconv.Itoa(c.core), "MICROTOME_TEST_RUNS="+strconv.Itoa(c.runs), "MICROTOME_TEST_DEVICE="+c.device)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, line, _ := bytes.Cut(out, []byte("footprint "))
			var predicted, first, later int64
			if _, err := fmt.Sscan(string(line), &predicted, &first, &later); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("predicted %d KiB, took %d KiB, later %d KiB", predicted>>10, first>>10, later>>10)
			// What is allowed on top of twice is for unpadded networks at small cores: their maps shrink,
			// which sizes a pixel of the input do not follow.
			if later > predicted || predicted > 2*later+32<<20 {
				t.Errorf("predicted %d bytes, took %d", predicted, later)
			}
		})
	}
}

// measureFootprint prints what Bytes says and how much the process grew in concurrent runs, divided by
// their number: after they ran once, and after they ran again.
func measureFootprint(t *testing.T, model string, core, runs int) {
	m, err := Open(model, Config{Device: os.Getenv("MICROTOME_TEST_DEVICE")})
	if err != nil {
		t.Fatal(err)
	}
	edge := m.Spec().Geometry.Input(core)
	var in, out [][]byte
	for range runs {
		// Filled, so that their pages are there before the measurement.
		in, out = append(in, bytes.Repeat([]byte{7}, 3*edge*edge)), append(out, bytes.Repeat([]byte{7}, core*core))
	}
	// The arena's index belongs to the process: let it be there before the measurement.
	h, err := Open("haematoxylin", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	before := shared.Status(t, "VmRSS:")
	grown := [3]int64{}
	for k := range grown {
		done := make(chan error)
		for i := range runs {
			go func() { done <- m.Predict(t.Context(), 1, in[i], out[i]) }()
		}
		for range runs {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		grown[k] = (shared.Status(t, "VmHWM:") - before) / int64(runs)
	}
	fmt.Printf("footprint %d %d %d\n", m.Bytes(core), grown[0], grown[2])
}
