package unet

import "context"

// A Spec is what a model says of itself.
type Spec struct {
	Name string
	Geometry
	Channels int      // of the input: 3
	Classes  []string // Classes[i] is the name of label i
	MPP      float64  // µm a pixel that the model was made for; 0: any
	Input    int      // edge of the input that the model insists on, px; 0: any that the geometry allows
	SHA256   string   // of the model's file
	Size     int64    // of the model's file, bytes
	Engine   string   // what runs it, such as "onnxruntime 1.30.0, cpu"
}

// A Model labels tiles. It may be used by several goroutines; each Predict keeps one processor busy.
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

// A LogitsModel gives the network's output before the choice of a class, for verification.
type LogitsModel interface {
	// Logits runs the network on one core of w × h pixels: in holds Input(w) × Input(h) × Channels bytes,
	// out receives classes × h × w values.
	Logits(ctx context.Context, w, h int, in []byte, out []float32) error
}
