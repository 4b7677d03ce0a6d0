package augment

import "fmt"

// Config says how far a tile may be from its source. Lengths are in pixels of the tile. A strength of 0
// turns a step off. The zero Config is not valid: start from [NewDefaultConfig] or [None].
type Config struct {
	// Shift puts the tile's centre anywhere in the source, but at least 3/8 of the tile's edge, or of the
	// source's if that is smaller, from its border. Without, it is the source's centre.
	Shift bool `json:"shift"`
	// Rotate turns the tile by any angle.
	Rotate bool `json:"rotate"`
	// Flip turns the tile by one of the eight symmetries of the square, which interpolate nothing.
	Flip bool `json:"flip"`
	// ScaleMin and ScaleMax bound the magnification, which is log-uniform between them.
	ScaleMin float64 `json:"scale_min"`
	ScaleMax float64 `json:"scale_max"`
	// Elastic is the standard deviation of each component of the displacement vectors on a grid of
	// ElasticGrid × ElasticGrid nodes, from corner to corner of the tile. A tile folds where neighbouring
	// vectors differ by more than the distance of their nodes: keep it under a tenth of that.
	Elastic     float64 `json:"elastic"`
	ElasticGrid int     `json:"elastic_grid"`

	// Brightness, Contrast and Gamma are factors, log-uniform in [1/(1+x), 1+x]: of the light, of the
	// distance from the tile's mean, and the exponent of the intensity.
	Brightness float64 `json:"brightness"`
	Contrast   float64 `json:"contrast"`
	Gamma      float64 `json:"gamma"`
	// Blur is the largest standard deviation of a Gaussian blur, Noise that of added noise in grey levels.
	// Both are uniform from 0. Sharpen is how many times, at most, the difference from a blurred picture is
	// added, as scanners do; a tile is either blurred or sharpened.
	Blur    float64 `json:"blur"`
	Noise   float64 `json:"noise"`
	Sharpen float64 `json:"sharpen"`
	// JPEG is the probability that a tile is compressed, at a quality of 40 to 95.
	JPEG float64 `json:"jpeg"`

	// Stain changes the amounts of haematoxylin, eosin and the residual: each by a factor that is
	// log-uniform in [1/(1+x), 1+x], and by up to ± x/10 in optical density (the residual half of it).
	Stain float64 `json:"stain"`
	// StainTurn is the largest angle, in degrees, by which the colours of haematoxylin and eosin turn in
	// optical density, each by itself in a random direction.
	StainTurn float64 `json:"stain_turn"`
	// ChannelMix adds up to ± x of each channel's optical density to each other's, and takes as much of
	// its own: greys stay what they are.
	ChannelMix float64 `json:"channel_mix"`
	// Eosin is the probability that what lies between the instances is stained with eosin, and gets fibres and
	// red blood cells. The instances must be nuclei. A source without colours never is.
	Eosin float64 `json:"eosin"`
	// Grey is the probability that a tile keeps its colours, that is, does without Stain, StainTurn and
	// ChannelMix. A source without colours always does.
	Grey float64 `json:"grey"`
}

// NewDefaultConfig returns what suits nuclei in sections stained with haematoxylin and eosin, at 0.5 µm/px.
// Its geometry suits anything that has no up and down.
func NewDefaultConfig() Config {
	return Config{
		Shift: true, Rotate: true, Flip: true, ScaleMin: 0.7, ScaleMax: 1.3,
		Elastic: 10, ElasticGrid: 3,
		Brightness: 0.15, Contrast: 0.2, Gamma: 0.2, Blur: 1, Noise: 6,
		Stain: 0.5, StainTurn: 15, ChannelMix: 0.1, Grey: 0.1,
	}
}

// None returns the Config that changes nothing: tiles are the middle of the source.
func None() Config { return Config{ScaleMin: 1, ScaleMax: 1, ElasticGrid: 3} }

const (
	maxGrid = 8  // nodes in a row of the elastic grid
	maxTurn = 20 // degrees: haematoxylin and eosin are 40 apart and must not meet
)

// Validate returns the first thing that is wrong with c.
func (c Config) Validate() error {
	for _, s := range []struct {
		name        string
		x, min, max float64
	}{
		{"scale_min", c.ScaleMin, 0.05, 20},
		{"scale_max", c.ScaleMax, max(c.ScaleMin, 0.05), 20},
		{"elastic", c.Elastic, 0, 1000},
		{"brightness", c.Brightness, 0, 10},
		{"contrast", c.Contrast, 0, 10},
		{"gamma", c.Gamma, 0, 10},
		{"blur", c.Blur, 0, 100},
		{"noise", c.Noise, 0, 255},
		{"sharpen", c.Sharpen, 0, 10},
		{"jpeg", c.JPEG, 0, 1},
		{"stain", c.Stain, 0, 10},
		{"stain_turn", c.StainTurn, 0, maxTurn},
		{"channel_mix", c.ChannelMix, 0, 1},
		{"grey", c.Grey, 0, 1},
		{"eosin", c.Eosin, 0, 1},
	} {
		if !(s.x >= s.min && s.x <= s.max) { // so that NaN is refused
			return fmt.Errorf("augmentation: %s is %g, must be from %g to %g", s.name, s.x, s.min, s.max)
		}
	}
	if c.ElasticGrid < 2 || c.ElasticGrid > maxGrid {
		return fmt.Errorf("augmentation: elastic_grid is %d, must be from 2 to %d", c.ElasticGrid, maxGrid)
	}
	return nil
}
