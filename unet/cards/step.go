package cards

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Kinds of steps.
const (
	Linear      = "linear"      // v · Gain + Offset
	Clip        = "clip"        // to Low … High
	Above       = "above"       // 1 where v > Low, 0 elsewhere
	Sigmoid     = "sigmoid"     // 1 / (1 + e^-v)
	Standardise = "standardise" // (v - mean) / (deviation + Eps), of the image's own values
	Percentiles = "percentiles" // (v - low) / (high - low + Eps), of the percentiles Low and High of the image's own values
)

// A Step is one step of preprocessing.
type Step struct {
	Op           string
	Gain, Offset []float64 // one for all channels, or one for each
	Low, High    float64
	Eps          float64
	Joint        bool // the image's values of all channels together
}

// PerImage reports whether the step depends on the image: then it is linear, once Fit has seen the image.
func (s Step) PerImage() bool { return s.Op == Standardise || s.Op == Percentiles }

func (s Step) check() error {
	numbers := slices.Concat(s.Gain, s.Offset, []float64{s.Low, s.High, s.Eps})
	for _, v := range numbers {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("preprocessing %s with the number %g: correct the card", s.Op, v)
		}
	}
	if s.Op == Linear && (len(s.Gain) == 0 || len(s.Offset) == 0) {
		return errors.New("preprocessing without its numbers: correct the card")
	}
	if s.Op == Percentiles && !(s.Low >= 0 && s.Low < s.High && s.High <= 100) {
		return fmt.Errorf("preprocessing between the percentiles %g and %g: give two from 0 to 100", s.Low, s.High)
	}
	return nil
}

// Apply runs a step that is the same for any image on planes of values, one plane a channel.
func (s Step) Apply(planes [][]float32) {
	for c, p := range planes {
		gain, offset := pick(s.Gain, c), pick(s.Offset, c)
		for i, v := range p {
			switch s.Op {
			case Linear:
				p[i] = v*float32(gain) + float32(offset)
			case Clip:
				p[i] = min(max(v, float32(s.Low)), float32(s.High))
			case Above:
				p[i] = 0
				if v > float32(s.Low) {
					p[i] = 1
				}
			case Sigmoid:
				p[i] = float32(1 / (1 + math.Exp(-float64(v))))
			}
		}
	}
}

// pick returns the number for a channel.
func pick(v []float64, channel int) float64 {
	if len(v) == 0 {
		return 0
	}
	return v[min(channel, len(v)-1)]
}

// Fit makes of a step that depends on the image the linear one for an image of these planes. Where they have no width, as of
// values that are all equal, the step gives 0 for any value: 1 / Eps would blow up whatever else it is then applied to.
func (s Step) Fit(planes [][]float32) Step {
	out := Step{Op: Linear}
	sets := make([][]float32, len(planes))
	copy(sets, planes)
	if s.Joint {
		sets = [][]float32{slices.Concat(planes...)}
	}
	for _, values := range sets {
		shift, width := s.measure(values)
		gain := 0.0
		if width > 0 && width+s.Eps > 0 {
			gain = 1 / (width + s.Eps)
		}
		out.Gain, out.Offset = append(out.Gain, gain), append(out.Offset, -shift*gain)
	}
	return out
}

// measure returns what is taken from the values and what they are divided by.
func (s Step) measure(values []float32) (shift, width float64) {
	if len(values) == 0 {
		return 0, 0
	}
	if s.Op == Percentiles {
		sorted := slices.Clone(values)
		slices.Sort(sorted)
		low, high := percentile(sorted, s.Low), percentile(sorted, s.High)
		return low, high - low
	}
	n, sum, squares := float64(len(values)), 0.0, 0.0
	for _, v := range values {
		sum += float64(v)
	}
	mean := sum / n
	for _, v := range values {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	return mean, math.Sqrt(squares / n)
}

// percentile interpolates between sorted values, as numpy.percentile does.
func percentile(sorted []float32, p float64) float64 {
	at := p / 100 * float64(len(sorted)-1)
	i := int(at)
	next := min(i+1, len(sorted)-1)
	return float64(sorted[i]) + (at-float64(i))*float64(sorted[next]-sorted[i])
}
