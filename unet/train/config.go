package train

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"microtome/unet"
	"microtome/unet/augment"
	"microtome/unet/network"
	"microtome/unet/target"
)

// Config says how a network is trained. Two runs with one Config on one data set make the same weights, bit for bit, on one kind
// of processor, whatever the number of threads.
type Config struct {
	Name     string        `json:"name"` // of the model
	Recipe   string        `json:"recipe"`
	Shape    network.Shape `json:"shape"`
	Classes  []string      `json:"classes"` // names, background first
	MPP      float64       `json:"mpp"`     // µm a pixel that the network works at; 0: images as they are
	Nucleus  float64       `json:"nucleus"` // µm: images without a resolution get that at which their median instance has this diameter; 0: they count as at MPP
	Mean     float64       `json:"mean"`    // the network sees (value - Mean) · Scale
	Scale    float64       `json:"scale"`
	Tile     int           `json:"tile"`  // edge of what the network puts out for a training tile, px; rounded up to what it can
	Batch    int           `json:"batch"` // tiles a step
	Steps    int           `json:"steps"` // iterations
	Seed     uint64        `json:"seed"`
	Init     string        `json:"init,omitempty"` // built-in model, or file, whose weights are started from
	Dropout  float64       `json:"dropout"`        // probability that a feature at the end of the contracting path is 0
	Optimise Optimise      `json:"optimise"`
	Average  float64       `json:"average"` // decay of the running mean of the weights that is validated and kept; 0: the weights themselves
	Every    int           `json:"every"`   // steps from one validation and checkpoint to the next
	Patience int           `json:"patience"`
	Held     float64       `json:"validation"` // share of the groups that is held back for validation

	Augment augment.Config `json:"augment"`
	Target  target.Config  `json:"target"`
	Balance bool           `json:"balance"` // weigh classes by their share of pixels
	Cut     int            `json:"cut"`     // how far instances that touch are cut back, px
}

// Recipes are the names of the configurations that can be started from.
var Recipes = []string{"default", "paper", "nuclei"}

// NewConfig returns a recipe's configuration.
//
// paper is as in Ronneberger, Fischer and Brox 2015: unpadded, 64 channels, 388 px from 572, one tile a step, momentum 0.99, balanced
// classes. default is that with Adam, 16 channels and several smaller tiles a step, which a processor can train. nuclei is default
// with padded convolutions, at 0.5 µm a pixel: how the built-in model was made.
func NewConfig(recipe string) (Config, error) {
	c := Config{
		Name: "unet", Recipe: recipe,
		Shape: network.Shape{Depth: 4, Base: 16, Channels: 3, Classes: 2},
		Mean:  127.5, Scale: 1.0 / 64,
		Tile: 256, Batch: 2, Steps: 10000, Seed: 1, Dropout: 0.2,
		Optimise: Optimise{Method: "adam", Rate: 1e-3, Schedule: "cosine", WarmUp: 100, Clip: 1},
		Average:  0.998, Every: 250, Patience: 20, Held: 0.2,
		Augment: augment.NewDefaultConfig(), Target: target.NewDefaultConfig(), Cut: 1,
	}
	switch recipe {
	case "default":
	case "paper":
		c.Shape.Base, c.Tile, c.Batch, c.Dropout, c.Average, c.Balance = 64, 388, 1, 0.5, 0, true
		c.Optimise = Optimise{Method: "sgd", Rate: 1e-4, Momentum: 0.99, Schedule: "constant", Clip: 0}
	case "nuclei":
		c.Name, c.Shape.Same, c.MPP, c.Nucleus = "nuclei", true, 0.5, 7
		c.Target.Sigma = 3 // nuclei are 14 px wide, a fifth of the cells that the paper's 5 px suit
		// Other laboratories' stains are further off than those of the training images from each other.
		c.Augment.Stain, c.Augment.StainTurn, c.Augment.ChannelMix, c.Augment.Eosin = 0.7, 12, 0.15, 0.6
		c.Augment.Sharpen, c.Augment.JPEG = 2, 0.5
	default:
		return Config{}, fmt.Errorf("no recipe %q: give one of %v", recipe, Recipes)
	}
	return c, nil
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	errs := []error{c.Shape.Validate(), c.Optimise.Validate(), c.Augment.Validate(), c.Target.Validate()}
	for _, n := range []struct {
		name     string
		v        float64
		min, max float64
	}{
		{"tile", float64(c.Tile), 1, 1 << 14},
		{"batch", float64(c.Batch), 1, 1 << 10},
		{"steps", float64(c.Steps), 1, 1e9},
		{"every", float64(c.Every), 1, 1e9},
		{"patience", float64(c.Patience), 0, 1e9},
		{"dropout", c.Dropout, 0, 0.99},
		{"average", c.Average, 0, 0.999999},
		{"validation", c.Held, 0, 0.9},
		{"mpp", c.MPP, 0, 1000},
		{"nucleus", c.Nucleus, 0, 1000},
		{"mean", c.Mean, -1e6, 1e6},
		{"cut", float64(c.Cut), 1, 100},
	} {
		if !(n.v >= n.min && n.v <= n.max) {
			errs = append(errs, fmt.Errorf("%s %g: give %g to %s", n.name, n.v, n.min, strconv.FormatFloat(n.max, 'f', -1, 64)))
		}
	}
	if !(c.Scale > 0) || math.IsInf(c.Scale, 0) {
		errs = append(errs, fmt.Errorf("scale %g: give more than 0, such as 0.0156", c.Scale))
	}
	return errors.Join(errs...)
}

// input returns the edge of what the network sees of a training tile, and of what it puts out.
func (c Config) input() (in, out int) {
	in = c.Shape.Input(c.Tile)
	out, _ = c.Shape.Output(in)
	return in, out
}

// initial returns the weights of the model to start from.
func (c Config) initial() (network.Params, error) {
	data, err := unet.Read(c.Init)
	if err != nil {
		return nil, err
	}
	shape, params, card, err := unet.Import(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Init, err)
	}
	if shape != c.Shape {
		return nil, fmt.Errorf("%s: a network of %+v, which is not the %+v to be trained: give the same --depth, --base and --same, and data of as many classes", c.Init, shape, c.Shape)
	}
	if card.Mean != float32(c.Mean) || card.Scale != float32(c.Scale) || card.MPP != c.MPP {
		return nil, fmt.Errorf("%s: a network that sees (value - %g) · %g at %g µm/px, which is not the (value - %g) · %g at %g µm/px to be trained: give the same --mpp",
			c.Init, card.Mean, card.Scale, card.MPP, c.Mean, c.Scale, c.MPP)
	}
	return params, nil
}
