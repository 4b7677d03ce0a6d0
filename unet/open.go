package unet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// Config says how models are opened.
type Config struct {
	Device  string // auto, cpu, cuda[:N], gorgonia; "" is auto
	Library string // path of ONNX Runtime's library; "": see README
	TTA     bool   // average over the flips and rotations of each tile; see [TTA]
	Blend   bool   // probabilities of tiles that overlap are averaged: the model is an [Engine]
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	_, err := parseDevice(c.Device)
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
	d, err := parseDevice(cfg.Device)
	if err != nil {
		return nil, err
	}
	data, err := Read(name)
	if err != nil {
		return nil, err
	}
	f, spec, err := understand(data)
	if err == nil && cfg.TTA {
		err = f.givesLogits("--tta")
	} else if err == nil && cfg.Blend {
		err = f.givesLogits("--overlap")
	}
	if spec.Name == "" {
		spec.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	var e Engine
	if err == nil {
		e, err = start(f, spec, d, cfg.Library, logits)
	}
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
		return nil, fmt.Errorf("model %s: %w", name, errNotONNX)
	}
	return os.ReadFile(name)
}

// understand reads what a model's bytes say of it.
func understand(data []byte) (*onnxFile, Spec, error) {
	f, err := parseONNX(data)
	if err != nil {
		return nil, Spec{}, err
	}
	if err := f.checkChannels(); err != nil {
		return nil, Spec{}, err
	}
	spec, err := f.spec()
	if err != nil {
		return nil, Spec{}, err
	}
	sum := sha256.Sum256(data)
	spec.SHA256, spec.Size = hex.EncodeToString(sum[:]), int64(len(data))
	return f, spec, nil
}

// start makes an engine of a model: on auto Gorgonia's, where ONNX Runtime is not installed and the model is
// one of ours.
func start(f *onnxFile, spec Spec, d device, library string, logits bool) (Engine, error) {
	if d.name == gorgoniaName {
		return openGorgonia(f, spec)
	}
	if !f.standard() {
		data, err := f.wrap(&spec)
		if err != nil {
			return nil, err
		}
		if f, err = parseONNX(data); err != nil {
			return nil, err
		}
	}
	if err := f.checkClasses(spec); err != nil {
		return nil, err
	}
	spec.Logits = int(f.outputs[1].dims[1])
	if err := startRuntime(library); err != nil {
		if d.auto && library == "" {
			spec.Warning = fmt.Sprintf("%v: gorgonia runs the model meanwhile, more slowly", err)
			if e, err := openGorgonia(f, spec); err == nil {
				return e, nil
			}
		}
		return nil, err
	}
	spec.Engine = "onnxruntime " + ort.GetVersion() + ", " + d.name
	return newONNXEngine(spec, f, d, logits)
}
