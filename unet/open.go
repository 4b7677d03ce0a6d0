package unet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/unet/cards"
	"microtome/unet/field"
	"microtome/unet/onnx"
)

// Config says how models are opened.
type Config struct {
	Device  string // auto, cpu, cuda[:N], tensorrt[:N], webgpu, gorgonia, or several with commas between; "" is auto
	Half    bool   // TensorRT computes in half precision
	Library string // path of ONNX Runtime's library; "": see README
	TTA     bool   // average over the flips and rotations of each tile; see [TTA]
	Blend   bool   // probabilities of tiles that overlap are averaged: the model is an [Engine]
	Batch   int    // tiles that the network gets at a time; 0: one on a CPU, as many as fill a GPU

	Card    string   // path of the model's card; "": one that stands beside the model's file
	Classes []string // names of the classes, in place of those that file or card give
	Output  string   // name of the output that is meant, of several
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	_, err := c.parseDevices()
	if c.Batch < 0 || c.Batch > 64 {
		err = errors.Join(err, fmt.Errorf("--batch %d: give 1 to 64 tiles, or 0 for what suits the device", c.Batch))
	}
	return err
}

// Open opens a built-in model by its name, or an ONNX file by its path.
func Open(name string, cfg Config) (Model, error) {
	e, err := open(name, cfg, cfg.TTA || cfg.Blend)
	if err != nil {
		return nil, err
	}
	if cfg.TTA {
		return TTA(e), nil
	}
	return e, nil
}

// OpenLogits is Open for verification: the model also gives the network's output before the choice of
// a class.
func OpenLogits(name string, cfg Config) (Engine, error) {
	e, err := open(name, cfg, true)
	if err != nil {
		return nil, err
	}
	if cfg.TTA {
		return TTA(e), nil
	}
	return e, nil
}

func open(name string, cfg Config, logits bool) (Engine, error) {
	devices, err := cfg.parseDevices()
	if err != nil {
		return nil, err
	}
	m, spec, err := understand(name, cfg)
	if err != nil {
		return nil, err
	}
	for flag, averages := range map[string]bool{"--tta": cfg.TTA, "--overlap": cfg.Blend} {
		if averages && spec.Gives == string(ofLabels) {
			return nil, fmt.Errorf("model %s: %s averages probabilities, and the model gives labels: export it without its last step", name, flag)
		}
	}
	e, err := start(m, spec, devices, cfg, logits)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	return e, nil
}

// maxFile is the most that a protocol buffer, and so an ONNX file, can hold, bytes.
const maxFile = 1<<31 - 1

