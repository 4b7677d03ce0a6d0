package main

import (
	"math/rand/v2"
	"testing"

	"microtome/internal/raster"
	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/network"
	"microtome/unet/predict"
	"microtome/unet/score"
)

// The classes that eval counts are the labels that segment writes.
func TestEvalCountsTheLabelsOfSegment(t *testing.T) {
	for _, threshold := range []float64{0.3, 0.5, 0.7} {
		s := network.Shape{Depth: 1, Base: 3, Channels: 3, Classes: 4}
		model, err := unet.NewGorgonia(s, s.Init(6), unet.Card{Threshold: threshold, Mean: 128, Scale: 0.02}, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer model.Close()
		const edge = 64
		r := rand.New(rand.NewPCG(7, 8))
		m := dataset.Image{Name: "noise", RGB: raster.NewRGB(edge, edge), Instances: raster.NewLabels(edge, edge)}
		for i := range m.Pix {
			m.Pix[i] = byte(r.IntN(256))
		}
		spec := model.Spec()
		var in []byte
		for y := range spec.Geometry.Input(edge) {
			for x := range spec.Geometry.Input(edge) {
				in = append(in, m.At(raster.Reflect(x-spec.Before, edge), raster.Reflect(y-spec.Before, edge))...)
			}
		}
		want := make([]byte, edge*edge)
		if err := model.Predict(t.Context(), 1, in, want); err != nil {
			t.Fatal(err)
		}
		planes, err := predict.Classes(t.Context(), model, m.RGB, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, got := classes(m, planes, threshold)
		differ, of := 0, map[byte]int{}
		for i, w := range want {
			of[w]++
			if got[i] != w {
				differ++
			}
		}
		if differ > 2 || len(of) < 3 { // where two are equal but for rounding
			t.Errorf("threshold %g: %d pixels differ, labels %v", threshold, differ, of)
		}
	}
}

// Where nobody annotated, nothing counts: neither for objects nor for classes.
func TestEvalForgetsWhatNobodyAnnotated(t *testing.T) {
	s := network.Shape{Depth: 1, Base: 3, Channels: 3, Classes: 3}
	model, err := unet.NewGorgonia(s, s.Init(6), unet.Card{Mean: 128, Scale: 0.02}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	m := dataset.Image{Name: "noise", RGB: raster.NewRGB(40, 40), Instances: raster.NewLabels(40, 40), Outside: make([]bool, 1600)}
	for i := range m.Pix {
		m.Pix[i] = byte(i * i)
	}
	add := func(to *score.Report) {
		planes, err := predict.Classes(t.Context(), model, m.RGB, 0)
		if err != nil {
			t.Fatal(err)
		}
		prediction{m, 0, planes}.add(to, model.Spec())
	}
	known := score.NewReport(score.NewDefaultFilter())
	add(known)
	for i := range m.Outside {
		m.Outside[i] = true
	}
	unknown := score.NewReport(score.NewDefaultFilter())
	add(unknown)
	if known.Total.Objects == 0 || unknown.Total.Objects != 0 {
		t.Errorf("%d objects found where somebody annotated that there are none, %d where nobody did; want some and none", known.Total.Objects, unknown.Total.Objects)
	}
	if known.Classes[0].IoU == 1 || unknown.Classes[0].IoU != 1 {
		t.Errorf("IoU of background %g and %g, want less than 1 and 1", known.Classes[0].IoU, unknown.Classes[0].IoU)
	}
}
