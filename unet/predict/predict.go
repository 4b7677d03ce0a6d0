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

// Foreground returns how probable it is for each pixel of img that it is foreground, row by row: the greatest that Classes returns. It is above
// a threshold where the model's labels, at that threshold, are not 0.
func Foreground(ctx context.Context, n Network, img raster.RGB, mpp float64) ([]float32, error) {
	all, err := Classes(ctx, n, img, mpp)
	if err != nil {
		return nil, err
	}
	return Highest(all), nil
}

// Highest returns the greatest value of each pixel, in the memory of the first plane.
func Highest(planes [][]float32) []float32 {
	for _, p := range planes[1:] {
		for i, v := range p {
			planes[0][i] = max(planes[0][i], v)
		}
	}
	return planes[0]
}

// Classes returns, for class 1, class 2 and so on, how probable it is for each pixel of img that it is of this class and not background:
// p/(p+b), where p and b are the softmax of the class and of class 0; with two classes that is the softmax itself. mpp is the size
// of the image's pixels in µm; the network sees it at its own resolution, or as it is where either is 0.
func Classes(ctx context.Context, n Network, img raster.RGB, mpp float64) ([][]float32, error) {
	return planes(ctx, n, img, mpp, max(1, n.Spec().Logits-1), func(logits []float32, channels, step int, p []float32, area int) {
		if channels == 1 {
			p[0] = sigmoid(logits[0])
			return
		}
		for c := 1; c < channels; c++ {
			p[(c-1)*area] = sigmoid(logits[c*step] - logits[0])
		}
	})
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

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
