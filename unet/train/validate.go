package train

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"

	"microtome/internal/raster"
	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/network"
	"microtome/unet/ops"
	"microtome/unet/predict"
	"microtome/unet/score"
)

// filters are what validation chooses from: areas are µm², growth is µm, or pixels where the model has no resolution.
func (c Config) filters() score.Grid {
	g := score.Grid{
		Thresholds:   []float64{0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7},
		MinAreas:     []float64{0, 2, 4, 6, 8, 10, 12},
		MinPeaks:     []float64{0, 0.7, 0.8, 0.85, 0.9},
		Grow:         []float64{0, 0.25, 0.5},
		Connectivity: 8,
	}
	if c.MPP == 0 { // as at 0.5 µm a pixel
		for i := range g.MinAreas {
			g.MinAreas[i] *= 4
		}
		for i := range g.Grow {
			g.Grow[i] *= 2
		}
	}
	return g
}

// A validator predicts the images that were held back and scores their objects.
type validator struct {
	config  Config
	images  []dataset.Image
	threads int
}

// validate returns the filter that suits the weights best with the scores it leads to, and what was found.
func (v *validator) validate(ctx context.Context, p network.Params) (Validated, []view, error) {
	net := &inMemory{config: v.config, params: p, threads: v.threads, graphs: map[[2]int]*network.Forward{}}
	defer net.close()
	var cases []score.Case
	for _, m := range v.images {
		prob, err := predict.Foreground(ctx, net, m.RGB, m.MPP)
		if err != nil {
			return Validated{}, nil, err
		}
		c := score.Case{P: prob, Truth: m.Instances, MPP: m.MPP}
		if c.MPP == 0 {
			c.MPP = v.config.MPP
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		return Validated{Filter: score.NewDefaultFilter()}, nil, nil
	}
	f, _ := score.Choose(cases, v.config.filters())
	var total score.Counts
	var views []view
	for i, c := range cases {
		found := f.Pixels(c.MPP).Objects(c.P, c.Truth.W, c.Truth.H)
		total.Add(score.Compare(c.Truth, found))
		views = append(views, view{v.images[i].Name, v.images[i].RGB, c.Truth, found, c.P})
	}
	return Validated{Filter: f, Scores: total.Scores(), Images: len(cases)}, views, nil
}

// export writes the model of the best weights.
func (r *Run) export(s *state) error {
	card := r.Card
	metrics, err := json.Marshal(s.Best.Scores)
	if err != nil {
		return err
	}
	recipe, err := json.Marshal(s.Config)
	if err != nil {
		return err
	}
	f := s.Best.Filter
	card.Name, card.Classes, card.MPP = s.Config.Name, s.Config.Classes, s.Config.MPP
	card.Mean, card.Scale = float32(s.Config.Mean), float32(s.Config.Scale)
	card.Threshold, card.MinArea, card.MinPeak, card.Grow = f.Threshold, f.MinArea, f.MinPeak, f.Grow
	card.TrainingSHA256, card.Recipe, card.Seed, card.Metrics = s.Data, string(recipe), s.Config.Seed, string(metrics)
	data, err := unet.Export(s.Config.Shape, s.best, card)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(r.Dir, ModelName), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// inMemory runs weights that are being trained.
type inMemory struct {
	config  Config
	params  network.Params
	threads int
	graphs  map[[2]int]*network.Forward
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
		if f, err = network.NewForward(n.config.Shape, n.params, ih, iw, &ops.Ops{Threads: n.threads}); err != nil {
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
		_ = f.Close() // frees memory, cannot fail
	}
}
