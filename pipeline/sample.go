package pipeline

import (
	"context"
	"image"

	"microtome/slide/tissue"
	"microtome/unet"
)

// A sample of a slide's tissue, for models that normalise by the image: one normalisation for the slide, or a tile of
// background would be stretched to look like tissue, and tiles would not fit together.
const (
	sampleGrid    = 1024 // places along the long edge of the slide that are looked at
	sampleSquares = 64
	sampleEdge    = 128 // of a square, px of the working resolution
	dust          = 100 // what is smaller is no tissue to sample, µm²
)

// forSlide returns a model as it is for the slide.
func (p *Pipeline) forSlide(ctx context.Context, s *subject, m unet.Model) (unet.Model, *unet.Normalisation, error) {
	if !m.Spec().PerSlide {
		return m, nil, nil
	}
	pixels, err := s.sample(ctx, p.mpp(s.item))
	if err != nil {
		return nil, nil, err
	}
	return unet.ForSlide(m, pixels)
}

// sample returns RGB pixels of the tissue at the working resolution: of squares spread evenly over it. The same slide always gives
// the same, wherever the network is asked. own is the size of a pixel of level 0, 0 for what the slide says.
func (s *subject) sample(ctx context.Context, own float64) ([]byte, error) {
	found, err := tissue.Find(ctx, s.view, tissue.Config{Recall: tissue.Strict, Speck: dust, MPP: own})
	if err != nil {
		return nil, err
	}
	region := s.plan.Region
	if both := region.Intersect(s.view.Bounds()); !both.Empty() {
		region = both
	}
	var places []image.Point // of tissue, px of the working resolution
	step := max(1, max(s.plan.Size.X, s.plan.Size.Y)/sampleGrid)
	for y := region.Min.Y + step/2; y < region.Max.Y; y += step {
		for x := region.Min.X + step/2; x < region.Max.X; x += step {
			if found.Contains(x, y) {
				places = append(places, image.Pt(x, y))
			}
		}
	}
	if len(places) == 0 {
		places = []image.Point{region.Min.Add(region.Size().Div(2))}
	}
	n := min(sampleSquares, len(places))
	pixels := make([]byte, 0, n*3*sampleEdge*sampleEdge)
	square := make([]byte, 3*sampleEdge*sampleEdge)
	for i := range n {
		at := places[(2*i+1)*len(places)/(2*n)]
		if err := s.view.Read(ctx, square, image.Rect(0, 0, sampleEdge, sampleEdge).Add(at).Sub(image.Pt(sampleEdge/2, sampleEdge/2))); err != nil {
			return nil, err
		}
		for k := 0; k < len(square); k += 3 {
			if p := square[k : k+3]; found.Field == tissue.Dark || luma(p) >= unscanned {
				pixels = append(pixels, p...)
			}
		}
	}
	if len(pixels) == 0 {
		return square, nil
	}
	return pixels, nil
}

// unscanned is the brightness below which scanners and formats leave what was not scanned: black, but for what compression
// adds. No stain is as dark.
const unscanned = 8

// luma returns the brightness of an RGB pixel, 0 … 255.
func luma(p []byte) int {
	return (299*int(p[0]) + 587*int(p[1]) + 114*int(p[2]) + 500) / 1000
}
