package field_test

import (
	"os"
	"strconv"
	"testing"

	"microtome/internal/shared"
	"microtome/unet"
	"microtome/unet/field"
	"microtome/unet/onnx"
)

// The golden margins, measured on running networks: that they are enough, and that the pixel that lies farthest out matters, whose distance the
// table has too. Unpadded U-Nets are cropped as torch exports it, by sizes that the graph computes.
func TestDepths(t *testing.T) {
	needRuntime(t)
	valid := standard
	valid.block = func(n *net, x string, w int) string { return n.relu(n.conv(n.relu(n.conv(x, w, 3)), w, 3)) }
	valid.join = func(n *net, x, skip string) string { return n.concat(n.centre(skip, x), x) }
	linear := standard
	linear.up = ups["linear half_pixel"]
	for _, c := range []struct {
		name   string
		plan   plan
		before []int
		after  []int
		left   []int // the farthest pixel that matters
		right  []int
	}{
		{"valid", valid, []int{8, 20, 44, 92, 188}, []int{8, 20, 48, 96, 192}, []int{8, 20, 44, 92, 188}, []int{8, 20, 48, 96, 192}},
		{"same", standard, []int{8, 24, 48, 96, 192}, []int{8, 24, 48, 96, 192}, []int{8, 22, 46, 94, 190}, []int{8, 22, 46, 94, 190}},
		{"linear", linear, []int{10, 28, 56, 112, 224}, []int{10, 28, 56, 112, 224}, []int{10, 26, 54, 110, 222}, []int{10, 26, 54, 110, 222}},
	} {
		depths := 5
		if testing.Short() {
			depths = 3
		}
		for i := range depths {
			t.Run(c.name+strconv.Itoa(i+1), func(t *testing.T) {
				c.plan.depth = i + 1
				a, p := agree(t, c.plan.build(2), 0)
				if a.Before != c.before[i] || a.After != c.after[i] {
					t.Errorf("%d and %d, want %d and %d", a.Before, a.After, c.before[i], c.after[i])
				}
				if p.Left != c.left[i] || p.Top != p.Left || p.Right != c.right[i] || p.Bottom != p.Right {
					t.Errorf("%+v, want %d and %d", *p, c.left[i], c.right[i])
				}
			})
		}
	}
}

// A margin that is a stride too small shows in both ways of probing. Without this the other tests would prove nothing.
func TestProbeSeesSmallMargins(t *testing.T) {
	needRuntime(t)
	for name, up := range ups {
		p := standard
		p.up = up
		m := p.build(4)
		a, err := field.Analyse(m, "", "")
		if err != nil {
			t.Fatal(err)
		}
		run := runs(t, m, a)
		for _, c := range []struct{ before, after int }{{a.Stride, 0}, {0, a.Stride}} {
			small := *a
			small.Before, small.After = a.Before-c.before, a.After-c.after
			if name == "cubic asymmetric" { // whose After is a stride larger than it need be
				small.After = a.After - 2*c.after
			}
			if p, err := small.Probe(2*a.Stride, run, 5); err != nil || p.Differ == 0 {
				t.Errorf("%s: %d and %d less than %d and %d: no seam is seen, %v", name, c.before, c.after, a.Before, a.After, err)
			}
		}
	}
}

// Two real models, as PyTorch exported them.
func TestSharedModels(t *testing.T) {
	for name, want := range map[string]unet.Geometry{
		"models/unet2d_nuclei_broad/weights.onnx": {Stride: 8, Before: 48, After: 56}, // its Upsample looks to the right only
		"models/unet_b16_same/unet_b16_same.onnx": {Stride: 16, Before: 96, After: 96},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(shared.File(t, name))
			if err != nil {
				t.Fatal(err)
			}
			m := decoded(t, data)
			a, err := field.Analyse(m, "", "")
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", *a)
			if g := (unet.Geometry{Stride: a.Stride, Before: a.Before, After: a.After}); g != want || a.Unbounded != "" {
				t.Errorf("%+v, want %+v", g, want)
			}
			if os.Getenv("MICROTOME_LONG") == "" {
				t.Skip("probing takes a minute: set MICROTOME_LONG=1")
			}
			needRuntime(t)
			core := 4 * a.Stride
			if a.Fixed > 0 {
				core = a.Fixed - a.Before - a.After
			}
			p, err := a.Probe(core, runs(t, m, a), 3)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", *p)
			if p.Differ > 0 || !a.Tight(p) {
				t.Errorf("%+v, of %+v", *p, *a)
			}
		})
	}
}

// Whatever a file holds, analysis ends with an answer or an error.
func FuzzAnalyse(f *testing.F) {
	for _, c := range whole {
		f.Add(c.build().Encode())
	}
	f.Add(standard.build(1).Encode())
	f.Fuzz(func(_ *testing.T, data []byte) {
		m, err := onnx.Decode(data)
		if err != nil {
			return
		}
		_, _ = field.Analyse(m, "", "")
		_ = field.Shapes(m, 64, 64)
	})
}

func BenchmarkAnalyse(b *testing.B) {
	a := unet.Architecture{Depth: 4, Base: 16, Classes: 2}
	data, err := a.ONNX()
	if err != nil {
		b.Fatal(err)
	}
	m := decoded(b, data)
	for b.Loop() {
		if _, err := field.Analyse(m, "", ""); err != nil {
			b.Fatal(err)
		}
	}
}
