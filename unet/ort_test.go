package unet

import "testing"

func TestOpenBuiltins(t *testing.T) {
	for _, n := range Builtin() {
		m, err := Open(n, Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v %d", m.Spec(), m.Bytes(1024)>>20)
		c := 64
		e := m.Spec().Geometry.Input(c)
		if err := m.Predict(t.Context(), 1, make([]byte, 3*e*e), make([]byte, c*c)); err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
}
