package pipeline

import (
	"context"
	"image"

	"microtome/unet"
)

// A sample of a slide's tissue, for models that normalise by the image: one normalisation for the slide, or a tile of
// background would be stretched to look like tissue, and tiles would not fit together.
const (
	sampleThumb   = 1024 // edge of the picture that tissue is looked for in, px
	sampleSquares = 64
	sampleEdge    = 128 // of a square, px of the working resolution
)

// forSlide returns the model as it is for the slide.
func (p *Pipeline) forSlide(ctx context.Context, s *subject) (unet.Model, *unet.Normalisation, error) {
	if !p.Model.Spec().PerSlide {
		return p.Model, nil, nil
	}
	pixels, err := s.sample(ctx)
	if err != nil {
		return nil, nil, err
	}
	return unet.ForSlide(p.Model, pixels)
}

// sample returns RGB pixels of the tissue at the working resolution: of squares spread evenly over it. The same slide always gives
// the same.
func (s *subject) sample(ctx context.Context) ([]byte, error) {
	thumb, err := s.Thumbnail(ctx, sampleThumb)
	if err != nil {
		return nil, err
	}
	size, region := s.plan.Size, s.plan.Region
	var places []image.Point // of tissue, px of the working resolution
	for _, at := range tissue(thumb) {
		x, y := (2*at.X+1)*size.X/(2*thumb.Rect.Dx()), (2*at.Y+1)*size.Y/(2*thumb.Rect.Dy())
		if pt := image.Pt(x, y); pt.In(region) {
			places = append(places, pt)
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
		pixels = append(pixels, square...)
	}
	return pixels, nil
}

// tissue returns the pixels of a picture that are no background, by rows: those on the other side of Otsu's threshold of
// brightness than the edge of the scale that most pixels are near to. Of an even picture all are.
func tissue(m *image.RGBA) []image.Point {
	var histogram [256]int
	b := m.Rect
	luma := func(x, y int) int {
		p := m.Pix[m.PixOffset(x, y):]
		return (299*int(p[0]) + 587*int(p[1]) + 114*int(p[2]) + 500) / 1000
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			histogram[luma(x, y)]++
		}
	}
	threshold := otsu(histogram)
	dark, bright := 0, 0 // pixels near to black and to white
	for v, n := range histogram {
		if v < 64 {
			dark += n
		} else if v >= 192 {
			bright += n
		}
	}
	var found []image.Point
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if v := luma(x, y); threshold < 0 || (v > threshold) == (dark > bright) {
				found = append(found, image.Pt(x-b.Min.X, y-b.Min.Y))
			}
		}
	}
	return found
}

// otsu returns the value that parts a histogram into two groups, up to it and above, that differ most from each other (Otsu
// 1979), -1 where there is one value only.
func otsu(histogram [256]int) int {
	total, sum := 0.0, 0.0
	for v, n := range histogram {
		total += float64(n)
		sum += float64(v) * float64(n)
	}
	best, at := 0.0, -1
	below, sumBelow := 0.0, 0.0
	for v, n := range histogram {
		below += float64(n)
		sumBelow += float64(v) * float64(n)
		above := total - below
		if below == 0 || above == 0 {
			continue
		}
		apart := sumBelow/below - (sum-sumBelow)/above
		if between := below * above * apart * apart; between > best {
			best, at = between, v
		}
	}
	return at
}
