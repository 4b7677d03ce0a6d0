package unet

import "testing"

// What is measured on a running network fills the margins that follow from its graph, but for less than a stride, and no more.
func TestMeasureField(t *testing.T) {
	needRuntime(t)
	for _, kind := range kinds {
		a := Architecture{Depth: 2, Base: 4, Classes: 2, Same: kind.same, Up: kind.up, Seed: 3}
		m, err := MeasureField(writeModel(t, a), Config{})
		if err != nil || m == nil {
			t.Fatalf("%s: %v, %v", kind.name, m, err)
		}
		g := a.Geometry()
		if m.Geometry != g || m.Differ != 0 || m.Compared == 0 || !m.Seamless() {
			t.Errorf("%s: %+v, want the geometry %+v and no value that differs", kind.name, m, g)
		}
		for side, rest := range map[string]int{"left": g.Before - m.Left, "top": g.Before - m.Top, "right": g.After - m.Right, "bottom": g.After - m.Bottom} {
			if rest < 0 || rest >= 2*g.Stride {
				t.Errorf("%s: %d px of the margin at the %s do nothing", kind.name, rest, side)
			}
		}
	}
	if m, err := MeasureField("passthrough", Config{}); m != nil || err != nil {
		t.Errorf("passthrough, on bytes: %v, %v", m, err)
	}
}
