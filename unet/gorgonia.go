package unet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"microtome/unet/network"
	"microtome/unet/onnx"
	"microtome/unet/ops"
)

// gorgoniaName is the device's name.
const gorgoniaName = "gorgonia"

// gorgonia is an [Engine] on Gorgonia, for networks of package network: what training makes. It needs no library. A
// prediction has a graph to itself; graphs are kept for the next prediction of their size. On a processor with a C
// compiler behind the program (see ops.Direct) results are the same, bit for bit, for any tiling that the Geometry
// allows.
type gorgonia struct {
	spec     Spec
	shape    network.Shape
	params   network.Params
	handicap float32
	origin   int // of the network's output in its input, px
	threads  int

	mu      sync.Mutex
	idle    []*pass       // of the size that ran last
	bytes   map[int]int64 // what a pass takes, by core
	closing sync.RWMutex  // held for reading by predictions
	closed  bool
}

// NewGorgonia runs a network from memory, with as many threads for each prediction as asked, 0: one. It shares the values of
// params, which must not change while it predicts. Card gives the names, the normalisation and the threshold.
func NewGorgonia(s network.Shape, params network.Params, c Card, threads int) (Engine, error) {
	a := architectureOf(s, c)
	if err := errors.Join(s.Check(params), a.Validate()); err != nil {
		return nil, err
	}
	c.Classes = classNames(c.Classes, s.Classes)
	return newGorgonia(Spec{Name: c.Name, Geometry: a.Geometry(), Channels: s.Channels, Classes: c.Classes, MPP: c.MPP, Card: c}, s, params, threads), nil
}

// openGorgonia is for a file that microtome wrote.
func openGorgonia(m *onnx.Model, spec Spec) (Engine, error) {
	s, params, _, err := trained(m)
	if err == nil && spec.Geometry != architectureOf(s, Card{}).Geometry() {
		err = errNotTrained
	}
	if err != nil {
		return nil, fmt.Errorf("the gorgonia engine runs models that microtome trained: %w: use --device cpu", err)
	}
	return newGorgonia(spec, s, params, 1), nil
}

func newGorgonia(spec Spec, s network.Shape, params network.Params, threads int) *gorgonia {
	spec.Engine, spec.Logits = "gorgonia, cpu", s.Classes
	return &gorgonia{
		spec: spec, shape: s, params: params, handicap: spec.Card.handicap(), threads: max(threads, 1),
		origin: architectureOf(s, Card{}).shrink(), bytes: map[int]int64{},
	}
}

func (e *gorgonia) Spec() Spec { return e.spec }

// Bytes counts the arena of a pass, the image as floats, and what a graph takes whatever its size.
func (e *gorgonia) Bytes(core int) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n, ok := e.bytes[core]; ok {
		return n
	}
	p, err := e.build(core, core)
	if err != nil {
		return 1 << 40 // no such tile, or it could not run
	}
	edge := e.spec.Geometry.Input(core)
	defer p.free()
	n := p.ops.Arena.Bytes() + 4*int64(edge)*int64(edge)*int64(e.spec.Channels) + 8<<20
	e.bytes[core] = n
	return n
}

// Predict labels tiles one by one; see [Model].
func (e *gorgonia) Predict(ctx context.Context, n int, in, out []byte) error {
	core, err := e.spec.tiles(n, len(in), len(out))
	if err != nil {
		return err
	}
	for i := range n {
		tile, labels := in[i*len(in)/n:][:len(in)/n], out[i*len(out)/n:][:core*core]
		err := e.run(ctx, core, core, tile, func(row int, logits [][]float32) {
			chooseLabels(logits, e.handicap, labels[row*core:][:core])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Logits gives the network's output before the choice of a class; see [LogitsModel].
func (e *gorgonia) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	if err := e.spec.checkLogits(w, h, len(in), len(out)); err != nil {
		return err
	}
	return e.run(ctx, w, h, in, func(row int, logits [][]float32) {
		for c, v := range logits {
			copy(out[(c*h+row)*w:][:w], v)
		}
	})
}

// run runs the network on a core of w × h pixels and hands over each row of it. It stops between two layers when ctx ends.
func (e *gorgonia) run(ctx context.Context, w, h int, in []byte, row func(row int, logits [][]float32)) error {
	e.closing.RLock()
	defer e.closing.RUnlock()
	if e.closed {
		return errors.New("the model is closed")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p, err := e.take(w, h)
	if err != nil {
		return err
	}
	p.ops.Stop = ctx.Err
	p.image = grown(p.image, len(in))
	normalise(in, p.image, e.spec.Channels, e.spec.Card)
	out, err := p.forward.Run(p.image)
	if err != nil {
		p.free() // it stopped halfway
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("gorgonia: %s", firstLine(err))
	}
	g := e.spec.Geometry
	width, height := g.Input(w)-2*e.origin, g.Input(h)-2*e.origin
	at := g.Before - e.origin
	rows := make([][]float32, e.spec.Logits)
	for y := range h {
		for c := range rows {
			rows[c] = out[(c*height+at+y)*width+at:][:w]
		}
		row(y, rows)
	}
	e.give(p)
	return nil
}

// normalise turns pixels, as bytes, into planes of numbers.
func normalise(in []byte, planes []float32, channels int, c Card) {
	mean, scale, n := c.Mean, c.scale(), len(in)/channels
	for k := range channels {
		to := planes[k*n:][:n]
		for i := range to {
			to[i] = (float32(in[i*channels+k]) - mean) * scale
		}
	}
}

// A pass is a graph with its memory, for cores of one size. One goroutine at a time may run it.
type pass struct {
	w, h    int // of the core
	ops     *ops.Ops
	forward *network.Forward
	image   []float32
}

func (p *pass) free() {
	_ = p.forward.Close() // it has nothing to report, and without it the graph is never collected
	p.ops.Arena.Free()
}

// take returns a pass for cores of w × h pixels: an idle one, or a new one. Idle ones of other sizes make room first.
func (e *gorgonia) take(w, h int) (*pass, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop(func(p *pass) bool { return p.w != w || p.h != h })
	if n := len(e.idle); n > 0 {
		p := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return p, nil
	}
	return e.build(w, h)
}

// give keeps a pass for the next prediction, in place of those of other sizes.
func (e *gorgonia) give(p *pass) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop(func(o *pass) bool { return o.w != p.w || o.h != p.h })
	e.idle = append(e.idle, p)
}

// drop frees idle passes.
func (e *gorgonia) drop(which func(*pass) bool) {
	e.idle = slices.DeleteFunc(e.idle, func(p *pass) bool {
		if which(p) {
			p.free()
			return true
		}
		return false
	})
}

// build makes a pass. Its memory is taken when it runs.
func (e *gorgonia) build(w, h int) (*pass, error) {
	g := e.spec.Geometry
	iw, ih := g.Input(w), g.Input(h)
	p := &pass{w: w, h: h, ops: &ops.Ops{Threads: e.threads, Arena: &ops.Arena{}}}
	var err error
	if p.forward, err = network.NewForward(e.shape, e.params, ih, iw, p.ops); err != nil {
		return nil, fmt.Errorf("gorgonia: %s", firstLine(err))
	}
	return p, nil
}

// Close frees the graphs.
func (e *gorgonia) Close() error {
	e.closing.Lock()
	defer e.closing.Unlock()
	e.closed = true
	e.drop(func(*pass) bool { return true })
	return nil
}
