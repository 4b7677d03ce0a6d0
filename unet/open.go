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
	Device  string // auto, cpu, cuda[:N]; "" is auto
	Library string // path of ONNX Runtime's library; "": see README
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	_, err := parseDevice(c.Device)
	return err
}

// Open opens a built-in model by its name, or an ONNX file by its path.
func Open(name string, cfg Config) (Model, error) { return open(name, cfg, false) }

// OpenLogits is Open for verification: the model also gives the network's output before the choice of
// a class.
func OpenLogits(name string, cfg Config) (interface {
	Model
	LogitsModel
}, error,
) {
	return open(name, cfg, true)
}

func open(name string, cfg Config, logits bool) (*onnxEngine, error) {
	d, err := parseDevice(cfg.Device)
	if err != nil {
		return nil, err
	}
	data, err := read(name)
	if err != nil {
		return nil, err
	}
	e, err := load(data, d, cfg.Library, logits)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	if e.spec.Name == "" {
		e.spec.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	return e, nil
}

// maxFile is the most that a protocol buffer, and so an ONNX file, can hold, bytes.
const maxFile = 1<<31 - 1

// read returns the bytes of a model.
func read(name string) ([]byte, error) {
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

// load makes an engine of a model's bytes.
func load(data []byte, d device, library string, logits bool) (*onnxEngine, error) {
	f, err := parseONNX(data)
	if err != nil {
		return nil, err
	}
	if err := f.checkChannels(); err != nil {
		return nil, err
	}
	spec, err := f.spec()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	spec.SHA256, spec.Size = hex.EncodeToString(sum[:]), int64(len(data))
	if !f.standard() {
		if data, err = f.wrap(&spec); err != nil {
			return nil, err
		}
		if f, err = parseONNX(data); err != nil {
			return nil, err
		}
	}
	if err := f.checkClasses(spec); err != nil {
		return nil, err
	}
	if err := startRuntime(library); err != nil {
		return nil, err
	}
	spec.Engine = "onnxruntime " + ort.GetVersion() + ", " + d.name
	return newONNXEngine(spec, f, d, logits)
}
