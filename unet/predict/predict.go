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

// edge is the core that images are cut into, px, less what is no multiple of the stride, where the network does not insist on one.
const edge = 1024

// Foreground returns the probability that each pixel of img belongs to anything but class 0, row by row. mpp is the size of its
// pixels in µm; the network sees the image at its own resolution, or as it is where either is 0.
func Foreground(ctx context.Context, n Network, img raster.RGB, mpp float64) ([]float32, error) {
	p, err := planes(ctx, n, img, mpp, 1, func(logits []float32, channels, step int, p []float32, _ int) {
		p[0] = foreground(logits, channels, step)
	})
	if err != nil {
		return nil, err
	}
	return p[0], nil
}

// Classes returns the probability that each pixel belongs to class 1, to class 2 and so on, as Foreground returns their sum.
func Classes(ctx context.Context, n Network, img raster.RGB, mpp float64) ([][]float32, error) {
	classes := max(1, n.Spec().Logits-1)
	return planes(ctx, n, img, mpp, classes, func(logits []float32, channels, step int, p []float32, area int) {
		all := foreground(logits, channels, step)
		if channels < 3 {
			p[0] = all
			return
		}
		highest, sum := logits[step], 0.0
		for c := 2; c < channels; c++ {
			highest = max(highest, logits[c*step])
		}
		for c := 1; c < channels; c++ {
			sum += math.Exp(float64(logits[c*step] - highest))
		}
		for c := 1; c < channels; c++ {
			p[(c-1)*area] = all * float32(math.Exp(float64(logits[c*step]-highest))/sum)
		}
	})
}

// planes predicts an image at the network's resolution, makes n numbers a pixel of its logits, and brings them back to the image's:
// of reads the logits of a pixel, which lie step apart, and writes its numbers, which lie area apart.
func planes(ctx context.Context, net Network, img raster.RGB, mpp float64, n int, of func(logits []float32, channels, step int, p []float32, area int)) ([][]float32, error) {
	spec := net.Spec()
	w, h := img.W, img.H
	if mpp > 0 && spec.MPP > 0 && math.Abs(mpp/spec.MPP-1) > near {
		w, h = scaled(img.W, mpp/spec.MPP), scaled(img.H, mpp/spec.MPP)
	}
	small := raster.Resize(img, w, h)
	p := make([]float32, n*w*h)
	core := edge / spec.Stride * spec.Stride
	if spec.Input > 0 {
		core = spec.Input - spec.Before - spec.After
	}
	for y := 0; y < h; y += core {
		for x := 0; x < w; x += core {
			cw, ch := core, core
			if spec.Input == 0 {
				cw, ch = min(core, up(w-x, spec.Stride)), min(core, up(h-y, spec.Stride))
			}
			logits, err := tile(ctx, net, small, x, y, cw, ch)
			if err != nil {
				return nil, err
			}
			for j := range min(ch, h-y) {
				for i := range min(cw, w-x) {
					of(logits[j*cw+i:], spec.Logits, cw*ch, p[(y+j)*w+x+i:], w*h)
				}
			}
		}
	}
	all := make([][]float32, n)
	for i := range all {
		all[i] = raster.ResizePlane(p[i*w*h:][:w*h], w, h, img.W, img.H)
	}
	return all, nil
}

// near is how far from the model's a resolution is taken as it is, as slides are: 2 %.
const near = 0.02

func scaled(n int, by float64) int { return max(1, int(math.Round(float64(n)*by))) }

// up rounds to the next multiple.
func up(n, of int) int { return (n + of - 1) / of * of }

// tile returns the logits of the core of w × h pixels at x, y.
func tile(ctx context.Context, n Network, img raster.RGB, x, y, w, h int) ([]float32, error) {
	spec := n.Spec()
	iw, ih := spec.Geometry.Input(w), spec.Geometry.Input(h)
	in := make([]byte, 0, 3*iw*ih)
	for j := range ih {
		from := raster.Reflect(y+j-spec.Before, img.H)
		for i := range iw {
			in = append(in, img.At(raster.Reflect(x+i-spec.Before, img.W), from)...)
		}
	}
	logits := make([]float32, spec.Logits*w*h)
	if err := n.Logits(ctx, w, h, in, logits); err != nil {
		return nil, fmt.Errorf("tile at %d, %d: %w", x, y, err)
	}
	return logits, nil
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
