// Package predict runs a model over whole images in memory, as training and evaluation want it: at the model's
// resolution, mirrored at the border, and back at the image's own.
package predict

import (
	"context"
	"fmt"
	"math"

	"microtome/internal/raster"
	"microtome/unet"
)

// A Network gives logits; see [unet.LogitsModel].
type Network interface {
	Spec() unet.Spec
	unet.LogitsModel
}

// edge is the core that images are cut into, px, less what is no multiple of the stride.
const edge = 1024

// Foreground returns the probability that each pixel of img belongs to anything but class 0, row by row. mpp is the size of its
// pixels in µm; the network sees the image at its own resolution, or as it is where either is 0.
func Foreground(ctx context.Context, n Network, img raster.RGB, mpp float64) ([]float32, error) {
	spec := n.Spec()
	w, h := img.W, img.H
	if mpp > 0 && spec.MPP > 0 {
		w, h = scaled(img.W, mpp/spec.MPP), scaled(img.H, mpp/spec.MPP)
	}
	small := raster.Resize(img, w, h)
	p := make([]float32, w*h)
	core := edge / spec.Stride * spec.Stride
	for y := 0; y < h; y += core {
		for x := 0; x < w; x += core {
			if err := tile(ctx, n, small, p, x, y, min(core, up(w-x, spec.Stride)), min(core, up(h-y, spec.Stride))); err != nil {
				return nil, err
			}
		}
	}
	return raster.ResizePlane(p, w, h, img.W, img.H), nil
}

func scaled(n int, by float64) int { return max(1, int(math.Round(float64(n)*by))) }

// up rounds to the next multiple.
func up(n, of int) int { return (n + of - 1) / of * of }

// tile fills the core of w × h pixels at x, y of p.
func tile(ctx context.Context, n Network, img raster.RGB, p []float32, x, y, w, h int) error {
	spec := n.Spec()
	iw, ih := spec.Geometry.Input(w), spec.Geometry.Input(h)
	in := make([]byte, 0, 3*iw*ih)
	for j := range ih {
		from := raster.Reflect(y+j-spec.Before, img.H)
		for i := range iw {
			in = append(in, img.At(raster.Reflect(x+i-spec.Before, img.W), from)...)
		}
	}
	channels := spec.Logits
	logits := make([]float32, channels*w*h)
	if err := n.Logits(ctx, w, h, in, logits); err != nil {
		return fmt.Errorf("tile at %d, %d: %w", x, y, err)
	}
	for j := range min(h, img.H-y) {
		for i := range min(w, img.W-x) {
			p[(y+j)*img.W+x+i] = foreground(logits[j*w+i:], channels, w*h)
		}
	}
	return nil
}

// foreground is one less the softmax of class 0, or the sigmoid of a single logit.
func foreground(logits []float32, channels, n int) float32 {
	if channels == 1 {
		return float32(1 / (1 + math.Exp(-float64(logits[0]))))
	}
	others := 0.0
	for c := 1; c < channels; c++ {
		others += math.Exp(float64(logits[c*n] - logits[0]))
	}
	if math.IsInf(others, 1) {
		return 1
	}
	return float32(others / (1 + others))
}
