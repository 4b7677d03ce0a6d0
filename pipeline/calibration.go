package pipeline

import (
	"context"
	"errors"
	"image"
	"math/rand/v2"

	"microtome/slide"
	"microtome/slide/tissue"
	"microtome/unet"
)

// A Calibration says which tiles of a slide show a model what it will see.
type Calibration struct {
	Tiles int     // how many
	Core  int     // of each, px, a multiple of the model's stride
	Seed  uint64  // of their places
	MPP   float64 // of level 0, in place of what the slide says; 0: that
}

// CalibrationTiles returns tiles of a slide as the model takes them, at random places that are tissue by half at least. Where a
// slide has too few, places with less are taken.
func CalibrationTiles(ctx context.Context, path string, spec unet.Spec, c Calibration) (tiles [][]byte, err error) {
	s, err := slide.Open(path, slide.NewDefaultConfig())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var v *slide.View
	switch {
	case spec.MPP > 0 && c.MPP == 0 && s.Info().MPP == 0:
		err = &slide.Error{Op: "open", Path: path, Err: errors.New("the slide does not state its pixel size: give --mpp, about 0.25 at 40×, 0.5 at 20×")}
	case spec.MPP > 0:
		v, err = s.AtMPP(spec.MPP, c.MPP)
	default:
		v, err = s.AtLevel(0)
	}
	if err != nil {
		return nil, err
	}
	found, err := tissue.Find(ctx, v, tissue.Config{Speck: dust, MPP: c.MPP})
	if err != nil {
		return nil, err
	}
	places := tissueCores(found, v, c)
	if len(places) == 0 {
		return nil, &slide.Error{Op: "calibrate", Path: path, Err: errors.New("no tissue was found on the slide: give one with stained tissue")}
	}
	for _, p := range places {
		r := image.Rectangle{Min: p.Sub(image.Pt(spec.Before, spec.Before)), Max: p.Add(image.Pt(c.Core+spec.After, c.Core+spec.After))}
		pixels := make([]byte, 3*r.Dx()*r.Dy())
		if err := v.Read(ctx, pixels, r); err != nil {
			return nil, err
		}
		tiles = append(tiles, pixels)
	}
	return tiles, nil
}

// tissueCores returns the upper left corners of cores in a view.
func tissueCores(found *tissue.Tissue, v *slide.View, c Calibration) []image.Point {
	r := rand.New(rand.NewPCG(c.Seed, 0x7155))
	bounds := v.Bounds()
	span := image.Pt(max(1, bounds.Dx()-c.Core+1), max(1, bounds.Dy()-c.Core+1))
	var places, poor []image.Point
	for range 100 * c.Tiles {
		p := bounds.Min.Add(image.Pt(r.IntN(span.X), r.IntN(span.Y)))
		core := image.Rectangle{Min: p, Max: p.Add(image.Pt(c.Core, c.Core))}
		switch share := float64(found.Pixels(core)) / float64(c.Core*c.Core); {
		case share >= 0.5:
			places = append(places, p)
		case share > 0.02:
			poor = append(poor, p)
		}
		if len(places) == c.Tiles {
			return places
		}
	}
	places = append(places, poor...)
	return places[:min(len(places), c.Tiles)]
}