// Read returns the bytes of a built-in model by its name, or of a file by its path.
func Read(name string) ([]byte, error) {
	if builtin := builtins[name]; builtin != nil {
		return builtin()
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no model %s: give the path of an ONNX file, or one of %s", name, strings.Join(Builtin(), ", "))
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile || !info.Mode().IsRegular() { // a slide, a folder
		return nil, fmt.Errorf("model %s: %w", name, onnx.ErrDamaged)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, min(info.Size(), 1<<12)) // enough to tell a model from what is none
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	if !onnx.Begins(data) {
		return nil, fmt.Errorf("model %s: %w", name, onnx.ErrDamaged)
	}
	data = append(make([]byte, 0, info.Size()), data...)[:info.Size()]
	if _, err := io.ReadFull(f, data[min(len(data), 1<<12):]); err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	return data, nil
}

// digest returns the SHA-256 of a file, as it is written.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// understand reads what a model's file, and the card beside it, say of it, and brings it into microtome's form.
func understand(name string, cfg Config) (m *onnx.Model, spec Spec, err error) {
	data, err := Read(name)
	if err != nil {
		return nil, spec, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("model %s: %w", name, err)
		}
	}()
	if m, err = onnx.Decode(data); err != nil {
		return nil, spec, err
	}
	spec.Size = int64(len(data))
	if loaded, err := m.Load(filepath.Dir(name)); err != nil {
		return nil, spec, err
	} else if loaded {
		data = m.Encode() // the sum is of all of it
	}
	spec.SHA256, spec.Channels = digest(data), 3
	if err := refuse(m); err != nil {
		return nil, spec, err
	}
	var card cards.Card
	path := ""
	if cfg.Card != "" || !standard(m) {
		if card, path, err = cardOf(name, cfg); err != nil {
			return nil, spec, err
		}
	}
	if path != "" {
		spec.Source = path
		if card.SHA256 != "" && card.SHA256 != spec.SHA256 {
			spec.warn("the card is of another file: it states the SHA-256 %.12s…, the model has %.12s…", card.SHA256, spec.SHA256)
		}
	}
	if cfg.Card != "" {
		yield(m, card)
	}
	if spec.Card, err = readCard(m); err != nil {
		return nil, spec, err
	}
	if path != "" {
		spec.Card.MPP = cmp.Or(spec.Card.MPP, card.MPP)
		spec.Card.Name = cmp.Or(spec.Card.Name, card.Name)
		spec.Card.Description = cmp.Or(spec.Card.Description, card.Description)
		spec.Card.Licence = cmp.Or(spec.Card.Licence, card.Licence)
	}
	if standard(m) {
		err = openStandard(m, &spec, cfg)
	} else {
		err = openForeign(m, &spec, card, cfg)
	}
	spec.Name, spec.MPP = spec.Card.Name, spec.Card.MPP
	if spec.Name == "" {
		spec.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	if err == nil {
		spec.Form = formOf(m, spec, cfg)
	}
	return m, spec, err
}

// formOf sums up all that the labels of a model follow from: its graph, in microtome's form, which has the normalisation, the output and
// the threshold in it; what the classes are called; and what is normalised by the slide. Names and descriptions do not matter. The
// graph that a file in microtome's form holds is the file's own.
func formOf(m *onnx.Model, spec Spec, cfg Config) string {
	sum := sha256.New()
	if spec.Takes == "" { // as it stands
		sum.Write([]byte(spec.SHA256))
	} else {
		bare := *m
		bare.Meta = nil
		sum.Write(bare.Encode())
	}
	sum.Write(fmt.Appendf(nil, "%q %+v %t", spec.Classes, spec.Geometry, cfg.Half))
	if n := spec.normalise; n.per != nil {
		sum.Write(fmt.Appendf(nil, " %d %+v %+v", n.channels, n.before, *n.per))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// yield drops from a file's metadata what a card tells that the user named: it goes before the metadata, as one that just stands beside
// the file does not. In a file in microtome's form normalisation, classes and threshold are part of the graph.
func yield(m *onnx.Model, card cards.Card) {
	inside := standard(m)
	for key, told := range map[string]bool{
		keyName: card.Name != "", keyDescription: card.Description != "", keyLicence: card.Licence != "", keyMPP: card.MPP > 0,
		keyClasses: card.Classes != nil && !inside, keyThreshold: card.Threshold != 0 && !inside,
		keyMean: card.HasSteps && !inside, keyScale: card.HasSteps && !inside,
		keyStride: card.HasHalo && !inside, keyBefore: card.HasHalo && !inside, keyAfter: card.HasHalo && !inside,
	} {
		if told {
			m.Set(key, "")
		}
	}
}

// openStandard reads a model in microtome's form, which states the geometry that it was cut by.
func openStandard(m *onnx.Model, spec *Spec, cfg Config) (err error) {
	g, stated, err := statedGeometry(m)
	if err != nil {
		return err
	}
	a := &field.Analysis{Unbounded: m.Get(keyUnbounded)}
	if !stated || m.Get(KeyQuantised) == "" {
		if a, err = field.Analyse(m, inputName, logitsName); err != nil {
			return err
		}
	}
	if !stated || a.Unbounded == "" && (g.Stride%max(a.Stride, 1) != 0 || g.Before < a.Before || g.After < a.After) {
		cfg.Output = logitsName // it is cut anew, and normalises by itself
		m.Set(keyMean, "")
		m.Set(keyScale, "")
		return openForeign(m, spec, cards.Card{}, cfg)
	}
	names := spec.Card.Classes
	if len(cfg.Classes) > 0 {
		names = cfg.Classes
	}
	spec.Geometry, spec.FLOP, spec.Parameters, spec.Unbounded = g, a.FLOP, a.Parameters, a.Unbounded
	spec.Classes, err = named(names, int(m.Graph.Outputs[1].Dims[1].N))
	return err
}

// start makes an engine of a model on the devices; none: on the first that can be had.
func start(m *onnx.Model, spec Spec, devices []device, cfg Config, logits bool) (Engine, error) {
	if devices == nil {
		return startAuto(m, spec, cfg, logits)
	}
	var engines []Engine
	for _, d := range devices {
		e, err := d.start(m, spec, cfg, logits)
		if err != nil {
			for _, started := range engines {
				err = errors.Join(err, started.Close())
			}
			return nil, err
		}
		engines = append(engines, e)
	}
	return several(engines), nil
}

// startAuto tries the devices from the fastest to the CPU, and remembers why it passed over one. Where ONNX Runtime is
// not installed Gorgonia runs the model, if it is one of ours.
func startAuto(m *onnx.Model, spec Spec, cfg Config, logits bool) (Engine, error) {
	if err := startRuntime(cfg.Library); err != nil {
		if cfg.Library == "" {
			spec.warn("%v: gorgonia runs the model meanwhile, more slowly", err)
			if e, err := openGorgonia(m, spec); err == nil {
				return e, nil
			}
		}
		return nil, err
	}
	for _, d := range automatic {
		err := cmp.Or(d.passedOver(), d.lacks())
		var e Engine
		if err == nil {
			e, err = d.start(m, spec, cfg, logits)
		}
		if err == nil {
			if err = try(e); err == nil {
				return e, nil
			}
			err = errors.Join(err, e.Close())
		}
		why := strings.TrimSuffix(firstLine(err), ", or use --device cpu")
		if !strings.HasPrefix(why, "device "+d.String()) {
			why = fmt.Sprintf("device %s: %s", d, why)
		}
		spec.PassedOver = append(spec.PassedOver, why)
	}
	return device{kind: cpuName}.start(m, spec, cfg, logits)
}

// try runs an engine on one small tile: a device that can be opened may still fail to compute.
func try(e Engine) error {
	s := e.Spec()
	core := s.Stride
	if s.Input > 0 {
		core = s.Input - s.Before - s.After
	}
	edge := s.Geometry.Input(core)
	return e.Predict(context.Background(), 1, make([]byte, edge*edge*s.Channels), make([]byte, core*core))
}

// start makes an engine of a model on the device.
func (d device) start(m *onnx.Model, spec Spec, cfg Config, logits bool) (Engine, error) {
	if d.kind == gorgoniaName {
		e, err := openGorgonia(m, spec)
		if err != nil {
			return nil, err
		}
		return d.batched(e, m, cfg.Batch), nil
	}
	spec.Logits = int(m.Graph.Outputs[1].Dims[1].N)
	if err := startRuntime(cfg.Library); err != nil {
		return nil, err
	}
	spec.Engine = "onnxruntime " + ort.GetVersion() + ", " + d.String()
	e, err := newONNXEngine(spec, m, d, logits)
	if err != nil {
		return nil, err
	}
	return d.batched(e, m, cfg.Batch), nil
}

// batched makes a model merge predictions into runs of so many tiles, 0: as suits the device.
func (d device) batched(e Engine, m *onnx.Model, tiles int) Engine {
	var b Batching
	switch {
	case d.index == "" && tiles < 2:
		return e
	case d.index == "":
		b = cpuBatches()
	case d.kind == webGPUName:
		b = webGPUBatches
	default:
		b = gpuBatches
	}
	if tiles > 0 {
		b.Pixels, b.Most = math.MaxInt, tiles
	}
	if m.Graph.Inputs[0].Dims[0].N >= 0 { // its file says how many
		b.Most = 1
	}
	return Batch(e, b)
}
