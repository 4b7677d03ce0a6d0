package predict

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"microtome/internal/raster"
	"microtome/unet"
	"microtome/unet/network"
)

// noise returns a network of random weights and an image.
func noise(t *testing.T, classes, w, h int) (unet.Engine, raster.RGB) {
	t.Helper()
	s := network.Shape{Depth: 1, Base: 3, Channels: 3, Classes: classes}
	n, err := unet.NewGorgonia(s, s.Init(5), unet.Card{MPP: 0.5}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	r := rand.New(rand.NewPCG(1, 2))
	m := raster.NewRGB(w, h)
	for i := range m.Pix {
		m.Pix[i] = byte(r.IntN(256))
	}
	return n, m
}

// The classes of a pixel add up to its foreground; of two classes the second is all of it, to the bit.
func TestClassesAddUpToForeground(t *testing.T) {
	for _, classes := range []int{2, 3, 5} {
		for _, mpp := range []float64{0, 0.5, 0.4, 0.9} {
			n, m := noise(t, classes, 53, 38)
			want, err := Foreground(t.Context(), n, m, mpp)
			if err != nil {
				t.Fatal(err)
			}
			planes, err := Classes(t.Context(), n, m, mpp)
			if err != nil {
				t.Fatal(err)
			}
			if len(planes) != classes-1 {
				t.Fatalf("%d planes of %d classes", len(planes), classes)
			}
			for i, w := range want {
				sum := 0.0
				for _, p := range planes {
					if p[i] < 0 || p[i] > 1 {
						t.Fatalf("probability %g", p[i])
					}
					sum += float64(p[i])
				}
				if math.Abs(sum-float64(w)) > 1e-5 || classes == 2 && planes[0][i] != w {
					t.Fatalf("%d classes, %g µm/px, pixel %d: %g of all classes, foreground %g", classes, mpp, i, sum, w)
				}
			}
		}
	}
}

// An image that is cut into many tiles is predicted as one that is not.
func TestTilesJoin(t *testing.T) {
	n, m := noise(t, 3, edge+70, 40)
	whole, err := Foreground(t.Context(), n, m, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The right part, with more than the network sees of the left one.
	const x0 = edge - 50
	right := raster.NewRGB(m.W-x0, m.H)
	for y := range m.H {
		copy(right.Pix[3*y*right.W:][:3*right.W], m.Pix[3*(y*m.W+x0):])
	}
	part, err := Foreground(t.Context(), n, right, 0)
	if err != nil {
		t.Fatal(err)
	}
	for y := range m.H {
		for x := 40; x < right.W; x++ {
			if math.Abs(float64(part[y*right.W+x]-whole[y*m.W+x0+x])) > 1e-6 {
				t.Fatalf("%d, %d: %g in a part, %g in the whole", x, y, part[y*right.W+x], whole[y*m.W+x0+x])
			}
		}
	}
}

// rigid is a network that takes tiles of one size.
type rigid struct {
	unet.Engine
	core int
}

func (r rigid) Spec() unet.Spec {
	s := r.Engine.Spec()
	s.Input = s.Geometry.Input(r.core)
	return s
}

func (r rigid) Logits(ctx context.Context, w, h int, in []byte, out []float32) error {
	if w != r.core || h != r.core {
		return errors.New("a tile of another size")
	}
	return r.Engine.Logits(ctx, w, h, in, out)
}

// A network that insists on a size of its input gets tiles of it, of small images too, and says the same.
func TestNetworksOfOneSize(t *testing.T) {
	n, m := noise(t, 2, 53, 38)
	want, err := Foreground(t.Context(), n, m, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, core := range []int{16, 64} {
		got, err := Foreground(t.Context(), rigid{n, core}, m, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-6 }) {
			t.Errorf("tiles of %d differ", core)
		}
	}
}

// An image within 2 % of the model's resolution is seen as it is, as a level of a slide would be.
func TestResolutionThatIsNear(t *testing.T) {
	s := network.Shape{Depth: 1, Base: 2, Channels: 3, Classes: 2, Same: true}
	net, err := unet.NewGorgonia(s, s.Init(1), unet.Card{MPP: 0.5}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	img := raster.NewRGB(40, 30)
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	predicted := func(mpp float64) []float32 {
		p, err := Foreground(t.Context(), net, img, mpp)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	as := predicted(0.5)
	if !slices.Equal(as, predicted(0.505)) || !slices.Equal(as, predicted(0.495)) {
		t.Error("0.505 µm/px is resampled")
	}
	if slices.Equal(as, predicted(0.53)) {
		t.Error("0.53 µm/px is not resampled")
	}
}
