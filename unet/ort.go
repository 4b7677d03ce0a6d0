package unet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// libraryNames are the names of the library that setup installs, by system.
var libraryNames = map[string]string{"linux": "libonnxruntime.so.1", "darwin": "libonnxruntime.1.dylib"}

// environment is ONNX Runtime's, started by the first Open and kept until the process ends: it must
// not be started twice.
var environment struct {
	sync.Mutex
	path string // of the library, once it is loaded
}

// findLibrary returns where ONNX Runtime's library is: the one asked for, or ONNXRUNTIME_LIB, or
// beside the program or in ../lib, or in lib of a folder above the working directory, or a name for
// the system's loader.
func findLibrary(asked string) string {
	name := libraryNames[runtime.GOOS]
	if name == "" {
		name = "onnxruntime.dll"
	}
	if asked != "" {
		return asked
	}
	if env := os.Getenv("ONNXRUNTIME_LIB"); env != "" {
		return env
	}
	var candidates []string
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		candidates = append(candidates, filepath.Join(dir, name), filepath.Join(dir, "..", "lib", name))
	}
	if dir, err := os.Getwd(); err == nil {
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil { // go test, in the repository
				candidates = append(candidates, filepath.Join(dir, "lib", name))
				break
			}
		}
	}
	for _, c := range candidates {
		if _, err := os.Stat(c); err == nil {
			return c
		}
	}
	return name
}

// startRuntime loads the library and starts ONNX Runtime, once.
func startRuntime(asked string) error {
	environment.Lock()
	defer environment.Unlock()
	if environment.path != "" {
		return nil
	}
	path := findLibrary(asked)
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil { // errors come as values
		return fmt.Errorf("onnxruntime cannot be loaded (%s): run make setup, or set ONNXRUNTIME_LIB to libonnxruntime 1.30 of the official release", firstLine(err))
	}
	// Blocks of the size asked for, not of the next power of two: memory stays within the plan.
	if info, err := ort.GetMemoryInfo(); err == nil {
		if arena, err := ort.NewArenaCfg(0, 1, -1, -1); err == nil {
			err = ort.CreateAndRegisterAllocator(info, arena)
			arena.Destroy()
			if err != nil {
				return fmt.Errorf("onnxruntime has no arena: %s", firstLine(err))
			}
		}
	}
	environment.path = path
	return nil
}

// firstLine cuts what ONNX Runtime says to one line.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if len(line) > 300 {
		line = line[:300] + "…"
	}
	return line
}

// onnxEngine is a [Model] on ONNX Runtime. One thread computes a prediction, and predictions run side
// by side: that is the fastest way on a CPU, and results do not depend on how many run.
type onnxEngine struct {
	spec     Spec
	perPixel float64 // bytes a pixel of the input, of one prediction
	labels   *ort.DynamicAdvancedSession

	closing sync.RWMutex // held for reading by predictions
	closed  bool
	data    []byte
	device  device
	floats  *ort.DynamicAdvancedSession // made by the first Logits
}

// newONNXEngine makes a session of a model in microtome's form.
func newONNXEngine(spec Spec, data []byte, perPixel float64, d device) (*onnxEngine, error) {
	e := &onnxEngine{spec: spec, perPixel: perPixel, data: data, device: d}
	s, err := d.session(data, labelsName)
	if err != nil {
		return nil, err
	}
	e.labels = s
	return e, nil
}

func (e *onnxEngine) Spec() Spec { return e.spec }

// Bytes counts what the graph keeps alive, with an eighth more for what the arena cannot use, and
// the tensors of the labels.
func (e *onnxEngine) Bytes(core int) int64 {
	edge := float64(e.spec.Geometry.Input(core))
	return int64(edge*edge*e.perPixel*1.125) + 4<<20
}

// Predict labels tiles; see [Model].
func (e *onnxEngine) Predict(ctx context.Context, n int, in, out []byte) error {
	if n < 1 || len(out)%n != 0 {
		return fmt.Errorf("%d labels for %d tiles", len(out), n)
	}
	core := int(math.Sqrt(float64(len(out) / n)))
	if err := e.check(core, core, n, len(in), len(out)); err != nil {
		return err
	}
	return predict(ctx, e, e.labels, shapes(e.spec, n, core, core), in, out)
}

// Logits gives the network's output before the choice of a class, for one core of w × h pixels: out
// receives classes × h × w values. It is for verification.
func (e *onnxEngine) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	channels := len(out) / (w * h)
	if err := e.check(w, h, 1, len(in), len(out)/max(channels, 1)); err != nil {
		return err
	}
	e.closing.Lock()
	if e.floats == nil && !e.closed {
		s, err := e.device.session(e.data, logitsName)
		if err != nil {
			e.closing.Unlock()
			return err
		}
		e.floats = s
	}
	e.closing.Unlock()
	s := shapes(e.spec, 1, w, h)
	s.out = ort.NewShape(1, int64(channels), int64(h), int64(w))
	return predict(ctx, e, e.floats, s, in, out)
}

// check reports sizes that would fail, or worse, inside the network.
func (e *onnxEngine) check(w, h, n, in, out int) error {
	g := e.spec.Geometry
	if err := errors.Join(g.Check(w), g.Check(h)); err != nil {
		return err
	}
	if need := n * g.Input(w) * g.Input(h) * e.spec.Channels; in != need || out != n*w*h {
		return fmt.Errorf("buffers of %d and %d bytes for %d tiles of %d × %d: the model needs %d and %d", in, out, n, w, h, need, n*w*h)
	}
	if e.spec.Input > 0 && (g.Input(w) != e.spec.Input || w != h) {
		return fmt.Errorf("a tile of %d pixels does not fit the model, which takes only %d", w, e.spec.Input-g.Before-g.After)
	}
	return nil
}

type tensorShapes struct{ in, out ort.Shape }

func shapes(s Spec, n, w, h int) tensorShapes {
	return tensorShapes{
		in:  ort.NewShape(int64(n), int64(s.Geometry.Input(h)), int64(s.Geometry.Input(w)), int64(s.Channels)),
		out: ort.NewShape(int64(n), int64(h), int64(w)),
	}
}

// predict runs a session on Go's memory.
func predict[T uint8 | float32](ctx context.Context, e *onnxEngine, session *ort.DynamicAdvancedSession, s tensorShapes, in []byte, out []T) error {
	e.closing.RLock()
	defer e.closing.RUnlock()
	if e.closed {
		return errors.New("the model is closed")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var pinner runtime.Pinner // ONNX Runtime keeps pointers to both for as long as the tensors live
	defer pinner.Unpin()
	pinner.Pin(&in[0])
	pinner.Pin(&out[0])
	input, err := ort.NewTensor(s.in, in)
	if err != nil {
		return fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	defer input.Destroy()
	output, err := ort.NewTensor(s.out, out)
	if err != nil {
		return fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	defer output.Destroy()
	options, err := ort.NewRunOptions()
	if err != nil {
		return fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	defer options.Destroy()
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(terminated)
		_ = options.Terminate()
	})
	err = session.RunWithOptions([]ort.Value{input}, []ort.Value{output}, options)
	if !stop() {
		<-terminated // options must outlive it
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	return nil
}

func (e *onnxEngine) Close() error {
	e.closing.Lock()
	defer e.closing.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	err := e.labels.Destroy()
	if e.floats != nil {
		err = errors.Join(err, e.floats.Destroy())
	}
	return err
}
