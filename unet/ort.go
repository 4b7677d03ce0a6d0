package unet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/unet/onnx"
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
// beside the program or in ../lib, or a name for the system's loader.
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
	for _, c := range candidates {
		if _, err := os.Stat(c); err == nil {
			return c
		}
	}
	return name
}

// arenaChunk is how much address space, not memory, the arena asks for at first, bytes. Its index takes
// a 32nd of that, at once. ONNX Runtime reads it as an int32, and loops for ever on 4 GiB.
const arenaChunk = 256 << 20

// growing is after how many runs of an engine the arena has all it takes, for any usual number of workers.
const growing = 16

// startRuntime loads the library and starts ONNX Runtime, once.
//
// All sessions share one arena, whose memory is taken from large chunks of address space, each twice as large as the one
// before. Freed neighbours merge there, and pages that were never touched cost nothing: a run of a base 16, depth 4
// network at core 1024 takes 450 MiB, two at a time 620 MiB each, against 800 MiB when every tensor gets a
// chunk of its own size (kSameAsRequested) and 651 MiB with an arena that begins small (the default), at the
// same speed. A first chunk of 1 GiB takes no less, and 0.2 s at the start. It does not grow with more runs of one shape. Without an arena the same run was 2 to 7 times
// slower: the kernel clears each page anew.
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
	if err := registerArena(); err != nil {
		return fmt.Errorf("onnxruntime has no arena: %s", firstLine(errors.Join(err, ort.DestroyEnvironment())))
	}
	environment.path = path
	return nil
}

func registerArena() error {
	info, err := ort.GetMemoryInfo()
	if err != nil {
		return err
	}
	arena, err := ort.NewArenaCfg(0, 0, arenaChunk, 1) // a chunk is split whenever anything is left of it
	if err != nil {
		return err
	}
	defer arena.Destroy()
	return ort.CreateAndRegisterAllocator(info, arena)
}

// firstLine cuts what ONNX Runtime says to one line, without the place in its source and the code.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if _, said, ok := strings.Cut(line, "[ONNXRuntimeError] : "); ok {
		if parts := strings.SplitN(said, " : ", 3); len(parts) == 3 {
			line = parts[2]
		}
	}
	if len(line) > 300 {
		line = strings.ToValidUTF8(line[:300], "") + "…"
	}
	return line
}

// onnxEngine is a [Model] on ONNX Runtime. On a CPU one thread computes a prediction, and predictions run side
// by side: that is the fastest way, and results do not depend on how many run. A GPU takes several tiles in one run.
type onnxEngine struct {
	spec     Spec
	device   device
	perPixel float64                     // bytes a pixel of the input, of one run
	together bool                        // tiles of one Predict are one run
	labels   *ort.DynamicAdvancedSession // nil: labels are chosen here
	floats   *ort.DynamicAdvancedSession // nil but for OpenLogits, and where labels are chosen here

	logits  sync.Pool // of *[]float32, where labels are chosen here
	runs    atomic.Int64
	closing sync.RWMutex // held for reading by predictions
	closed  bool
}

