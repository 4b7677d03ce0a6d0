package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"microtome/unet/network"
)

// Optimise says how weights follow their gradients.
type Optimise struct {
	Method   string  `json:"method"` // adam or sgd
	Rate     float64 `json:"rate"`   // largest learning rate
	Momentum float64 `json:"momentum,omitempty"`
	Schedule string  `json:"schedule"` // constant, or cosine: down to 0 at the last step
	WarmUp   int     `json:"warm_up"`  // steps in which the rate rises from 0
	Clip     float64 `json:"clip"`     // largest norm of all gradients together; 0: any
}

// Adam's constants, as its authors give them (Kingma and Ba 2015).
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// Validate reports what is wrong with o.
func (o Optimise) Validate() error {
	var errs []error
	if !slices.Contains([]string{"adam", "sgd"}, o.Method) {
		errs = append(errs, fmt.Errorf("optimiser %q: give adam or sgd", o.Method))
	}
	if !slices.Contains([]string{"constant", "cosine"}, o.Schedule) {
		errs = append(errs, fmt.Errorf("learning-rate schedule %q: give constant or cosine", o.Schedule))
	}
	if !(o.Rate > 0 && o.Rate < 10) {
		errs = append(errs, fmt.Errorf("learning rate %g: give more than 0 and less than 10, such as 0.001", o.Rate))
	}
	if !(o.Momentum >= 0 && o.Momentum < 1) {
		errs = append(errs, fmt.Errorf("momentum %g: give 0 to less than 1, such as 0.99", o.Momentum))
	}
	if !(o.Clip >= 0) {
		errs = append(errs, fmt.Errorf("gradient norm %g: give 0 or more", o.Clip))
	}
	if o.WarmUp < 0 {
		errs = append(errs, fmt.Errorf("warm-up of %d steps: give 0 or more", o.WarmUp))
	}
	return errors.Join(errs...)
}

// rate returns the learning rate of a step, the first being 0, of steps.
func (o Optimise) rate(step, steps int) float64 {
	rate := o.Rate
	if o.Schedule == "cosine" {
		rate *= (1 + math.Cos(math.Pi*float64(step)/float64(steps))) / 2
	}
	if step < o.WarmUp {
		rate *= float64(step+1) / float64(o.WarmUp)
	}
	return rate
}

// update moves the weights along the gradients of a step. first and second are Adam's moments; sgd has its velocity in first.
func (o Optimise) update(p network.Params, grads, first, second [][]float32, step, steps int) {
	if o.Clip > 0 {
		clip(grads, o.Clip)
	}
	rate := o.rate(step, steps)
	if o.Method == "sgd" {
		for i := range p {
			w, v := p[i].Value, first[i]
			for j, g := range grads[i] {
				v[j] = float32(o.Momentum)*v[j] - float32(rate)*g
				w[j] += v[j]
			}
		}
		return
	}
	t := float64(step + 1)
	size := float32(rate * math.Sqrt(1-math.Pow(beta2, t)) / (1 - math.Pow(beta1, t)))
	for i := range p {
		w, m, v := p[i].Value, first[i], second[i]
		for j, g := range grads[i] {
			m[j] += (1 - beta1) * (g - m[j])
			v[j] += (1 - beta2) * (g*g - v[j])
			w[j] -= size * m[j] / (float32(math.Sqrt(float64(v[j]))) + epsilon)
		}
	}
}

// clip scales gradients down to a norm, and returns the norm they had.
func clip(grads [][]float32, to float64) float64 {
	sum := 0.0
	for _, g := range grads {
		for _, v := range g {
			sum += float64(v) * float64(v)
		}
	}
	norm := math.Sqrt(sum)
	if norm > to {
		f := float32(to / norm)
		for _, g := range grads {
			for j := range g {
				g[j] *= f
			}
		}
	}
	return norm
}
