package unet

import (
	"context"
	"fmt"

	"microtome/unet/cards"
)

// A Normalisation is how the pixels of one slide become numbers, where a model's card says that this follows the image: value ·
// Gain + Offset, of each channel, after whatever is the same for all images.
type Normalisation struct {
	Gain   []float64 `json:"gain"`
	Offset []float64 `json:"offset"`
}

// A perSlide is a model whose normalisation may follow the slide.
type perSlide interface {
	forSlide(n Normalisation) Engine
}

// ForSlide returns a view of a model that normalises by pixels, RGB, a sample of the slide's tissue, and what that comes to. Where the
// model normalises all images alike it is the model itself, and nil. Views share the model, may be used side by side, and need
// no Close.
//
// A model that is used without normalises each tile by itself.
func ForSlide(m Model, pixels []byte) (Model, *Normalisation, error) {
	spec := m.Spec()
	if !spec.PerSlide {
		return m, nil, nil
	}
	p, ok := m.(perSlide)
	if !ok || len(pixels) < 3 {
		return nil, nil, fmt.Errorf("model %s normalises by the slide, and was given %d bytes of it", spec.Name, len(pixels))
	}
	n := spec.normalise.fit(pixels)
	return p.forSlide(n), &n, nil
}

// A normaliser finds the Normalisation of an image.
type normaliser struct {
	channels int
	before   []cards.Step // that are the same for any image
	per      *cards.Step  // the one that is not; nil: there is none
}

// fit finds the normalisation for pixels, RGB.
func (n normaliser) fit(pixels []byte) Normalisation {
	planes := make([][]float32, n.channels)
	for i := 0; i+2 < len(pixels); i += 3 {
		r, g, b := float32(pixels[i]), float32(pixels[i+1]), float32(pixels[i+2])
		if n.channels == 1 {
			planes[0] = append(planes[0], luma[0]*r+luma[1]*g+luma[2]*b)
			continue
		}
		planes[0], planes[1], planes[2] = append(planes[0], r), append(planes[1], g), append(planes[2], b)
	}
	for _, s := range n.before {
		s.Apply(planes)
	}
	s := n.per.Fit(planes)
	var out Normalisation
	for c := range n.channels {
		out.Gain = append(out.Gain, s.Gain[min(c, len(s.Gain)-1)])
		out.Offset = append(out.Offset, s.Offset[min(c, len(s.Offset)-1)])
	}
	return out
}

// values are what the graph takes: 2 × channels × 1 × 1.
func (n Normalisation) values() []float32 {
	var out []float32
	for _, part := range [][]float64{n.Gain, n.Offset} {
		for _, v := range part {
			out = append(out, float32(v))
		}
	}
	return out
}

// A slideView is an engine that knows the slide.
type slideView struct {
	*onnxEngine
	statistics []float32
}

func (e *onnxEngine) forSlide(n Normalisation) Engine { return &slideView{e, n.values()} }

// Predict labels tiles; see [Model].
func (v *slideView) Predict(ctx context.Context, n int, in, out []byte) error {
	return v.predict(ctx, n, in, out, v.statistics)
}

// PredictRect labels a tile that is not square; see [RectModel].
func (v *slideView) PredictRect(ctx context.Context, w, h int, in, out []byte) error {
	return v.predictRect(ctx, w, h, in, out, v.statistics)
}

// Logits gives the network's output before the choice of a class; see [LogitsModel].
func (v *slideView) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	return v.logitsOf(ctx, w, h, in, out, v.statistics)
}

// Close does nothing: the model stays open.
func (*slideView) Close() error { return nil }

func (t *tta) forSlide(n Normalisation) Engine {
	return &tta{Engine: t.Engine.(perSlide).forSlide(n), inner: t.inner, spec: t.spec}
}

// Tiles of a run are all of one slide, since the run has its statistics; runs of all slides share the places.
func (b *batcher) forSlide(n Normalisation) Engine {
	return &batcher{Engine: b.Engine.(perSlide).forSlide(n), Batching: b.Batching, places: b.places, filling: map[int]*batch{}}
}

func (t *team) forSlide(n Normalisation) Engine {
	view := &team{spec: t.spec, queue: t.queue}
	for _, e := range t.engines {
		view.engines = append(view.engines, e.(perSlide).forSlide(n))
	}
	return view
}
