package unet

import (
	"context"
	"fmt"
	"math"
	"runtime"
)

// A Spec is what a model says of itself.
type Spec struct {
	Name string
	Geometry
	Channels int      // of the input: 3
	Classes  []string // Classes[i] is the name of label i
	MPP      float64  // µm a pixel that the model was made for; 0: any
	Input    int      // edge of the input that the model insists on, px; 0: any that the geometry allows
	SHA256   string   // of the model's file
	Form     string   // SHA-256 of the model as it is read: its file, and what card and flags make of that
	Size     int64    // of the model's file, bytes
	Engine   string   // what runs it, such as "onnxruntime 1.30.0, cpu"
	Logits   int      // channels of the logits: one a class, or 1 for two classes
	Card     Card     // what its file says of it
	Warnings []string // what the user must know of how it runs

	PassedOver []string // devices that auto tried before the one it took, and why not

	Source     string  // the card's file that stands beside the model's; "": none
	Takes      string  // what the network itself takes, such as "float32 N × 1 × H × W, grey"; "": bytes, as microtome gives them
	Gives      string  // what its output is: logits, softmax, sigmoid or labels
	PerSlide   bool    // pixels are normalised by what the slide looks like; see [ForSlide]
	Parameters int64   // numbers that were learnt
	FLOP       float64 // floating point operations a pixel of a large tile
	Unbounded  string  // why no margin is enough; "": Before and After are

	normalise normaliser
}

// warn adds a warning.
func (s *Spec) warn(format string, a ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, a...))
}

// check reports sizes that would fail, or worse, inside the network: of a core of w × h pixels, in and out bytes.
func (s Spec) check(w, h, in, out int) error {
	g := s.Geometry
	for _, edge := range []int{w, h} {
		if err := g.Check(edge); err != nil {
			return err
		}
	}
	if need := g.Input(w) * g.Input(h) * s.Channels; in != need || out != w*h {
		return fmt.Errorf("buffers of %d and %d bytes for a tile of %d × %d: the model needs %d and %d", in, out, w, h, need, w*h)
	}
	if s.Input > 0 && (g.Input(w) != s.Input || w != h) {
		return fmt.Errorf("a tile of %d pixels does not fit the model, which takes only %d", w, s.Input-g.Before-g.After)
	}
	return nil
}

// checkLogits is check for as many logits as out counts.
func (s Spec) checkLogits(w, h, in, out int) error {
	if out%s.Logits != 0 {
		return fmt.Errorf("%d values do not hold the logits of %d channels", out, s.Logits)
	}
	return s.check(w, h, in, out/s.Logits)
}

// tiles returns the core of n tiles in buffers of in and out bytes.
func (s Spec) tiles(n, in, out int) (core int, err error) {
	if n < 1 || out%n != 0 || in%n != 0 {
		return 0, fmt.Errorf("buffers of %d and %d bytes do not hold %d tiles", in, out, n)
	}
	core = int(math.Sqrt(float64(out / n)))
	return core, s.check(core, core, in/n, out/n)
}

// A Model labels tiles. It may be used by several goroutines; each Predict keeps one processor busy, unless the model
// is a [ParallelModel].
type Model interface {
	Spec() Spec
	// Bytes bounds the memory that one Predict of one tile with a core of an edge takes, beyond the
	// loaded model.
	Bytes(core int) int64
	// Predict labels n square tiles. in holds their pixels, n × edge × edge × Channels bytes, where edge
	// is Input(core); out receives n × core × core labels. The core follows from len(out) and must be a
	// multiple of Stride. When ctx ends, Predict stops early and returns the cause of ctx.
	Predict(ctx context.Context, n int, in, out []byte) error
	Close() error
}

// A RectModel also labels tiles that are not square, so that nothing is computed for nobody. A model that runs tiles
// together, or prepares itself for a size, is none.
type RectModel interface {
	Model
	// PredictRect labels one tile: in holds Input(w) × Input(h) × Channels bytes, out receives w × h labels.
	// w and h must be multiples of Stride.
	PredictRect(ctx context.Context, w, h int, in, out []byte) error
}

// A ParallelModel knows better than others, of which one prediction a processor runs best, how many it wants at a time.
type ParallelModel interface {
	Model
	// InFlight returns how many Predicts of one tile with a core of an edge keep its devices busy.
	InFlight(core int) int
	// Memory bounds the memory that n Predicts of one tile at a time take together, beyond the loaded model.
	Memory(core, n int) int64
}

// InFlight returns how many Predicts of one tile with a core of an edge a model wants at a time.
func InFlight(m Model, core int) int {
	if p, ok := m.(ParallelModel); ok {
		return p.InFlight(core)
	}
	return runtime.GOMAXPROCS(0)
}

// Memory bounds the memory that n Predicts of one tile with a core of an edge take at a time, beyond the loaded model.
func Memory(m Model, core, n int) int64 {
	if p, ok := m.(ParallelModel); ok {
		return p.Memory(core, n)
	}
	return int64(n) * m.Bytes(core)
}

// An Engine is a model that gives its logits too.
type Engine interface {
	Model
	LogitsModel
}

// A LogitsModel gives the network's output before the choice of a class.
type LogitsModel interface {
	// Logits runs the network on one core of w × h pixels: in holds Input(w) × Input(h) × Channels bytes,
	// out receives Spec().Logits × h × w values.
	Logits(ctx context.Context, w, h int, in []byte, out []float32) error
}
