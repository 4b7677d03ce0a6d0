package train

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"

	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/network"
	"microtome/unet/predict"
	"microtome/unet/score"
)

// A validator predicts the images that were held back and scores their objects.
type validator struct {
	config  Config
	images  []dataset.Image
	threads int
}

// validate returns the filter that suits the weights best with the scores it leads to, and what was found.
func (v *validator) validate(ctx context.Context, p network.Params) (_ Validated, _ []view, err error) {
	net, err := unet.NewGorgonia(v.config.Shape, p, v.config.card(), v.threads)
	if err != nil {
		return Validated{}, nil, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	var cases []score.Case
	for _, m := range v.images {
		prob, err := predict.Foreground(ctx, net, m.RGB, m.MPP)
		if err != nil {
			return Validated{}, nil, err
		}
		m.Forget(prob)
		c := score.Case{P: prob, Truth: m.Instances}
		if v.config.MPP > 0 { // else all is in pixels
			c.MPP = cmp.Or(m.MPP, v.config.MPP)
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		return Validated{Filter: score.NewDefaultFilter()}, nil, nil
	}
	f := score.Choose(cases, score.NewDefaultGrid(v.config.MPP))
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
	card := s.card()
	metrics, err := json.Marshal(s.Best.Scores)
	if err != nil {
		return err
	}
	recipe, err := json.Marshal(s.Config)
	if err != nil {
		return err
	}
	f := s.Best.Filter
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

// card returns what is known of the model before validation.
func (s *state) card() unet.Card {
	card, known := s.Card, s.Config.card()
	card.Name, card.Classes, card.MPP, card.Mean, card.Scale = known.Name, known.Classes, known.MPP, known.Mean, known.Scale
	return card
}

// card returns what the configuration says of the model.
func (c Config) card() unet.Card {
	return unet.Card{Name: c.Name, Classes: c.Classes, MPP: c.MPP, Mean: float32(c.Mean), Scale: float32(c.Scale)}
}
