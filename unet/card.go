package unet

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"microtome/unet/onnx"
)

// A Card is what a model says of itself, in the metadata of its file under microtome.*. The zero value of
// a field is not written, and means what its comment says.
type Card struct {
	Name    string   `json:"name,omitempty"`
	Classes []string `json:"classes,omitempty"` // Classes[i] is the name of label i; nil: class 0, class 1 …
	Colors  []string `json:"colors,omitempty"`  // Colors[i] is that of label i, #rrggbb
	MPP     float64  `json:"mpp,omitempty"`     // µm a pixel that the model was made for; 0: any
	Mean    float32  `json:"mean,omitempty"`    // the network sees (value - Mean) · Scale
	Scale   float32  `json:"scale,omitempty"`   // 0: 1/255

	Threshold float64 `json:"threshold,omitempty"` // probability above which a pixel is foreground; 0: 0.5
	MinArea   float64 `json:"min_area,omitempty"`  // µm²: smaller objects are dropped
	MinPeak   float64 `json:"min_peak,omitempty"`  // objects whose highest probability is lower are dropped
	Grow      float64 `json:"grow,omitempty"`      // µm that objects are grown back by

	TrainingSet    string `json:"training_set,omitempty"`    // its name
	TrainingSHA256 string `json:"training_sha256,omitempty"` // of its files
	Recipe         string `json:"recipe,omitempty"`
	Seed           uint64 `json:"seed,omitempty"`
	Version        string `json:"version,omitempty"` // of the program that made the model
	Metrics        string `json:"metrics,omitempty"`
	Description    string `json:"description,omitempty"`
	Licence        string `json:"licence,omitempty"`
	Quantised      string `json:"quantised,omitempty"` // how, and the sha256 of the model that it was made of
}

// Keys of a card in the metadata, beside those of the geometry.
const (
	keyName           = "microtome.name"
	keyClasses        = "microtome.classes"
	keyColors         = "microtome.colors"
	keyMPP            = "microtome.mpp"
	keyMean           = "microtome.mean"
	keyScale          = "microtome.scale"
	keyThreshold      = "microtome.threshold"
	keyMinArea        = "microtome.min_area"
	keyMinPeak        = "microtome.min_peak"
	keyGrow           = "microtome.grow"
	keyTrainingSet    = "microtome.training_set"
	keyTrainingSHA256 = "microtome.training_sha256"
	keyRecipe         = "microtome.recipe"
	keySeed           = "microtome.seed"
	keyVersion        = "microtome.version"
	keyMetrics        = "microtome.metrics"
	keyDescription    = "microtome.description"
	keyLicence        = "microtome.licence"

	// KeyQuantised is where a file says how it was quantised.
	KeyQuantised = "microtome.quantised"
)

var color = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// Validate reports what is wrong with c.
func (c Card) Validate() error {
	for i, name := range c.Classes {
		if name == "" || strings.Contains(name, ",") {
			return fmt.Errorf("class %d is named %q: give a name without commas, which stand between class names", i, name)
		}
	}
	if c.Colors != nil && c.Classes != nil && len(c.Colors) != len(c.Classes) {
		return fmt.Errorf("%d colors for %d classes: give one for each", len(c.Colors), len(c.Classes))
	}
	for _, text := range c.Colors {
		if !color.MatchString(text) {
			return fmt.Errorf("the color %q: write it as #rrggbb", text)
		}
	}
	if !(c.Threshold >= 0 && c.Threshold < 1) {
		return fmt.Errorf("a threshold of %g: give a probability between 0 and 1", c.Threshold)
	}
	if !(c.MinPeak >= 0 && c.MinPeak <= 1) {
		return fmt.Errorf("a least peak of %g: give a probability from 0 to 1", c.MinPeak)
	}
	for _, v := range []float64{c.MPP, c.MinArea, c.Grow} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("%g micrometres: give 0 or more", v)
		}
	}
	for _, v := range []float32{c.Mean, c.Scale} {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return errors.New("the normalisation is not a number: give mean and scale")
		}
	}
	return nil
}

