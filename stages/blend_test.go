package stages

import (
	"context"
	"fmt"
	"image"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"microtome/slide"
	"microtome/unet"
)

// A dreamer is a network whose logits depend on where a tile lies: each pixel's, and the tile's mean.
type dreamer struct {
	spec unet.Spec
}

func (d dreamer) Spec() unet.Spec                                    { return d.spec }
func (d dreamer) Bytes(int) int64                                    { return 0 }
func (d dreamer) Close() error                                       { return nil }
func (d dreamer) Predict(context.Context, int, []byte, []byte) error { panic("not asked") }
func (d dreamer) Logits(_ context.Context, w, h int, in []byte, out []float32) error {
	edge, before := d.spec.Geometry.Input(w), d.spec.Before
	mean := 0.0
	for i := 0; i < len(in); i += 3 {
		mean += float64(in[i]) / float64(len(in)/3)
	}
	for c := range d.spec.Logits {
		for y := range h {
			for x := range w {
				v := float64(in[3*((y+before)*edge+x+before)+c%3])
				out[(c*h+y)*w+x] = float32((v - mean) * float64(c+1) / 40)
			}
		}
	}
	return nil
}

// colour is the made-up slide.
func colour(x, y, band int) byte {
	h := uint32(x+77)*2654435761 ^ uint32(y+91)*40503 ^ uint32(band)*977
	return byte((h ^ h>>13) >> 7)
}

func fillTile(pix []byte, r image.Rectangle) {
	for i := range pix {
		at := i / 3
		pix[i] = colour(r.Min.X+at%r.Dx(), r.Min.Y+at/r.Dx(), i%3)
	}
}

// TestBlendIsTheMeanOfAllTiles compares the stream with a whole image of sums in float64: for each tile, each
// pixel and each class, in the plainest way.
func TestBlendIsTheMeanOfAllTiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		core := rapid.IntRange(1, 12).Draw(t, "core")
		overlap := rapid.IntRange(1, core).Draw(t, "overlap")
		region := image.Rect(0, 0, rapid.IntRange(1, 40).Draw(t, "width"), rapid.IntRange(1, 40).Draw(t, "height")).
			Add(image.Pt(rapid.IntRange(0, 9).Draw(t, "x"), rapid.IntRange(0, 9).Draw(t, "y")))
		threshold := rapid.SampledFrom([]float64{0, 0.3, 0.8}).Draw(t, "threshold")
		d := dreamer{unet.Spec{Geometry: unet.Geometry{Stride: 1, Before: 2, After: 1}, Channels: 3, Logits: rapid.IntRange(1, 4).Draw(t, "logits"), Card: unet.Card{Threshold: threshold}}}
		columns := (region.Dx() + core - 1) / core
		grid := slide.Grid{Region: region, Core: core, Before: 2, After: 1 + overlap, Panel: columns}
		want := everyTile(d, grid, overlap)

		b, blend := NewBudget(1<<30), NewBlend(grid, overlap, d)
		var batch Masks
		edge := core + overlap + 3
		seen := 0
		for tile := range grid.All() {
			p, err := Lease(b, 3*edge*edge, core*core, blend.Probs())(t.Context(), tile)
			if err != nil {
				t.Fatal(err)
			}
			fillTile(p.Pix, tile.Halo)
			m, err := blend.Infer(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if batch = append(batch, m); tile.Index%3 == 1 && tile.Index < grid.Len()-1 {
				continue // Order hands over several at a time
			}
			out, err := blend.Add(t.Context(), batch)
			if err != nil || len(out) != len(batch) {
				t.Fatalf("%d masks of %d: %v", len(out), len(batch), err)
			}
			for _, m := range out {
				r := m.Tile.Core
				for y := r.Min.Y; y < r.Max.Y; y++ {
					for x := r.Min.X; x < r.Max.X; x++ {
						i := (y-r.Min.Y)*core + x - r.Min.X
						p := make([]float64, d.spec.Logits)
						for c := range p {
							p[c] = float64(m.Probs[c*core*core+i])
							if w := want[c][image.Pt(x, y)]; math.Abs(p[c]-w) > 1e-6 {
								t.Fatalf("class %d at %d, %d: %v, the mean of all tiles is %v", c, x, y, p[c], w)
							}
						}
						if got, label := m.Labels[i], labelOf(p, threshold); got != label {
							t.Fatalf("label %d at %d, %d of %v", got, x, y, p)
						}
						seen++
					}
				}
			}
			out.Release()
			batch = nil
		}
		if seen != region.Dx()*region.Dy() || b.Used() != 0 {
			t.Fatalf("%d pixels of %d, %d bytes leaked", seen, region.Dx()*region.Dy(), b.Used())
		}
		if held := int64(4 * (len(blend.band) + len(blend.strip))); held != BlendBytes(region.Dx(), core, overlap, d.spec) {
			t.Fatalf("%d bytes, %d were planned", held, BlendBytes(region.Dx(), core, overlap, d.spec))
		}
	})
}

