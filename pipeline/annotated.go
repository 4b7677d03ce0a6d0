package pipeline

import (
	"context"
	"errors"
	"io"

	"microtome/slide"
	"microtome/unet/dataset"
)

// OpenAnnotated opens slides for dataset.Config.Open.
func OpenAnnotated(_ context.Context, path string, mpp, own float64) (*dataset.Slide, error) {
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		return nil, err
	}
	a, err := annotated(s, mpp, own)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return a, nil
}

// annotated gives an open slide at mpp µm a pixel, or level 0 where mpp is 0. own is the size of a pixel
// of level 0, 0 for what the slide says.
func annotated(s *slide.Slide, mpp, own float64) (*dataset.Slide, error) {
	info := s.Info()
	var v *slide.View
	var err error
	switch {
	case mpp > 0 && own == 0 && info.MPP == 0:
		err = &slide.Error{Op: "open", Path: info.Path, Err: errors.New(`the slide does not state its pixel size: give "mpp" in index.json, about 0.25 at 40×, 0.5 at 20×`)}
	case mpp > 0:
		v, err = s.AtMPP(mpp, own)
	case own > 0: // level 0, whose resolution is stated
		v, err = s.AtMPP(own, own)
	default:
		v, err = s.AtLevel(0)
	}
	if err != nil {
		return nil, err
	}
	return &dataset.Slide{
		Size:   v.Size(),
		Scale:  v.Scale() * info.Levels[v.Level()].Downsample,
		Origin: info.Bounds.Min, // QuPath crops to the scanned area
		MPP:    v.MPP(),
		Pixels: struct {
			*slide.View
			io.Closer
		}{v, s},
	}, nil
}
