package unet

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
)

// TestBytesBoundsWhatARunTakes compares Bytes with how much the process grows in a run. Each
// measurement is made in a process of its own, since memory is kept for the next run.
func TestBytesBoundsWhatARunTakes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	if testing.Short() {
		t.Skip("slow: runs large networks")
	}
	if model := os.Getenv("MICROTOME_TEST_FOOTPRINT"); model != "" {
		core, _ := strconv.Atoi(os.Getenv("MICROTOME_TEST_CORE"))
		measureFootprint(t, model, core)
		return
	}
	needRuntime(t)
	dir := t.TempDir()
	models := []string{"haematoxylin", "passthrough"}
	for name, a := range map[string]Architecture{
		"same16":   {Depth: 4, Base: 16, Classes: 2, Same: true},
		"valid16":  {Depth: 4, Base: 16, Classes: 2},
		"linear16": {Depth: 3, Base: 16, Classes: 3, Same: true, Up: Linear},
		"same5":    {Depth: 3, Base: 5, Classes: 2, Same: true, Up: Nearest},
	} {
		data, err := a.ONNX()
		if err != nil {
			t.Fatal(err)
		}
		path := dir + "/" + name + ".onnx"
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		models = append(models, path)
	}
	for _, model := range models {
		for _, core := range []int{256, 1024} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestBytesBoundsWhatARunTakes$", "-test.v")
			cmd.Env = append(os.Environ(), "MICROTOME_TEST_FOOTPRINT="+model, "MICROTOME_TEST_CORE="+strconv.Itoa(core))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, line, _ := bytes.Cut(out, []byte("footprint "))
			var predicted, actual int64
			if _, err := fmt.Sscan(string(line), &predicted, &actual); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s, core %d: predicted %d MiB, took %d MiB", model, core, predicted>>20, actual>>20)
			if actual > predicted || predicted > 2*actual+16<<20 {
				t.Errorf("%s, core %d: predicted %d bytes, took %d", model, core, predicted, actual)
			}
		}
	}
}

// measureFootprint prints what Bytes says and how much the process grew in two concurrent runs, halved.
func measureFootprint(t *testing.T, model string, core int) {
	m, err := Open(model, Config{})
	if err != nil {
		t.Fatal(err)
	}
	edge := m.Spec().Geometry.Input(core)
	in, out := [2][]byte{make([]byte, 3*edge*edge), make([]byte, 3*edge*edge)}, [2][]byte{make([]byte, core*core), make([]byte, core*core)}
	for i := range 2 {
		for k := range in[i] {
			in[i][k] = byte(k)
		}
		for k := range out[i] {
			out[i][k] = byte(k)
		}
	}
	before := procStatus(t, "VmRSS:")
	done := make(chan error)
	for i := range 2 {
		go func() { done <- m.Predict(t.Context(), 1, in[i], out[i]) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("footprint %d %d\n", m.Bytes(core), (procStatus(t, "VmHWM:")-before)/2)
}

func procStatus(t *testing.T, field string) int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == field {
			kib, _ := strconv.ParseInt(string(f[1]), 10, 64)
			return kib << 10
		}
	}
	t.Fatalf("no %s", field)
	return 0
}
