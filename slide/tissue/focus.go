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
	focusMicrons = 0.5
	leastSharp   = 0.1 // below, a slide is blurred
)

// focus measures how sharp the tissue is, in squares of 128 µm spread over it. Sharpness is the variance
// of the Laplacian at 0.5 µm a pixel over that at 1 µm, so that neither the stain nor the kind of tissue
// counts for much: blur takes the finest detail first. The slide's figure is the median.
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
		if f, ok := sharpness(pix, sampleEdge); ok {
			sharp = append(sharp, f)
		}
	}
	if len(sharp) == 0 {
		return nil
	}
	slices.Sort(sharp)
	t.Focus.Value = sharp[len(sharp)/2]
	if t.Focus.Value < leastSharp {
		t.Focus.Warning = fmt.Sprintf("the tissue looks blurred, sharpness %.3f where %.1f and more are usual: scan it again if you can", t.Focus.Value, leastSharp)
	}
	return nil
}

// sharpness is that of an RGB square; ok is false where there is nothing that could be sharp.
func sharpness(pix []byte, edge int) (f float64, ok bool) {
	light := make([]float32, edge*edge)
	for i := range light {
		light[i] = float32(pix[3*i]) + 2*float32(pix[3*i+1]) + float32(pix[3*i+2])
	}
	half := make([]float32, len(light)/4)
	for i := range half {
		k := i/(edge/2)*2*edge + i%(edge/2)*2
		half[i] = (light[k] + light[k+1] + light[k+edge] + light[k+edge+1]) / 4
	}
	var sum, squares float64
	for _, v := range half {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	n := float64(len(half))
	fine, coarse := laplacian(light, edge), laplacian(half, edge/2)
	const least = 4 * 3 // grey levels, four units each
	return fine / max(coarse, 1e-9), squares/n-sum*sum/n/n > least*least
}

// laplacian returns the variance of the Laplacian of a square.
func laplacian(light []float32, edge int) float64 {
	var n, sum, squares float64
	for y := 1; y < edge-1; y++ {
		for x := 1; x < edge-1; x++ {
			i := y*edge + x
			v := float64(4*light[i] - light[i-1] - light[i+1] - light[i-edge] - light[i+edge])
			n, sum, squares = n+1, sum+v, squares+v*v
		}
	}
	return squares/n - sum*sum/n/n
}
