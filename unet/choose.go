package unet

import (
	"cmp"
	"math"
)

// Probabilities turns the logits of pixels, Logits values each, class by class, into the probabilities of their
// classes: the softmax, or of a single logit the sigmoid.
func (s Spec) Probabilities(logits []float32) {
	n := len(logits) / s.Logits
	for i := range n {
		softmax(logits[i:], s.Logits, n)
	}
}

// Choose sets the labels of pixels by their probabilities, Logits values each, class by class: the most probable
// class, once those of foreground are weighed by the card's threshold, the first of equal ones.
func (s Spec) Choose(p []float32, labels []byte) {
	n := len(labels)
	threshold := float32(cmp.Or(s.Card.Threshold, 0.5))
	clear(labels)
	if s.Logits == 1 {
		for i, v := range p {
			if v > threshold {
				labels[i] = 1
			}
		}
		return
	}
	weight := (1 - threshold) / threshold
	for i := range labels {
		best := p[i]
		for c := 1; c < s.Logits; c++ {
			if v := p[c*n+i] * weight; v > best {
				labels[i], best = byte(c), v
			}
		}
	}
}

// Labels sets the labels of pixels by their logits, Logits values each, class by class: what the model's own labels are.
func (s Spec) Labels(logits []float32, labels []byte) {
	planes := make([][]float32, s.Logits)
	for c := range planes {
		planes[c] = logits[c*len(labels):][:len(labels)]
	}
	chooseLabels(planes, s.Card.handicap(), labels)
}

// chooseLabels sets labels to the class of each pixel, whose logits stand one class a row, once those of
// foreground have paid the handicap. It does what the nodes that [builder.finish] adds do.
func chooseLabels(logits [][]float32, handicap float32, labels []byte) {
	if len(logits) == 1 {
		for i, v := range logits[0] {
			labels[i] = 0
			if v > handicap {
				labels[i] = 1
			}
		}
		return
	}
	for i, best := range logits[0] {
		labels[i] = 0
		for c := 1; c < len(logits); c++ {
			if v := logits[c][i] - handicap; v > best {
				labels[i], best = byte(c), v
			}
		}
	}
}

// softmax turns the logits of one pixel, which lie n apart, into probabilities; a single one by the sigmoid.
func softmax(p []float32, classes, n int) {
	if classes == 1 {
		p[0] = float32(1 / (1 + math.Exp(-float64(p[0]))))
		return
	}
	if classes == 2 { // one exponential instead of two
		second := 1 / (1 + math.Exp(float64(p[0])-float64(p[n])))
		p[0], p[n] = float32(1-second), float32(second)
		return
	}
	top, total := p[0], 0.0
	for c := 1; c < classes; c++ {
		top = max(top, p[c*n])
	}
	for c := range classes {
		total += math.Exp(float64(p[c*n] - top))
	}
	for c := range classes {
		p[c*n] = float32(math.Exp(float64(p[c*n]-top)) / total)
	}
}
