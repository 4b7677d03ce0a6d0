package unet

import (
	"context"
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
	Device  string // auto, cpu, cuda[:N], tensorrt[:N], webgpu, gorgonia, or several with commas between; "" is auto
	Half    bool   // TensorRT computes in half precision
	Library string // path of ONNX Runtime's library; "": see README
	TTA     bool   // average over the flips and rotations of each tile; see [TTA]
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	_, err := c.parseDevices()
	return err
}

// Open opens a built-in model by its name, or an ONNX file by its path.
func Open(name string, cfg Config) (Model, error) {
	e, err := open(name, cfg, cfg.TTA)
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
	data, err := Read(name)
	if err != nil {
		return nil, err
	}
	f, spec, err := understand(data)
	if err == nil && cfg.TTA {
		err = f.givesLogits()
	}
	if spec.Name == "" {
		spec.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	var e Engine
	if err == nil {
		e, err = start(f, spec, devices, cfg.Library, logits)
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

// start makes an engine of a model on the devices; none: on the first that can be had.
func start(f *onnxFile, spec Spec, devices []device, library string, logits bool) (Engine, error) {
	if devices == nil {
		return startAuto(f, spec, library, logits)
	}
	var engines []Engine
	for _, d := range devices {
		e, err := d.start(f, spec, library, logits)
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
func startAuto(f *onnxFile, spec Spec, library string, logits bool) (Engine, error) {
	if err := startRuntime(library); err != nil {
		if library == "" {
			spec.Warning = fmt.Sprintf("%v: gorgonia runs the model meanwhile, more slowly", err)
			if e, err := openGorgonia(f, spec); err == nil {
				return e, nil
			}
		}
		return nil, err
	}
	for _, d := range automatic {
		err := d.passedOver()
		var e Engine
		if err == nil {
			e, err = d.start(f, spec, library, logits)
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
	return device{kind: cpuName}.start(f, spec, library, logits)
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
func (d device) start(f *onnxFile, spec Spec, library string, logits bool) (Engine, error) {
	if d.kind == gorgoniaName {
		return openGorgonia(f, spec)
	}
	handicap, batches := spec.Card.handicap(), f.inputs[0].dims[0] < 0
	if !f.standard() {
		handicap = 0 // the graph's labels follow no threshold
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
		return nil, err
	}
	spec.Engine = "onnxruntime " + ort.GetVersion() + ", " + d.String()
	e, err := newONNXEngine(spec, f, d, logits, handicap)
	if err != nil {
		return nil, err
	}
	if d.index == "" {
		return e, nil
	}
	b := gpuBatches
	if d.kind == webGPUName {
		b = webGPUBatches
	}
	if !batches {
		b.Most = 1
	}
	return Batch(e, b), nil
}