// classNames returns names, or class 0, class 1 and so on for as many channels of logits.
func classNames(names []string, channels int) []string {
	if names == nil {
		for i := range max(channels, 2) {
			names = append(names, fmt.Sprintf("class %d", i))
		}
	}
	return names
}

// scale returns the factor of a pixel's value.
func (c Card) scale() float32 { return cmp.Or(c.Scale, 1.0/255) }

// handicap is what is taken from the logits of foreground before they are compared with that of
// background: p > t where the logit is greater by more than log(t/(1-t)).
func (c Card) handicap() float32 {
	t := cmp.Or(c.Threshold, 0.5)
	return float32(math.Log(t / (1 - t)))
}

// metadata returns the card as keys and values, without fields that are zero.
func (c Card) metadata() []onnx.Entry {
	var all []onnx.Entry
	for _, kv := range []onnx.Entry{
		{Key: keyName, Value: c.Name},
		{Key: keyClasses, Value: strings.Join(c.Classes, ",")},
		{Key: keyColors, Value: strings.Join(c.Colors, ",")},
		{Key: keyMPP, Value: number(c.MPP, 64)},
		{Key: keyMean, Value: number(float64(c.Mean), 32)},
		{Key: keyScale, Value: number(float64(c.Scale), 32)},
		{Key: keyThreshold, Value: number(c.Threshold, 64)},
		{Key: keyMinArea, Value: number(c.MinArea, 64)},
		{Key: keyMinPeak, Value: number(c.MinPeak, 64)},
		{Key: keyGrow, Value: number(c.Grow, 64)},
		{Key: keyTrainingSet, Value: c.TrainingSet},
		{Key: keyTrainingSHA256, Value: c.TrainingSHA256},
		{Key: keyRecipe, Value: c.Recipe},
		{Key: keySeed, Value: strings.TrimPrefix(strconv.FormatUint(c.Seed, 10), "0")},
		{Key: keyVersion, Value: c.Version},
		{Key: keyMetrics, Value: c.Metrics},
		{Key: keyDescription, Value: c.Description},
		{Key: keyLicence, Value: c.Licence},
		{Key: KeyQuantised, Value: c.Quantised},
	} {
		if kv.Value != "" {
			all = append(all, kv)
		}
	}
	return all
}

// number is the shortest text that gives v again; none for 0.
func number(v float64, bits int) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, bits)
}

// readCard reads the metadata. The normalisation of models that are brought into our form may differ by channel, and is
// no part of it.
func readCard(m *onnx.Model) (Card, error) {
	c := Card{
		Name: m.Get(keyName), TrainingSet: m.Get(keyTrainingSet), TrainingSHA256: m.Get(keyTrainingSHA256), Recipe: m.Get(keyRecipe),
		Version: m.Get(keyVersion), Metrics: m.Get(keyMetrics), Description: m.Get(keyDescription), Licence: m.Get(keyLicence),
		Quantised: m.Get(KeyQuantised),
	}
	for key, to := range map[string]*[]string{keyClasses: &c.Classes, keyColors: &c.Colors} {
		if text := m.Get(key); text != "" {
			*to = strings.Split(text, ",")
		}
	}
	var mean, scale float64
	numbers := map[string]*float64{keyMPP: &c.MPP, keyMinArea: &c.MinArea, keyMinPeak: &c.MinPeak, keyGrow: &c.Grow, keyThreshold: &c.Threshold}
	if standard(m) {
		numbers[keyMean], numbers[keyScale] = &mean, &scale
	}
	for key, to := range numbers {
		if text := m.Get(key); text != "" {
			var err error
			if *to, err = strconv.ParseFloat(text, 64); err != nil {
				return c, fmt.Errorf("metadata %s is %q: give a number", key, text)
			}
		}
	}
	c.Mean, c.Scale = float32(mean), float32(scale)
	if text := m.Get(keySeed); text != "" {
		var err error
		if c.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return c, fmt.Errorf("metadata %s is %q: give a whole number", keySeed, text)
		}
	}
	return c, c.Validate()
}