// labelOf is the most probable class whose odds against the background are above those of the threshold.
func labelOf(p []float64, threshold float64) byte {
	if threshold == 0 {
		threshold = 0.5
	}
	if len(p) == 1 {
		if float32(p[0]) > float32(threshold) {
			return 1
		}
		return 0
	}
	label, best := 0, float32(p[0])
	for c := 1; c < len(p); c++ {
		if v := float32(p[c]) * ((1 - float32(threshold)) / float32(threshold)); v > best {
			label, best = c, v
		}
	}
	return byte(label)
}

// everyTile returns the mean probabilities, by class and pixel.
func everyTile(d dreamer, g slide.Grid, overlap int) []map[image.Point]float64 {
	n := g.Core + overlap
	sums, total := make([]map[image.Point]float64, d.spec.Logits), map[image.Point]float64{}
	for c := range sums {
		sums[c] = map[image.Point]float64{}
	}
	weight := func(i int) float64 {
		z := (float64(i) + 0.5 - float64(n)/2) / (float64(n) / 8)
		return max(math.Exp(-0.5*z*z), 0.001)
	}
	for top := g.Region.Min.Y; top < g.Region.Max.Y; top += g.Core {
		for left := g.Region.Min.X; left < g.Region.Max.X; left += g.Core {
			r := image.Rect(left-2, top-2, left+n+1, top+n+1)
			pix, logits := make([]byte, 3*r.Dx()*r.Dy()), make([]float32, d.spec.Logits*n*n)
			fillTile(pix, r)
			_ = d.Logits(context.Background(), n, n, pix, logits)
			for y := range n {
				for x := range n {
					at, w := image.Pt(left+x, top+y), weight(x)*weight(y)
					total[at] += w
					e, whole := make([]float64, len(sums)), 0.0
					for c := range e {
						e[c] = math.Exp(float64(logits[(c*n+y)*n+x]))
						whole += e[c]
					}
					if len(e) == 1 {
						whole = 1 + e[0]
					}
					for c := range e {
						sums[c][at] += w * e[c] / whole
					}
				}
			}
		}
	}
	for c := range sums {
		for at := range sums[c] {
			sums[c][at] /= total[at]
		}
	}
	return sums
}

// TestBlendMemory: what is kept does not grow with the slide's height.
func TestBlendMemory(t *testing.T) {
	d := dreamer{unet.Spec{Geometry: unet.Geometry{Stride: 1}, Logits: 2}}
	var sizes []string
	for _, height := range []int{10, 1000, 100_000} {
		b := NewBlend(slide.Grid{Region: image.Rect(0, 0, 1000, height), Core: 100, Panel: 10}, 30, d)
		sizes = append(sizes, fmt.Sprint(len(b.band), len(b.strip)))
	}
	if len(slices.Compact(sizes)) != 1 {
		t.Errorf("band and strip by height: %v", sizes)
	}
}
