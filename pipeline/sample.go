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
	b, t := s.view.Bounds(), thumb.Rect.Max
	scanned := image.Rectangle{ // pixels that are scanned as a whole
		Min: image.Pt((b.Min.X*t.X+size.X-1)/size.X, (b.Min.Y*t.Y+size.Y-1)/size.Y),
		Max: image.Pt(b.Max.X*t.X/size.X, b.Max.Y*t.Y/size.Y),
	}
	if both := region.Intersect(b); !both.Empty() {
		region = both
	}
	found, glass := tissue(thumb, scanned)
	var places []image.Point // of tissue, px of the working resolution
	for _, at := range found {
		if pt := image.Pt((2*at.X+1)*size.X/(2*t.X), (2*at.Y+1)*size.Y/(2*t.Y)); pt.In(region) {
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
		for k := 0; k < len(square); k += 3 {
			if p := square[k : k+3]; !glass || luma(p) >= unscanned {
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

// tissue returns the pixels of the scanned part of a picture that are no background, by rows, and whether the background is
// bright glass. On glass, tissue is the darker side of Otsu's threshold of brightness, and black was not scanned. Without
// glass black may be the background itself, as in fluorescence: tissue is then on the other side of the threshold than the
// edge of the scale that most pixels are near to. Of an even picture all are.
func tissue(m *image.RGBA, scanned image.Rectangle) (found []image.Point, glass bool) {
	scanned = scanned.Intersect(m.Rect)
	at := func(x, y int) int { return luma(m.Pix[m.PixOffset(x, y):]) }
	var histogram [256]int
	for y := scanned.Min.Y; y < scanned.Max.Y; y++ {
		for x := scanned.Min.X; x < scanned.Max.X; x++ {
			histogram[at(x, y)]++
		}
	}
	black, dark, bright := 0, 0, 0 // pixels that may be unscanned, others near to black, and near to white
	for v, n := range histogram {
		switch {
		case v < unscanned:
			black += n
		case v < 64:
			dark += n
		case v >= 192:
			bright += n
		}
	}
	glass = bright > dark
	brighter := !glass && black+dark > bright
	if glass {
		clear(histogram[:unscanned])
	}
	threshold := otsu(histogram)
	// A pixel beside black is part of it, as pictures are averaged from larger ones.
	beside := func(x, y int) bool {
		for v := max(y-1, m.Rect.Min.Y); v < min(y+2, m.Rect.Max.Y); v++ {
			for u := max(x-1, m.Rect.Min.X); u < min(x+2, m.Rect.Max.X); u++ {
				if at(u, v) < unscanned {
					return true
				}
			}
		}
		return false
	}
	for y := scanned.Min.Y; y < scanned.Max.Y; y++ {
		for x := scanned.Min.X; x < scanned.Max.X; x++ {
			if glass && beside(x, y) {
				continue
			}
			if threshold < 0 || (at(x, y) > threshold) == brighter {
				found = append(found, image.Pt(x, y))
			}
		}
	}
	return found, glass
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
