package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"microtome/unet"
	"microtome/unet/dataset"
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

// choose returns the filter that suits what the model predicts of the images best, as validation of a training run does.
func (o *evalOptions) choose(ctx context.Context, j *job, model predict.Network, images []dataset.Image) (score.Filter, error) {
	spec := model.Spec()
	var cases []score.Case
	j.begin("image", 0, len(images))
	began := time.Now()
	for i, m := range images {
		mpp, _ := o.resolution(m, spec)
		p, err := predict.Foreground(ctx, model, m.RGB, mpp)
		if ctx.Err() != nil {
			return score.Filter{}, context.Cause(ctx)
		}
		if err != nil {
			return score.Filter{}, fmt.Errorf("%s: %w", m.Name, err)
		}
		m.Forget(p)
		c := score.Case{P: p, Truth: m.Instances}
		if spec.MPP > 0 { // else the filter is in pixels
			c.MPP = mpp
		}
		cases = append(cases, c)
		each := time.Since(began).Seconds() / float64(i+1)
		j.progress(i+1, fmt.Sprintf("%s  %s", m.Name, left(float64(len(images)-i-1), each)), fields{"image": i + 1, "images": len(images)})
	}
	return score.Choose(cases, score.NewDefaultGrid(spec.MPP)), nil
}
