package unet

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestLabelsOfLogits: labels chosen from logits are those of the model; so are those chosen from probabilities, but
// where rounding decides.
func TestLabelsOfLogits(t *testing.T) {
	needRuntime(t)
	for _, c := range []struct {
		classes   int
		threshold float64
	}{{1, 0}, {1, 0.45}, {2, 0}, {2, 0.45}, {4, 0}, {4, 0.3}} {
		a := Architecture{Depth: 1, Base: 3, Classes: c.classes, Seed: 3, Card: Card{Threshold: c.threshold}}
		e, err := OpenLogits(writeModel(t, a), Config{Device: "cpu"})
		if err != nil {
			t.Fatal(err)
		}
		const core = 64
		s := e.Spec()
		edge := s.Geometry.Input(core)
		in := randomPicture(rand.New(rand.NewPCG(1, 2)), edge, edge).pixels
		labels, chosen, logits := make([]byte, core*core), make([]byte, core*core), make([]float32, s.Logits*core*core)
		if err := e.Predict(t.Context(), 1, in, labels); err != nil {
			t.Fatal(err)
		}
		if err := e.Logits(t.Context(), core, core, in, logits); err != nil {
			t.Fatal(err)
		}
		s.Labels(logits, chosen)
		if !bytes.Equal(chosen, labels) {
			t.Fatalf("%+v: other labels than the model's", c)
		}
		seen := map[byte]bool{}
		for _, label := range labels {
			seen[label] = true
		}
		if len(seen) < 2 {
			t.Errorf("%+v: one label only, the comparison is blind", c)
		}
		s.Probabilities(logits)
		for i := range core * core {
			sum := float32(0)
			for k := range s.Logits {
				sum += logits[k*core*core+i]
			}
			if s.Logits > 1 && (sum < 0.9999 || sum > 1.0001) {
				t.Fatalf("%+v: the probabilities of a pixel sum to %v", c, sum)
			}
		}
		s.Choose(logits, chosen)
		differ := 0
		for i := range labels {
			if chosen[i] != labels[i] {
				differ++
			}
		}
		if differ > core*core/1000 {
			t.Errorf("%+v: %d labels of %d differ", c, differ, core*core)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
