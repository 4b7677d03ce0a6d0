package main

import (
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"microtome/bench/synthetic"
	"microtome/unet"
	"microtome/unet/network"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"microtome":    func() { os.Exit(run(os.Args[1:])) },
		"discs":        drawDiscs,
		"stripes":      drawStripes,
		"foreign":      exportForeign,
		"engine-alone": engineAlone,
		"faulty":       faulty,
		"stuck":        stuck,
		"yesterday":    func() { work(100) },
		"today":        func() { work(110) },
		"tenfold":      func() { work(1000) },
	})
}

// TestScript runs the command as a person types it: see testdata/script.
func TestScript(t *testing.T) {
	needRuntime(t)
	inputs := t.TempDir()
	makeInputs(t, inputs)
	library, _, _ := unet.Libraries(unet.Config{})
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("ONNXRUNTIME_LIB", library)
			return os.CopyFS(e.WorkDir, os.DirFS(inputs))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "equal": equal},
		Condition: func(condition string) (bool, error) {
			switch condition {
			case "root":
				return os.Getuid() == 0, nil
			case "bare": // no GPU, nor what one needs
				for _, there := range []string{filepath.Join(filepath.Dir(library), "libonnxruntime_providers_shared.so"), "/dev/dri", "/usr/lib/*/libvulkan.so.1", "/usr/lib*/libvulkan.so.1"} {
					if found, _ := filepath.Glob(there); found != nil {
						return false, nil
					}
				}
				return true, nil
			}
			return false, errors.New("unknown condition")
		},
	})
}

// exits CODE COMMAND ARG... runs a command that must end with an exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// equal FILE KEY FILE KEY compares values of two files of JSON, which stand under keys such as total.f1_50.
func equal(ts *testscript.TestScript, _ bool, args []string) {
	var values [2]any
	for i := range values {
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[2*i])), &values[i]))
		for _, key := range strings.Split(args[2*i+1], ".") {
			m, _ := values[i].(map[string]any)
			v, ok := m[key]
			if !ok {
				ts.Fatalf("%s has no %s", args[2*i], args[2*i+1])
			}
			values[i] = v
		}
	}
	if values[0] != values[1] {
		ts.Fatalf("%v is not %v", values[0], values[1])
	}
}

// makeInputs makes the files that the scripts work on.
func makeInputs(t *testing.T, dir string) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) { check(os.WriteFile(at(name), data, 0o666)) }

	for _, d := range []string{"emptydir", "a", "b"} {
		check(os.Mkdir(at(d), 0o777))
	}
	writePNG(t, at("small.png"), 0)
	writePNG(t, at("a/slide.png"), 1)
	writePNG(t, at("b/slide.png"), 2)
	write("text.svs", []byte("this is not a slide\n"))
	write("text.onnx", []byte("this is not a model\n"))
	write("empty.svs", nil)
	write("drawing.png", []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"><rect width="9" height="9"/></svg>`))
	writePNG(t, at("...png"), 3)
	check(synthetic.WriteSlide(t.Context(), at("whole.svs"), at("truth.tif"), synthetic.Config{Size: 1024, Seed: 1}))
	whole, err := os.ReadFile(at("whole.svs"))
	check(err)
	write("truncated.svs", whole[:len(whole)*2/3])
	// A JPEG tile in the middle of the file, behind its header, is overwritten.
	damaged := append([]byte(nil), whole...)
	for i := len(damaged) / 2; i < len(damaged)/2+20_000; i++ {
		damaged[i] = 0xff
	}
	write("damaged.svs", damaged)
	writeModels(t, write)
	check(os.Mkdir(at("guest"), 0o777))
	write("guest/rdf.yaml", []byte(guestCard))
	write("guest/model.onnx", guest(t))
	write("zeros.onnx", nil)
	check(os.Truncate(at("zeros.onnx"), 2_000_000_000)) // of holes
	write("whole2.svs", append(slices.Clone(whole), 0)) // another file
	write("trained.onnx", trained(t))
	foreign, err := unet.Architecture{Depth: 1, Base: 2, Classes: 2, Up: unet.Linear, Card: unet.Card{MPP: 0.5}}.ONNX()
	check(err)
	write("foreign.onnx", foreign)
}

// trained returns a network as training writes it, in which both labels are common on a synthetic slide.
func trained(t *testing.T) []byte {
	t.Helper()
	s := network.Shape{Depth: 2, Base: 4, Channels: 3, Classes: 2}
	data, err := unet.Export(s, s.Init(11), unet.Card{
		Name: "trained", Classes: []string{"background", "nucleus"}, MPP: 0.5, Threshold: 0.48, MinArea: 12.5, MinPeak: 0.85,
		TrainingSet: "synthetic", TrainingSHA256: "abc123", Seed: 7, Licence: "Apache-2.0",
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writePNG writes a small picture that depends on seed.
func writePNG(t *testing.T, path string, seed int) {
	t.Helper()
	im := image.NewRGBA(image.Rect(0, 0, 70, 50))
	for y := range 50 {
		for x := range 70 {
			im.Set(x, y, color.RGBA{byte(3*x + seed), byte(5*y + 40*seed), byte(x * y), 255})
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, im); err != nil {
		t.Fatal(err)
	}
}
