package tissue_test

import (
	"fmt"
	"image"
	"math"
	"strings"
	"testing"

	"microtome/internal/raster"
	"microtome/internal/shared"
	"microtome/slide"
	"microtome/slide/tissue"
)

// blurred returns m blurred by a Gaussian of sigma pixels.
func blurred(m raster.RGB, sigma float64) raster.RGB {
	if sigma == 0 {
		return m
	}
	r := int(3*sigma) + 1
	var weights []float64
	sum := 0.0
	for k := -r; k <= r; k++ {
		weights = append(weights, math.Exp(-float64(k*k)/2/sigma/sigma))
		sum += weights[k+r]
	}
	along := func(src []byte, n, lines, step, next int) []byte {
		dst := make([]byte, len(src))
		for l := range lines {
			for i := range n {
				for c := range 3 {
					v := 0.5
					for k, w := range weights {
						v += w / sum * float64(src[l*next+raster.Reflect(i+k-r, n)*step+c])
					}
					dst[l*next+i*step+c] = byte(v)
				}
			}
		}
		return dst
	}
	return raster.RGB{W: m.W, H: m.H, Pix: along(along(m.Pix, m.W, m.H, 3, 3*m.W), m.H, m.W, 3*m.W, 3)}
}

// whole returns level 0 of a slide.
func whole(t testing.TB, v *slide.View, r image.Rectangle) raster.RGB {
	m := raster.NewRGB(r.Dx(), r.Dy())
	if err := v.Read(t.Context(), m.Pix, r); err != nil {
		t.Fatal(err)
	}
	return m
}

// Sharpness falls with blur, and real tissue warns from a blur on at which nuclei lose their edges.
func TestFocus(t *testing.T) {
	for _, name := range []string{"CMU-1-Small-Region.svs", "OS-2-ndpi.ome.tif", "test3-DAPI-2-387.ndpi"} {
		t.Run(name, func(t *testing.T) {
			v := open(t, shared.File(t, "slides/"+name))
			mpp := v.Slide().Info().MPP
			m := whole(t, v, image.Rect(0, 0, 700, 700).Add(v.Size().Div(2)).Sub(image.Pt(350, 350)))
			last := math.Inf(1)
			for _, micron := range []float64{0, 0.5, 1, 2} {
				found := find(t, level0(t, newPicture(blurred(m, micron/mpp), image.Pt(m.W, m.H), mpp), 64<<20), tissue.NewDefaultConfig())
				t.Log(fmt.Sprintf("blur %g µm: ", micron), found.Focus)
				if found.Focus.Value >= last {
					t.Errorf("blur of %g µm: %+v, more than before", micron, found.Focus)
				}
				last = found.Focus.Value
				if warns := strings.Contains(found.Focus.Warning, "blurred"); micron == 0 && warns || micron >= 1 && !warns {
					t.Errorf("blur of %g µm: %+v", micron, found.Focus)
				}
			}
		})
	}
}
