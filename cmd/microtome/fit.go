package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"microtome/unet"
	"microtome/unet/network"
	"microtome/unet/predict"
	"microtome/unet/score"
)

// A fitting is a model of ours that gets another threshold and object filter.
type fitting struct {
	shape  network.Shape
	params network.Params
	card   unet.Card
}

// openFitting reads a model that can be written again.
func openFitting(name string) (*fitting, error) {
	data, err := unet.Read(name)
	if err != nil {
		return nil, err
	}
	var f fitting
	if f.shape, f.params, f.card, err = unet.Import(data); err != nil {
		return nil, fmt.Errorf("--fit %s: %w: give a model that microtome trained", name, err)
	}
	return &f, nil
}

// write writes the model with a filter and the scores that it leads to.
func (f *fitting) write(path string, filter score.Filter, total score.Scores) error {
	metrics, err := json.Marshal(total)
	if err != nil {
		return err
	}
	c := f.card
	c.Threshold, c.MinArea, c.MinPeak, c.Grow, c.Metrics = filter.Threshold, filter.MinArea, filter.MinPeak, filter.Grow, string(metrics)
	data, err := unet.Export(f.shape, f.params, c)
	if err != nil {
		return err
	}
	return writeWhole("--fit", path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// choose returns the filter that suits what the model predicts of images best, as validation of a training run does.
func choose(images []prediction, spec unet.Spec) score.Filter {
	var cases []score.Case
	for _, m := range images {
		planes := [][]float32{slices.Clone(m.planes[0])} // the rest of it is needed again
		p := predict.Highest(append(planes, m.planes[1:]...))
		m.Forget(p)
		cases = append(cases, score.Case{P: p, Truth: m.Instances, MPP: m.unit(spec)})
	}
	return score.Choose(cases, score.NewDefaultGrid(spec.MPP))
}
