package augment

import (
	"encoding/json"
	"math"
	"testing"
)

func TestDefaultsAreValid(t *testing.T) {
	for name, c := range map[string]Config{"default": NewDefaultConfig(), "none": None()} {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for want, set := range map[string]func(*Config){
		"augmentation: scale_min is 0, must be from 0.05 to 20":      func(c *Config) { c.ScaleMin = 0 },
		"augmentation: scale_max is 0.6, must be from 0.7 to 20":     func(c *Config) { c.ScaleMax = 0.6 },
		"augmentation: elastic is -1, must be from 0 to 1000":        func(c *Config) { c.Elastic = -1 },
		"augmentation: elastic_grid is 1, must be from 2 to 8":       func(c *Config) { c.ElasticGrid = 1 },
		"augmentation: brightness is NaN, must be from 0 to 10":      func(c *Config) { c.Brightness = math.NaN() },
		"augmentation: blur is +Inf, must be from 0 to 100":          func(c *Config) { c.Blur = math.Inf(1) },
		"augmentation: stain_turn is 21, must be from 0 to 20":       func(c *Config) { c.StainTurn = 21 },
		"augmentation: grey is 1.5, must be from 0 to 1":             func(c *Config) { c.Grey = 1.5 },
		"augmentation: channel_mix is 1.0625, must be from 0 to 1":   func(c *Config) { c.ChannelMix = 1.0625 },
		"augmentation: noise is 256, must be from 0 to 255":          func(c *Config) { c.Noise = 256 },
		"augmentation: scale_max is +Inf, must be from 0.7 to 20":    func(c *Config) { c.ScaleMax = math.Inf(1) },
		"augmentation: contrast is -0.25, must be from 0 to 10":      func(c *Config) { c.Contrast = -0.25 },
		"augmentation: gamma is 11, must be from 0 to 10":            func(c *Config) { c.Gamma = 11 },
		"augmentation: stain is -0.0009765625, must be from 0 to 10": func(c *Config) { c.Stain = -1.0 / 1024 },
		"augmentation: elastic_grid is 9, must be from 2 to 8":       func(c *Config) { c.ElasticGrid = 9 },
		"augmentation: scale_min is NaN, must be from 0.05 to 20":    func(c *Config) { c.ScaleMin = math.NaN() },
	} {
		c := NewDefaultConfig()
		set(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// The names stand in checkpoints and model cards.
func TestJSONGolden(t *testing.T) {
	const want = `{"shift":true,"rotate":true,"flip":true,"scale_min":0.7,"scale_max":1.3,"elastic":10,"elastic_grid":3,` +
		`"brightness":0.15,"contrast":0.2,"gamma":0.2,"blur":1,"noise":6,"sharpen":0,"jpeg":0,` +
		`"stain":0.5,"stain_turn":15,"channel_mix":0.1,"eosin":0,"grey":0.1}`
	got, err := json.Marshal(NewDefaultConfig())
	if err != nil || string(got) != want {
		t.Fatalf("got %s, %v, want %s", got, err, want)
	}
	var back Config
	if err := json.Unmarshal(got, &back); err != nil || back != NewDefaultConfig() {
		t.Fatalf("came back as %+v, %v", back, err)
	}
}