// newONNXEngine makes a session of a model in microtome's form, and one for the logits if asked. WebGPU has no
// operator that chooses labels, nor bytes to hold them, so there they are chosen from the logits.
func newONNXEngine(spec Spec, m *onnx.Model, d device, logits bool) (*onnxEngine, error) {
	edge := spec.Input
	if edge == 0 {
		edge = spec.Geometry.Input((usualEdge/spec.Stride + 1) * spec.Stride)
	}
	perPixel, blocked := footprint(m, edge)
	e := &onnxEngine{spec: spec, device: d, perPixel: perPixel, together: d.index != ""}
	var err error
	if d.kind != webGPUName {
		if e.labels, err = d.session(m, m.Graph.Outputs[0].Name, blocked); err != nil {
			return nil, err
		}
	}
	if logits || d.kind == webGPUName {
		if e.floats, err = d.session(m, m.Graph.Outputs[1].Name, blocked); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	return e, nil
}

func (e *onnxEngine) Spec() Spec { return e.spec }

// Bytes counts what the graph keeps alive, with two fifths more for gaps in the arena (see
// TestBytesBoundsWhatARunTakes), and what a run takes whatever its size. A GPU with memory of its own needs none of
// that here; one of webgpu may share the computer's.
func (e *onnxEngine) Bytes(core int) int64 {
	edge := float64(e.spec.Geometry.Input(core))
	n := int64(4 << 20)
	if e.device.kind != cudaName && e.device.kind != tensorRTName {
		n += int64(edge * edge * e.perPixel * 1.4)
	}
	if e.labels == nil {
		n += 4 * int64(e.spec.Logits) * int64(core) * int64(core)
	}
	return n
}

// Predict labels tiles; see [Model]. On a CPU they run one by one: a batch is no faster there and takes its multiple of
// memory.
func (e *onnxEngine) Predict(ctx context.Context, n int, in, out []byte) error {
	return e.predict(ctx, n, in, out, nil)
}

// predict is Predict of tiles of a slide that these are the statistics of; nil: of each tile by itself.
func (e *onnxEngine) predict(ctx context.Context, n int, in, out []byte, statistics []float32) error {
	core, err := e.spec.tiles(n, len(in), len(out))
	if err != nil {
		return err
	}
	return e.label(ctx, n, core, core, in, out, statistics)
}

// PredictRect labels a tile that is not square; see [RectModel].
func (e *onnxEngine) PredictRect(ctx context.Context, w, h int, in, out []byte) error {
	return e.predictRect(ctx, w, h, in, out, nil)
}

func (e *onnxEngine) predictRect(ctx context.Context, w, h int, in, out []byte, statistics []float32) error {
	if err := e.spec.check(w, h, len(in), len(out)); err != nil {
		return err
	}
	return e.label(ctx, 1, w, h, in, out, statistics)
}

// label labels n tiles with cores of w × h pixels.
func (e *onnxEngine) label(ctx context.Context, n, w, h int, in, out []byte, statistics []float32) (err error) {
	each := 1 // tiles a run
	if e.together && (!e.spec.PerSlide || statistics != nil) {
		each = n
	}
	for i := 0; i < n; i += each {
		pixels, labels := in[i*(len(in)/n):][:each*(len(in)/n)], out[i*w*h:][:each*w*h]
		if e.labels == nil {
			err = e.choose(ctx, each, w, h, pixels, labels, statistics)
		} else {
			err = predict(ctx, e, e.labels, each, w, h, pixels, labels, statistics, ort.NewShape(int64(each), int64(h), int64(w)))
		}
		if err == nil && e.spec.Logits > max(len(e.spec.Classes), 2) {
			err = e.checkLabels(labels)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkLabels refuses labels that are of no class, as a model that gives labels itself may make them.
func (e *onnxEngine) checkLabels(labels []byte) error {
	for _, v := range labels {
		if int(v) >= len(e.spec.Classes) {
			return fmt.Errorf("the model gives labels that are none of 0 to %d: name all of its classes with --classes, background first", len(e.spec.Classes)-1)
		}
	}
	return nil
}

// choose labels n tiles of a run by their logits.
func (e *onnxEngine) choose(ctx context.Context, n, w, h int, in, out []byte, statistics []float32) error {
	buffer, _ := e.logits.Get().(*[]float32)
	if buffer == nil {
		buffer = new([]float32)
	}
	defer e.logits.Put(buffer)
	channels := e.spec.Logits
	*buffer = grown(*buffer, channels*len(out))
	shape := ort.NewShape(int64(n), int64(channels), int64(h), int64(w))
	if err := predict(ctx, e, e.floats, n, w, h, in, *buffer, statistics, shape); err != nil {
		return err
	}
	for i := range n {
		e.spec.Labels((*buffer)[i*channels*w*h:], out[i*w*h:][:w*h])
	}
	return nil
}

// Logits gives the network's output before the choice of a class; see [LogitsModel].
func (e *onnxEngine) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	return e.logitsOf(ctx, w, h, in, out, nil)
}

func (e *onnxEngine) logitsOf(ctx context.Context, w, h int, in []byte, out, statistics []float32) error {
	if e.floats == nil {
		return errors.New("the model was not opened for its logits: use OpenLogits")
	}
	if err := e.spec.checkLogits(w, h, len(in), len(out)); err != nil {
		return err
	}
	return predict(ctx, e, e.floats, 1, w, h, in, out, statistics, ort.NewShape(1, int64(e.spec.Logits), int64(h), int64(w)))
}

// predict runs a session on Go's memory, for n cores of w × h pixels.
func predict[T uint8 | float32](ctx context.Context, e *onnxEngine, session *ort.DynamicAdvancedSession, n, w, h int, in []byte, out []T, statistics []float32, shape ort.Shape) error {
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
	g := e.spec.Geometry
	input, err := ort.NewTensor(ort.NewShape(int64(n), int64(g.Input(h)), int64(g.Input(w)), int64(e.spec.Channels)), in)
	if err != nil {
		return fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	defer input.Destroy()
	inputs := []ort.Value{input}
	if e.spec.PerSlide {
		if statistics == nil {
			statistics = e.spec.normalise.fit(in).values()
		}
		pinner.Pin(&statistics[0])
		of, err := ort.NewTensor(ort.NewShape(2, int64(len(statistics)/2), 1, 1), statistics)
		if err != nil {
			return fmt.Errorf("onnxruntime: %s", firstLine(err))
		}
		defer func() { _ = of.Destroy() }()
		inputs = append(inputs, of)
	}
	output, err := ort.NewTensor(shape, out)
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
	if e.runs.Add(1) <= growing {
		adviseHugePages()
	}
	err = session.RunWithOptions(inputs, []ort.Value{output}, options)
	if !stop() {
		<-terminated // options must outlive it
		return context.Cause(ctx)
	}
	if err != nil {
		return e.device.failed("failed", err)
	}
	return nil
}

// Close ends the sessions.
func (e *onnxEngine) Close() error {
	e.closing.Lock()
	defer e.closing.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	var err error
	for _, s := range []*ort.DynamicAdvancedSession{e.labels, e.floats} {
		if s != nil {
			err = errors.Join(err, s.Destroy())
		}
	}
	return err
}
