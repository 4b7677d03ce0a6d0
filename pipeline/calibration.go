package pipeline

import (
	"context"
	"errors"
	"image"
	"math/rand/v2"

	"microtome/slide"
	"microtome/unet"
)

// A Calibration says which tiles of a slide show a model what it will see.
type Calibration struct {
	Tiles int     // how many
	Core  int     // of each, px, a multiple of the model's stride
	Seed  uint64  // of their places
	MPP   float64 // of level 0, in place of what the slide says; 0: that
}

// CalibrationTiles returns tiles of a slide as the model takes them, at random places where there is tissue: where at least half of the pixels
// have colour. Where a slide has less, its most coloured places are taken.
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
	thumbnail, err := s.Thumbnail(ctx, 1024)
	if err != nil {
		return nil, err
	}
	places := tissueCores(thumbnail, v, c)
	if len(places) == 0 {
		return nil, &slide.Error{Op: "calibrate", Path: path, Err: errors.New("the slide has no place with colour: give one with stained tissue")}
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

// coloured is the least difference between the channels of a pixel that is stained, of 255: glass is grey.
const coloured = 25

// tissueCores returns the upper left corners of cores in a view, by what a thumbnail of the slide shows.
func tissueCores(thumbnail *image.RGBA, v *slide.View, c Calibration) []image.Point {
	r := rand.New(rand.NewPCG(c.Seed, 0x7155))
	bounds := v.Bounds()
	span := image.Pt(max(1, bounds.Dx()-c.Core+1), max(1, bounds.Dy()-c.Core+1))
	var places, poor []image.Point
	for range 100 * c.Tiles {
		p := bounds.Min.Add(image.Pt(r.IntN(span.X), r.IntN(span.Y)))
		switch share := colouredShare(thumbnail, image.Rectangle{Min: p, Max: p.Add(image.Pt(c.Core, c.Core))}, v.Size()); {
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

// colouredShare returns the share of the pixels of a thumbnail that have colour, within a rectangle of a view of a size.
func colouredShare(thumbnail *image.RGBA, in image.Rectangle, size image.Point) float64 {
	t := thumbnail.Rect
	part := image.Rect(in.Min.X*t.Dx()/size.X, in.Min.Y*t.Dy()/size.Y, in.Max.X*t.Dx()/size.X+1, in.Max.Y*t.Dy()/size.Y+1).Intersect(t)
	n := 0
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			p := thumbnail.Pix[thumbnail.PixOffset(x, y):][:3]
			if max(p[0], p[1], p[2])-min(p[0], p[1], p[2]) >= coloured {
				n++
			}
		}
	}
	return float64(n) / float64(max(1, part.Dx()*part.Dy()))
}
