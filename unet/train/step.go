package train

import (
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"microtome/unet/dataset"
	"microtome/unet/network"
	"microtome/unet/ops"
	"microtome/unet/score"
)

// A trainer computes the gradients of a step. Each tile of a batch is computed by one worker, whole, into a place of its
// own, and the places are summed in order: how many workers there are changes nothing.
type trainer struct {
	config  Config
	workers []*worker
	grads   [][][]float32 // by tile of the batch, by param
	results []result      // by tile of the batch
}

// A worker has a replica of the network, which shares the weights with the others.
type worker struct {
	step                    *network.Step
	sampler                 *sampler
	image, weights, dropout []float32
}

// A result is what is told of a tile.
type result struct {
	image  string // that the tile is of
	loss   float64
	pixels score.Pixels
}

// calmer is what to do when numbers have grown without bounds.
const calmer = "lower the learning rate (--rate), or clip gradients (--clip 1)"

func newTrainer(c Config, images []dataset.Image, params network.Params, threads int) (*trainer, error) {
	t := &trainer{config: c, results: make([]result, c.Batch)}
	images = mark(images)
	in, out := c.input()
	ch, h, w := c.Shape.Bottom(in, in)
	for range min(threads, c.Batch) {
		step, err := network.NewStep(c.Shape, params, in, in, &ops.Ops{Threads: max(1, threads/c.Batch)})
		if err != nil {
			return nil, err
		}
		t.workers = append(t.workers, &worker{
			step: step, sampler: newSampler(c, images), image: make([]float32, c.Shape.Channels*in*in),
			weights: make([]float32, c.Shape.Classes*out*out), dropout: make([]float32, ch*h*w),
		})
	}
	for range c.Batch {
		var grads [][]float32
		for _, p := range params {
			grads = append(grads, make([]float32, len(p.Value)))
		}
		t.grads = append(t.grads, grads)
	}
	return t, nil
}

// run computes the gradients of a step, the mean over its tiles, and what is told of it.
func (t *trainer) run(step int) (grads [][]float32, r result, err error) {
	var group errgroup.Group
	n := len(t.workers)
	for i, w := range t.workers {
		group.Go(func() error {
			for j := t.config.Batch * i / n; j < t.config.Batch*(i+1)/n; j++ {
				var err error
				if t.results[j], err = w.run(t.config, uint64(step)*uint64(t.config.Batch)+uint64(j), t.grads[j]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, result{}, err
	}
	grads = t.grads[0]
	for _, more := range t.grads[1:] {
		for i, g := range more {
			sum := grads[i]
			for j, v := range g {
				sum[j] += v
			}
		}
	}
	for _, one := range t.results {
		if math.IsNaN(one.loss) || math.IsInf(one.loss, 0) {
			return nil, r, fmt.Errorf("%s: the loss is %g at step %d, in a tile of this image: %s", one.image, one.loss, step+1, calmer)
		}
		r.loss += one.loss
		r.pixels.Add(one.pixels)
	}
	return grads, r, nil
}

// run draws a tile and computes its part of the gradients.
func (w *worker) run(c Config, n uint64, grads [][]float32) (result, error) {
	tile := w.sampler.draw(n)
	tile.feed(c, w.image, w.weights, float64(len(tile.classes)*c.Batch))
	c.dropout(n, w.dropout)
	loss, err := w.step.Run(w.image, w.weights, w.dropout)
	if err != nil {
		return result{}, err
	}
	for i := range grads {
		copy(grads[i], w.step.Grad(i))
	}
	return result{tile.name, loss, agreement(w.step.Logits(), tile, c.Shape.Classes)}, nil
}

// agreement counts pixels that the network and the target call foreground, where pixels have weight.
func agreement(logits []float32, t sample, n int) (p score.Pixels) {
	m := len(t.classes)
	for i, want := range t.classes {
		if t.weights[i] == 0 {
			continue
		}
		got := false
		for c := 1; c < n; c++ {
			got = got || logits[c*m+i] > logits[i]
		}
		switch {
		case got && want > 0:
			p.TP++
		case got:
			p.FP++
		case want > 0:
			p.FN++
		default:
			p.TN++
		}
	}
	return p
}

func (t *trainer) close() {
	for _, w := range t.workers {
		_ = w.step.Close() // frees memory, cannot fail
	}
}
