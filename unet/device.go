package unet

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// A device is where a session runs.
type device struct {
	name string // "cpu", "cuda:0" or "gorgonia"
	cuda string // index of the CUDA device, "" for the CPU
	auto bool   // nobody asked for it
}

var cudaName = regexp.MustCompile(`^cuda(?::(\d{1,2}))?$`)

// parseDevice reads a device's name. auto is the CPU in this version.
func parseDevice(name string) (device, error) {
	if m := cudaName.FindStringSubmatch(name); m != nil {
		index := m[1]
		if index == "" {
			index = "0"
		}
		return device{name: "cuda:" + index, cuda: index}, nil
	}
	switch name {
	case "", "auto":
		return device{name: "cpu", auto: true}, nil
	case "cpu", gorgoniaName:
		return device{name: name}, nil
	}
	return device{}, fmt.Errorf("unknown device %q: give auto, cpu, cuda[:N] or gorgonia", name)
}

// session makes a session of a model that gives one of its outputs. Options of a provider that failed
// are not used again. blocked lets ONNX Runtime lay out channels in blocks; see [onnxFile.footprint].
func (d device) session(f *onnxFile, output string, blocked bool) (*ort.DynamicAdvancedSession, error) {
	return d.sessionOf(f.only(output), f.inputs[0].name, []string{output}, blocked)
}

func (d device) sessionOf(data []byte, input string, outputs []string, blocked bool) (*ort.DynamicAdvancedSession, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	defer options.Destroy()
	var level ort.GraphOptimizationLevel = ort.GraphOptimizationLevelEnableExtended
	if blocked {
		level = ort.GraphOptimizationLevelEnableAll
	}
	for _, set := range []func() error{
		func() error { return options.SetIntraOpNumThreads(1) },
		func() error { return options.SetInterOpNumThreads(1) },
		func() error { return options.SetMemPattern(false) },
		func() error { return options.AddSessionConfigEntry("session.use_env_allocators", "1") },
		func() error { return options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0") },
		func() error { return options.SetGraphOptimizationLevel(level) },
	} {
		if err := set(); err != nil {
			return nil, fmt.Errorf("onnxruntime: %s", firstLine(err))
		}
	}
	if err := d.append(options); err != nil {
		return nil, err
	}
	s, err := ort.NewDynamicAdvancedSessionWithONNXData(data, []string{input}, outputs, options)
	if err != nil {
		return nil, fmt.Errorf("onnxruntime cannot use the model: %s", firstLine(err))
	}
	return s, nil
}

// append adds the provider of the device, without which the CPU is used.
func (d device) append(options *ort.SessionOptions) error {
	if d.cuda == "" {
		return nil
	}
	cuda, err := ort.NewCUDAProviderOptions()
	if err == nil {
		defer cuda.Destroy()
		if err = cuda.Update(map[string]string{"device_id": d.cuda, "use_tf32": "0"}); err == nil {
			err = options.AppendExecutionProviderCUDA(cuda)
		}
	}
	if err == nil {
		return nil
	}
	why := firstLine(err)
	if strings.Contains(why, "libonnxruntime_providers_shared") {
		why = "this ONNX Runtime is for the CPU only"
	}
	return fmt.Errorf("device %s is not available: %s: install onnxruntime-gpu with its CUDA and set ONNXRUNTIME_LIB, or use --device cpu", d.name, why)
}

// A Device is a place where models can run, or the reason why they cannot.
type Device struct {
	Name    string
	Library bool   // it needs ONNX Runtime
	Found   string // what it can do
	Err     error
}

// Devices lists the devices and tries each.
func Devices(cfg Config) []Device {
	list := []Device{
		{Name: "cpu", Library: true, Found: "available"},
		{Name: "cuda:0", Library: true, Found: "available"},
		{Name: gorgoniaName, Found: "available, for models that microtome trained"},
	}
	for i := range list {
		m, err := open("haematoxylin", Config{Device: list[i].Name, Library: cfg.Library}, false)
		if list[i].Err = errors.Unwrap(err); err == nil { // without the model's name
			_ = m.Close()
		}
	}
	return list
}

// Libraries returns where ONNX Runtime's library is and its version.
func Libraries(cfg Config) (path, version string, err error) {
	if err := startRuntime(cfg.Library); err != nil {
		return "", "", err
	}
	return environment.path, ort.GetVersion(), nil
}
