package train

import (
	"context"

	"microtome/internal/raster"
	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/network"
	"microtome/unet/ops"
	"microtome/unet/predict"
	"microtome/unet/score"
)

// A validator predicts the images that were held back and scores their objects.
type validator struct {
	config Config
	images []dataset.Image
}

func newValidator(c Config, images []dataset.Image) *validator {
	return &validator{c, images}
}

// validate returns the best filter for the weights, and the scores with it.
func (v *validator) validate(ctx context.Context, p network.Params) (score.Filter, score.Scores, error) {
	net := &inMemory{config: v.config, params: p, graphs: map[[2]int]*network.Forward{}}
	defer net.close()
	var cases []score.Case
	for _, m := range v.images {
		prob, err := predict.Foreground(ctx, net, m.RGB, m.MPP)
		if err != nil {
			return score.Filter{}, score.Scores{}, err
		}
		cases = append(cases, score.Case{P: prob, Truth: m.Instances})
	}
	grid := score.NewDefaultGrid()
	grid.MinPeaks = []float64{0, 0.7, 0.85}
	f, _ := score.Choose(cases, grid)
	var total score.Counts
	for _, c := range cases {
		total.Add(score.Compare(c.Truth, f.Objects(c.P, c.Truth.W, c.Truth.H)))
	}
	return f, total.Scores(), nil
}

// inMemory runs weights that are being trained.
type inMemory struct {
	config Config
	params network.Params
	graphs map[[2]int]*network.Forward
}

func (n *inMemory) Spec() unet.Spec {
	a := unet.Architecture{Depth: n.config.Shape.Depth, Same: n.config.Shape.Same}
	return unet.Spec{Geometry: a.Geometry(), MPP: n.config.MPP, Classes: n.config.Classes}
}

func (n *inMemory) Outputs() int { return n.config.Shape.Classes }

func (n *inMemory) Logits(_ context.Context, w, h int, in []byte, out []float32) error {
	g := n.Spec().Geometry
	iw, ih := g.Input(w), g.Input(h)
	f := n.graphs[[2]int{iw, ih}]
	if f == nil {
		var err error
		if f, err = network.NewForward(n.config.Shape, n.params, ih, iw, &ops.Ops{Threads: 2}); err != nil {
			return err
		}
		n.graphs[[2]int{iw, ih}] = f
	}
	t := sample{image: raster.RGB{W: iw, H: ih, Pix: in}}
	image := make([]float32, 3*iw*ih)
	t.feed(n.config, image, nil, 1)
	logits, err := f.Run(image)
	if err != nil {
		return err
	}
	ow, _ := n.config.Shape.Output(iw)
	oh, _ := n.config.Shape.Output(ih)
	at := (iw - ow) / 2 // where the output begins in the input
	for c := range n.config.Shape.Classes {
		for y := range h {
			copy(out[(c*h+y)*w:][:w], logits[(c*oh+y+g.Before-at)*ow+g.Before-at:])
		}
	}
	return nil
}

func (n *inMemory) close() {
	for _, f := range n.graphs {
		_ = f.Close()
	}
}
