package pipeline

import (
	"image"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"microtome/slide"
	"microtome/unet"
)

// TestPlaces: a crop begins on the lattice, holds a part of the region, and what it is named after.
func TestPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stride := rapid.IntRange(1, 9).Draw(t, "stride")
		core := stride * rapid.IntRange(1, 9).Draw(t, "strides a core")
		edge := stride * rapid.IntRange(1, 14).Draw(t, "strides a crop")
		from := image.Pt(rapid.IntRange(0, 50).Draw(t, "x"), rapid.IntRange(0, 50).Draw(t, "y"))
		g := slide.Grid{Core: core, Region: image.Rectangle{from, from.Add(image.Pt(rapid.IntRange(1, 300).Draw(t, "width"), rapid.IntRange(1, 300).Draw(t, "height")))}}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		seams := func(low, high, from, to int) (n int) {
			for s := from + core; s < to; s += core {
				if low < s && s < high {
					n++
				}
			}
			return n
		}
		for _, p := range placesOn(g) {
			at := p.at(r, g, edge, stride)
			crop := image.Rectangle{at, at.Add(image.Pt(edge, edge))}.Intersect(g.Region)
			if off := at.Sub(g.Region.Min); off.X%stride != 0 || off.Y%stride != 0 || crop.Empty() {
				t.Fatalf("%s: at %v of %v, edge %d: %v", p.name, at, g.Region, edge, crop)
			}
			across, down := seams(crop.Min.X, crop.Max.X, g.Region.Min.X, g.Region.Max.X), seams(crop.Min.Y, crop.Max.Y, g.Region.Min.Y, g.Region.Max.Y)
			x, y := crop.Min.X == g.Region.Min.X || crop.Max.X == g.Region.Max.X, crop.Min.Y == g.Region.Min.Y || crop.Max.Y == g.Region.Max.Y
			if edge == stride {
				continue // a crop of one stride crosses nothing
			}
			if ok := map[string]bool{
				"four tiles": across > 0 && down > 0, "vertical seam": across > 0, "horizontal seam": down > 0,
				"corner": x && y, "left or right border": x, "top or bottom border": y,
			}[p.name]; !ok {
				t.Fatalf("%s: %v of %v, cores of %d", p.name, crop, g.Region, core)
			}
		}
	})
}

// TestVerifierSeesWhatDiffers: a model whose tiles agree shows nothing, one that adds something of its whole tile
// shows it in every crop that has another sum.
func TestVerifierSeesWhatDiffers(t *testing.T) {
	g := newGraph(image.Pt(150, 130), 1, 1)
	for _, haze := range []float32{0, 1} {
		v := Verifier{Model: hazyModel{g.model, haze}}
		var found Verification
		r := rand.New(rand.NewPCG(2, 2))
		for _, p := range placesOn(g.grid) {
			c, err := v.crop(t.Context(), g.view, g.grid, p.at(r, g.grid, 24, 4), 24)
			if err != nil {
				t.Fatal(err)
			}
			if c.Pixels != int64(c.Rect.Dx())*int64(c.Rect.Dy()) {
				t.Errorf("%s: %d pixels compared of %v", p.name, c.Pixels, c.Rect)
			}
			found.Crops = append(found.Crops, c)
		}
		d, err := found.Total(), found.Check()
		if clean := haze == 0; clean != (d.Logits == 0) || clean != (d.Labels == 0) || clean != (d.Max == 0) || clean != (err == nil) {
			t.Errorf("haze %v: %+v, %v", haze, d, err)
		}
		found.unbound = "haze"
		if err := found.Check(); err != nil {
			t.Errorf("an unbounded model fails: %v", err)
		}
	}
}

// TestDifference: what counts as one.
func TestDifference(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	negative := math.Float32frombits(1 << 31) // of zero
	s := unet.Spec{Logits: 2}
	for _, c := range []struct {
		a, b []float32
		want Difference
	}{
		{[]float32{1, 2}, []float32{1, 2}, Difference{1, 0, 0, 0, 2}},
		{[]float32{1, 2}, []float32{1.5, 2.25}, Difference{1, 2, 0, 0.5, 2}},
		{[]float32{1, 2}, []float32{3, 2}, Difference{1, 1, 1, 2, 2}},
		{[]float32{0, 0}, []float32{negative, 0}, Difference{1, 0, 0, 0, 0}},
		{[]float32{0, nan}, []float32{0, nan}, Difference{1, 0, 0, 0, math.MaxFloat32}},
		{[]float32{0, nan}, []float32{0, -1}, Difference{1, 1, 0, math.MaxFloat32, math.MaxFloat32}},
		{[]float32{0, -4}, []float32{0, -inf}, Difference{1, 1, 0, math.MaxFloat32, 4}},
	} {
		var d Difference
		d.pixel(newPatch(s, c.a, image.Point{}, 1), newPatch(s, c.b, image.Point{}, 1), 0, 0)
		if d != c.want {
			t.Errorf("%v and %v: %+v, want %+v", c.a, c.b, d, c.want)
		}
	}
}

// TestDevicesMayDifferByRounding: a 1e-4 of the crop's largest logit, and not one label.
func TestDevicesMayDifferByRounding(t *testing.T) {
	for _, c := range []struct {
		crops []Difference
		want  string // "": passes
	}{
		{[]Difference{{100, 90, 0, 9e-5, 0.5}, {100, 90, 0, 9e-4, 10}}, ""},
		{[]Difference{{100, 90, 0, 9e-4, 0.5}, {100, 90, 0, 9e-5, 100}}, "in 1 of 2 crops"},
		{[]Difference{{100, 90, 1, 9e-5, 0.5}}, "in 1 of 100 labels"},
	} {
		v := Verification{devices: true, unbound: "no excuse"}
		for _, d := range c.crops {
			v.Crops = append(v.Crops, Crop{Difference: d})
		}
		switch err := v.Check(); {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%+v: %v, want %q", c.crops, err, c.want)
		}
	}
}
