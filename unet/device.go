package unet

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// Kinds of devices. All but gorgonia's are ONNX Runtime's.
const (
	cpuName      = "cpu"
	cudaName     = "cuda"
	tensorRTName = "tensorrt"
	webGPUName   = "webgpu"
	autoName     = "auto"
)

// A device is where a model runs.
type device struct {
	kind  string
	index string // of a GPU, as a number; empty: not a GPU
	half  bool   // TensorRT computes in half precision
	pure  bool   // a session is refused when one of its nodes would run on the CPU; for tests
}

// String returns the name that selects the device.
func (d device) String() string {
	if d.index == "" {
		return d.kind
	}
	return d.kind + ":" + d.index
}

var deviceName = regexp.MustCompile(`^(?:(cpu|gorgonia)|(cuda|tensorrt|webgpu)(?::(0|[1-9]\d?))?)$`)

const deviceNames = "give auto, cpu, cuda[:N], tensorrt[:N], webgpu or gorgonia, or several with commas between"

// parseDevices reads the names of devices. Of auto there are none: they are found when a model is opened.
func (c Config) parseDevices() ([]device, error) {
	var list []device
	if c.Device != "" && c.Device != autoName {
		for name := range strings.SplitSeq(c.Device, ",") {
			m := deviceName.FindStringSubmatch(strings.TrimSpace(name))
			switch {
			case m == nil:
				return nil, fmt.Errorf("unknown device %q: %s", name, deviceNames)
			case m[2] == webGPUName && m[3] != "" && m[3] != "0":
				return nil, fmt.Errorf("device %s cannot be chosen: ONNX Runtime picks the fastest GPU that Vulkan shows, webgpu; to show it another one set VK_ICD_FILENAMES", m[0])
			}
			d := device{kind: m[1]}
			if m[2] != "" {
				d = device{kind: m[2], index: m[3], half: c.Half && m[2] == tensorRTName}
				if d.index == "" {
					d.index = "0"
				}
			}
			if slices.Contains(list, d) {
				return nil, fmt.Errorf("device %s is named twice", d)
			}
			list = append(list, d)
		}
	}
	if c.Half && !slices.ContainsFunc(list, func(d device) bool { return d.half }) {
		return nil, errors.New("half precision is for --device tensorrt: name it, or leave --fp16 out")
	}
	return list, nil
}

// automatic are the devices that auto tries before the CPU, the fastest first.
var automatic = []device{{kind: tensorRTName, index: "0"}, {kind: cudaName, index: "0"}, {kind: webGPUName, index: "0"}}

// passedOver returns why auto does not even try a device; nil: it tries.
func (d device) passedOver() error {
	if d.kind == webGPUName {
		return hardwareVulkan("/")
	}
	return nil
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
	list := []Device{}
	for _, d := range slices.Concat(automatic, []device{{kind: cpuName}, {kind: gorgoniaName}}) {
		found := Device{Name: d.String(), Library: d.kind != gorgoniaName, Found: "available"}
		switch passed := d.passedOver(); {
		case d.kind == webGPUName && runtime.GOOS == "linux" && !hasVulkan("/"):
			found.Err = errNoVulkan // the driver would say so too, on standard error
		default:
			m, err := open("haematoxylin", Config{Device: d.String(), Library: cfg.Library}, false)
			if found.Err = errors.Unwrap(err); err == nil { // without the model's name
				_ = m.Close()
			}
			if passed != nil {
				found.Found += fmt.Sprintf(", but auto passes it over: %v", passed)
			}
		}
		if d.kind == gorgoniaName {
			found.Found += ", for models that microtome trained"
		}
		list = append(list, found)
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
