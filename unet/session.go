package unet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/unet/onnx"
)

// ErrMemory is what a prediction fails with when the memory of its device, or of the process, was not enough: smaller
// tiles may do.
var ErrMemory = errors.New("out of memory")

// session makes a session of a model on the device that gives one of its outputs. Options of a provider that failed
// are not used again. blocked lets ONNX Runtime lay out channels in blocks; see [footprint].
func (d device) session(m *onnx.Model, output string, blocked bool) (*ort.DynamicAdvancedSession, error) {
	var inputs []string
	for _, in := range m.Graph.Inputs {
		inputs = append(inputs, in.Name)
	}
	at := slices.IndexFunc(m.Graph.Outputs, func(v onnx.Value) bool { return v.Name == output })
	part := m.Part(m.Graph.Outputs[at]) // ONNX Runtime would run the other nodes too
	return d.sessionOf(part.Encode(), inputs, []string{output}, blocked)
}

func (d device) sessionOf(data []byte, inputs, outputs []string, blocked bool) (*ort.DynamicAdvancedSession, error) {
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
		func() error {
			if !d.pure {
				return nil
			}
			return options.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1")
		},
	} {
		if err := set(); err != nil {
			return nil, fmt.Errorf("onnxruntime: %s", firstLine(err))
		}
	}
	if err := d.append(options, data); err != nil {
		return nil, d.unavailable(err)
	}
	s, err := ort.NewDynamicAdvancedSessionWithONNXData(data, inputs, outputs, options)
	if err != nil && d.index != "" {
		return nil, d.failed("cannot use the model", err)
	}
	if err != nil {
		return nil, fmt.Errorf("onnxruntime cannot use the model: %s", firstLine(err))
	}
	return s, nil
}

// append adds the providers of the device for a session of the model, without which the CPU is used.
func (d device) append(options *ort.SessionOptions, model []byte) error {
	switch d.kind {
	case cudaName:
		return d.appendCUDA(options)
	case tensorRTName:
		o, err := d.tensorRTOptions(model)
		if err != nil {
			return err
		}
		if err := appendTensorRT(options, o); err != nil {
			return err
		}
		return d.appendCUDA(options) // what TensorRT does not know
	case webGPUName:
		return options.AppendExecutionProvider("WebGPU", nil)
	}
	return nil
}

func (d device) appendCUDA(options *ort.SessionOptions) error {
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer cuda.Destroy()
	if err := cuda.Update(d.cudaOptions()); err != nil {
		return err
	}
	return options.AppendExecutionProviderCUDA(cuda)
}

// cudaOptions ask for floats of 32 bits throughout, and for convolutions that are chosen without being timed, so that
// each run chooses the same.
func (d device) cudaOptions() map[string]string {
	return map[string]string{"device_id": d.index, "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
}

func appendTensorRT(options *ort.SessionOptions, o map[string]string) error {
	trt, err := ort.NewTensorRTProviderOptions()
	if err != nil {
		return err
	}
	defer trt.Destroy()
	if err := trt.Update(o); err != nil {
		return err
	}
	return options.AppendExecutionProviderTensorRT(trt)
}

// tensorRTOptions ask TensorRT to keep what it builds, which takes it minutes for each size of tile, in the user's
// cache. ONNX Runtime names an engine after the names in the graph, not after its weights, which are in the engine: each
// model has a folder for its own. How fast kernels are, which the timing cache holds, does not depend on weights.
func (d device) tensorRTOptions(model []byte) (map[string]string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("there is no folder for its engines: %w", err)
	}
	cache = filepath.Join(cache, "microtome", "tensorrt")
	sum := sha256.Sum256(model)
	engines := filepath.Join(cache, hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(engines, 0o755); err != nil {
		return nil, fmt.Errorf("there is no folder for its engines: %w", err)
	}
	half := "0"
	if d.half {
		half = "1"
	}
	return map[string]string{
		"device_id": d.index, "trt_fp16_enable": half,
		"trt_engine_cache_enable": "1", "trt_engine_cache_path": engines,
		"trt_timing_cache_enable": "1", "trt_timing_cache_path": cache,
	}, nil
}

// lacks returns why the provider of one of NVIDIA's devices cannot be had, before anything is made of a model for it; nil: it
// can, or it is another device. ONNX Runtime has been started.
func (d device) lacks() error {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return fmt.Errorf("onnxruntime: %s", firstLine(err))
	}
	defer options.Destroy()
	switch d.kind {
	case cudaName:
		err = d.appendCUDA(options)
	case tensorRTName:
		err = appendTensorRT(options, map[string]string{"device_id": d.index})
	}
	if err != nil {
		return d.unavailable(err)
	}
	return nil
}

var missingLibrary = regexp.MustCompile(`(lib[\w+.-]+?\.so[.\d]*): cannot open shared object file`)

// unavailable says why a device's provider cannot be had: which library is missing, and where to get it.
func (d device) unavailable(err error) error {
	why := firstLine(err)
	missing := ""
	if m := missingLibrary.FindStringSubmatch(err.Error()); m != nil {
		missing = filepath.Base(m[1])
	}
	switch {
	case d.kind == webGPUName && runtime.GOOS == "linux" && !hasVulkan("/"):
		why = strings.TrimSuffix(errNoVulkan.Error(), ", or use --device cpu")
	case d.kind == webGPUName && strings.Contains(err.Error(), "adapter"):
		why = "Vulkan shows no GPU: install its driver (Debian: mesa-vulkan-drivers, for NVIDIA nvidia-vulkan-icd)"
	case d.kind == webGPUName:
	case strings.HasPrefix(missing, "libonnxruntime_providers") || strings.Contains(why, "libonnxruntime_providers_shared"):
		if missing == "" {
			missing = "libonnxruntime_providers_shared.so"
		}
		why = fmt.Sprintf("%s is missing beside %s, which is for the CPU only: get the official release onnxruntime-linux-x64-gpu and set ONNXRUNTIME_LIB to its library", missing, environment.path)
	case strings.HasPrefix(missing, "libnvinfer") || strings.HasPrefix(missing, "libnvonnxparser"):
		why = missing + " is missing: install NVIDIA's TensorRT 10"
	case strings.HasPrefix(missing, "libcudnn"):
		why = missing + " is missing: install NVIDIA's cuDNN 9"
	case missing == "libcuda.so.1":
		why = missing + " is missing: install NVIDIA's driver"
	case missing != "":
		why = missing + " is missing: install the CUDA that this onnxruntime was built for, and cuDNN 9"
	}
	return fmt.Errorf("device %s is not available: %s, or use --device cpu", d, why)
}

// failed is the error of a session, or of a run, on the device.
func (d device) failed(what string, err error) error {
	if outOfMemory(err) {
		return fmt.Errorf("device %s is %w (%s)", d, ErrMemory, firstLine(err))
	}
	return fmt.Errorf("device %s: onnxruntime %s: %s", d, what, firstLine(err))
}

// outOfMemory reports whether ONNX Runtime failed for lack of memory, which its providers say in words of their own.
func outOfMemory(err error) bool {
	text := strings.ToLower(err.Error())
	for _, said := range []string{
		"failed to allocate", "out of memory", "ran out of memory", "is smaller than requested bytes", "bad_alloc", // ONNX Runtime's arena, CUDA
		"cudnn_status_alloc_failed", "cublas_status_alloc_failed", "cudaerrormemoryallocation", "outofmemory", // CUDA's libraries, TensorRT
		"vk_error_out_of_device_memory", "vk_error_out_of_host_memory", // Vulkan
	} {
		if strings.Contains(text, said) {
			return true
		}
	}
	return false
}
