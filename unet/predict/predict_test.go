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

// Above a threshold, the foreground of a pixel is what the model's labels say at that threshold, and its class the highest plane.
func TestForegroundIsWhatTheLabelsSay(t *testing.T) {
	for _, classes := range []int{2, 3, 5} {
		for _, part := range []float64{0.3, 0.5, 0.8} { // of the pixels that are background
			s := network.Shape{Depth: 1, Base: 8, Channels: 3, Classes: classes, Same: true}
			_, m := noise(t, 2, 48, 48)
			n, err := unet.NewGorgonia(s, s.Init(5), unet.Card{}, 1)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Foreground(t.Context(), n, m, 0)
			if err != nil {
				t.Fatal(err)
			}
			n.Close()
			slices.Sort(p)
			threshold := float64(p[int(part*float64(len(p)))])
			if n, err = unet.NewGorgonia(s, s.Init(5), unet.Card{Threshold: threshold}, 1); err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			planes, err := Classes(t.Context(), n, m, 0)
			if err != nil {
				t.Fatal(err)
			}
			foreground, err := Foreground(t.Context(), n, m, 0)
			if err != nil {
				t.Fatal(err)
			}
			g := n.Spec().Geometry
			var in []byte
			for y := range g.Input(48) {
				for x := range g.Input(48) {
					in = append(in, m.At(raster.Reflect(x-g.Before, 48), raster.Reflect(y-g.Before, 48))...)
				}
			}
			labels := make([]byte, 48*48)
			if err := n.Predict(t.Context(), 1, in, labels); err != nil {
				t.Fatal(err)
			}
			seen := map[byte]bool{}
			for i, label := range labels {
				if math.Abs(float64(foreground[i])-threshold) < 1e-6 {
					continue // rounding decides
				}
				seen[label] = true
				if (label > 0) != (float64(foreground[i]) > threshold) {
					t.Fatalf("%d classes, threshold %g, pixel %d: label %d, foreground %g", classes, threshold, i, label, foreground[i])
				}
				if label > 0 && planes[label-1][i] != foreground[i] {
					t.Fatalf("%d classes, pixel %d: label %d has %g of %g", classes, i, label, planes[label-1][i], foreground[i])
				}
			}
			if len(seen) < 2 {
				t.Errorf("%d classes, threshold %g: only the labels %v", classes, threshold, seen)
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
