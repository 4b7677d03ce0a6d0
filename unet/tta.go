package unet

import (
	"context"
	"math"
	"sync"
)

// TTASuffix ends the name of a model under test-time augmentation.
const TTASuffix = "+tta"

// TTA makes a model that runs another on the eight flips and rotations of each tile and averages the probabilities
// of its classes (softmax of the logits). It takes eight times as long. Its logits are the logarithms of the
// averages; for a single logit, that of p/(1-p).
//
// A margin may come to lie on any side of a turned tile, so all are the widest of the model's. A turned tile is cut
// to the margins that the model has, so its core begins on the pooling lattice as any other does, and
// stitched tiles equal the whole bit for bit where the model's do.
func TTA(m Engine) Engine {
	s := m.Spec()
	t := &tta{Engine: m, inner: s}
	margin := max(s.Before, s.After)
	if s.Input > 0 {
		s.Input += 2*margin - s.Before - s.After
	}
	s.Before, s.After = margin, margin
	s.Name += TTASuffix
	t.spec = s
	return t
}

type tta struct {
	Engine
	inner, spec Spec
	buffers     sync.Pool // of *ttaBuffers
}

// ttaBuffers are what one prediction needs beside the model.
type ttaBuffers struct {
	tile         []byte    // turned and cut
	logits, sums []float32 // of a turned core; of the probabilities
}

func (t *tta) Spec() Spec { return t.spec }

// Bytes counts the model's and the buffers.
func (t *tta) Bytes(core int) int64 { return t.Engine.Bytes(core) + t.buffer(core) }

func (t *tta) buffer(core int) int64 {
	edge := int64(t.inner.Geometry.Input(core))
	return edge*edge*int64(t.spec.Channels) + 8*int64(t.spec.Logits)*int64(core)*int64(core)
}

// InFlight and Memory are the model's, with the buffers.
func (t *tta) InFlight(core int) int { return InFlight(t.Engine, core) }

func (t *tta) Memory(core, n int) int64 { return Memory(t.Engine, core, n) + int64(n)*t.buffer(core) }

// Predict labels tiles one by one; see [Model].
func (t *tta) Predict(ctx context.Context, n int, in, out []byte) error {
	core, err := t.spec.tiles(n, len(in), len(out))
	if err != nil {
		return err
	}
	for i := range n {
		labels := out[i*len(out)/n:][:core*core]
		err := t.average(ctx, core, core, in[i*len(in)/n:][:len(in)/n], func(p []float32) { t.spec.Choose(p, labels) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Logits gives the logarithms of the averaged probabilities; see [LogitsModel].
func (t *tta) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	if err := t.spec.checkLogits(w, h, len(in), len(out)); err != nil {
		return err
	}
	return t.average(ctx, w, h, in, func(p []float32) {
		for i, v := range p {
			x := math.Log(float64(v))
			if t.spec.Logits == 1 {
				x -= math.Log(1 - float64(v))
			}
			out[i] = float32(x)
		}
	})
}

// average hands over the probabilities of a core of w × h pixels, classes × h × w.
func (t *tta) average(ctx context.Context, w, h int, in []byte, use func(p []float32)) error {
	b, _ := t.buffers.Get().(*ttaBuffers)
	if b == nil {
		b = &ttaBuffers{}
	}
	defer t.buffers.Put(b)
	g, margin := t.inner.Geometry, t.spec.Before
	channels, classes, n := t.spec.Channels, t.spec.Logits, w*h
	b.tile = grown(b.tile, g.Input(w)*g.Input(h)*channels)
	b.logits, b.sums = grown(b.logits, classes*n), grown(b.sums, classes*n)
	clear(b.sums)
	for k := range 8 {
		v := turned(k, w+2*margin, h+2*margin)
		tw, th := w, h
		if v.swapped {
			tw, th = h, w
		}
		cut, i := margin-g.Before, 0
		for y := range g.Input(th) {
			for x := range g.Input(tw) {
				i += copy(b.tile[i:], in[channels*v.at(x+cut, y+cut):][:channels])
			}
		}
		if err := t.Engine.Logits(ctx, tw, th, b.tile, b.logits); err != nil {
			return err
		}
		t.spec.Probabilities(b.logits)
		v = turned(k, w, h)
		for y := range th {
			for x := range tw {
				for c := range classes {
					b.sums[c*n+v.at(x, y)] += b.logits[c*n+y*tw+x]
				}
			}
		}
	}
	for i := range b.sums {
		b.sums[i] /= 8
	}
	use(b.sums)
	return nil
}

// A view shows an image flipped or rotated: pixel x, y of the view is pixel origin + x·dx + y·dy of the image.
type view struct {
	swapped        bool // width and height
	origin, dx, dy int
}

func (v view) at(x, y int) int { return v.origin + x*v.dx + y*v.dy }

// turned returns one of the eight views of an image of w × h pixels; 0 shows it as it is.
func turned(k, w, h int) view {
	v := view{dx: 1, dy: w}
	if k&1 != 0 {
		v.origin, v.dx = w-1, -1
	}
	if k&2 != 0 {
		v.origin, v.dy = v.origin+(h-1)*w, -w
	}
	if k&4 != 0 {
		v.swapped, v.dx, v.dy = true, v.dy, v.dx
	}
	return v
}

// grown returns n values, in b where they fit.
func grown[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}
