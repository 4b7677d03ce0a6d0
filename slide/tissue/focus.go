package tissue

import (
	"context"
	"fmt"
	"image"
	"slices"

	"microtome/slide"
)

const (
	samples      = 24
	sampleEdge   = 256
	near         = 16 // pixels whose contrast is compared
	focusMicrons = 0.5
	leastSharp   = 0.003 // below, a slide is blurred: sharp ones have 0.007 to 0.05, blurred by 1 µm 0.002 and less
)

// focus measures how sharp the tissue is, in squares of 128 µm spread over it. Sharpness is the variance of
// the Laplacian at 0.5 µm a pixel over that of the light itself within 8 µm, so that neither a weak stain
// nor glass in the square counts for much; noise alone has 1. The slide's figure is the median.
func (t *Tissue) focus(ctx context.Context, s *slide.Slide, seen plane, mpp float64) error {
	v, err := s.AtMPP(max(focusMicrons/mpp, 1), 1)
	if err != nil {
		return err
	}
	var at []int
	for i, on := range seen.on {
		if on {
			at = append(at, i)
		}
	}
	var sharp []float64
	pix := make([]byte, 3*sampleEdge*sampleEdge)
	for k := range min(samples, len(at)) {
		i := at[(2*k+1)*len(at)/(2*min(samples, len(at)))]
		cell := t.cell / v.Downsample()
		x, y := int((float64(i%t.w)+0.5)*cell), int((float64(i/t.w)+0.5)*cell)
		r := image.Rect(x, y, x+sampleEdge, y+sampleEdge).Sub(image.Pt(sampleEdge/2, sampleEdge/2))
		if err := v.Read(ctx, pix, r); err != nil {
			return err
		}
		if f, ok := sharpness(pix); ok {
			sharp = append(sharp, f)
		}
	}
	if len(sharp) == 0 {
		return nil
	}
	slices.Sort(sharp)
	t.Focus.Value = sharp[len(sharp)/2]
	if t.Focus.Value < leastSharp {
		t.Focus.Warning = fmt.Sprintf("the tissue looks blurred, sharpness %.3f where %.2g and more are usual: scan it again if you can", t.Focus.Value, leastSharp)
	}
	return nil
}

// sharpness is that of an RGB square; ok is false where there is nothing that could be sharp.
func sharpness(pix []byte) (f float64, ok bool) {
	light := make([]float32, sampleEdge*sampleEdge)
	for i := range light {
		light[i] = (float32(pix[3*i]) + 2*float32(pix[3*i+1]) + float32(pix[3*i+2])) / 4
	}
	contrast := 0.0
	for y := 0; y < sampleEdge; y += near {
		for x := 0; x < sampleEdge; x += near {
			var m moments
			for k := range near {
				for _, v := range light[(y+k)*sampleEdge+x:][:near] {
					m.add(float64(v))
				}
			}
			contrast += m.variance() * near * near / sampleEdge / sampleEdge
		}
	}
	var m moments
	for y := 1; y < sampleEdge-1; y++ {
		for x := 1; x < sampleEdge-1; x++ {
			i := y*sampleEdge + x
			m.add(float64(4*light[i] - light[i-1] - light[i+1] - light[i-sampleEdge] - light[i+sampleEdge]))
		}
	}
	const noise = 20 // what the Laplacian makes of white noise of variance 1
	return m.variance() / noise / max(contrast, 1), contrast > 4
}

// moments are sums of values and of their squares.
type moments struct{ n, sum, squares float64 }

func (m *moments) add(v float64) { m.n, m.sum, m.squares = m.n+1, m.sum+v, m.squares+v*v }

func (m *moments) variance() float64 { return m.squares/m.n - m.sum*m.sum/m.n/m.n }
