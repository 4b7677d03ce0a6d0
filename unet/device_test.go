package unet

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"microtome/internal/shared"
	"microtome/unet/onnx"
)

func TestDeviceNames(t *testing.T) {
	for name, want := range map[string]string{
		"": "[]", "auto": "[]", "cpu": "[cpu]", "gorgonia": "[gorgonia]",
		"cuda": "[cuda:0]", "cuda:3": "[cuda:3]", "tensorrt": "[tensorrt:0]", "tensorrt:12": "[tensorrt:12]", "webgpu": "[webgpu:0]", "webgpu:0": "[webgpu:0]",
		"cuda:0,cuda:1": "[cuda:0 cuda:1]", "cpu, webgpu": "[cpu webgpu:0]", "tensorrt:1,cuda:1,cpu": "[tensorrt:1 cuda:1 cpu]",
		"abacus": "unknown device", "cuda:": "unknown device", "cuda:x": "unknown device", "cuda:01": "unknown device", "cuda:100": "unknown device",
		"cpu:0": "unknown device", ",": "unknown device", "cpu,": "unknown device", "auto,cpu": "unknown device", "CPU": "unknown device",
		"cuda,cuda:0": "named twice", "cpu,cpu": "named twice", "webgpu:1": "VK_ICD_FILENAMES",
	} {
		list, err := Config{Device: name}.parseDevices()
		if got := fmt.Sprint(list); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", name, got, err, want)
		}
		if valid := (Config{Device: name}).Validate(); (valid == nil) != (err == nil) {
			t.Errorf("%q: Validate says %v", name, valid)
		}
	}
	for _, name := range []string{"", "cpu", "cuda", "webgpu"} {
		if err := (Config{Device: name, Half: true}).Validate(); err == nil || !strings.Contains(err.Error(), "tensorrt") {
			t.Errorf("half precision on %q: %v", name, err)
		}
	}
	list, err := Config{Device: "tensorrt,cuda", Half: true}.parseDevices()
	if err != nil || !list[0].half || list[1].half {
		t.Errorf("half precision on tensorrt: %+v, %v", list, err)
	}
}

func TestProviderOptions(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	for _, half := range []bool{false, true} {
		o, err := device{kind: tensorRTName, index: "2", half: half}.tensorRTOptions([]byte("model"))
		if err != nil {
			t.Fatal(err)
		}
		dir := o["trt_engine_cache_path"]
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || !strings.HasPrefix(dir, cache) || filepath.Dir(dir) != o["trt_timing_cache_path"] {
			t.Errorf("engines are kept in %q, %v", dir, err)
		}
		if want := map[bool]string{false: "0", true: "1"}[half]; o["trt_fp16_enable"] != want || o["device_id"] != "2" || o["trt_engine_cache_enable"] != "1" {
			t.Errorf("half %v: %v", half, o)
		}
	}
	if o := (device{kind: cudaName, index: "1"}).cudaOptions(); o["device_id"] != "1" || o["use_tf32"] != "0" {
		t.Errorf("CUDA: %v", o)
	}
	if err := os.WriteFile(filepath.Join(cache, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", filepath.Join(cache, "file"))
	if runtime.GOOS == "linux" {
		if _, err := (device{kind: tensorRTName, index: "0"}).tensorRTOptions(nil); err == nil {
			t.Error("a file in the place of the cache")
		}
	}
}

// An engine of TensorRT holds the weights of its model, and ONNX Runtime names it after the names in the graph: models
// that differ in nothing but weights must not find each other's.
func TestEnginesOfAModel(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	folder := func(seed uint64) string {
		data, err := Architecture{Depth: 1, Base: 2, Classes: 2, Seed: seed}.ONNX()
		if err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		o, err := device{kind: tensorRTName, index: "0"}.tensorRTOptions(m.Part(m.Graph.Outputs[0]).Encode())
		if err != nil {
			t.Fatal(err)
		}
		return o["trt_engine_cache_path"]
	}
	first, again, other := folder(1), folder(1), folder(2)
	if first != again {
		t.Error("a model does not find its engine again")
	}
	if first == other {
		t.Error("models of other weights share an engine")
	}
}

// auto takes webgpu where Linux shows a card of a maker of GPUs that may be opened and has a driver, never for software.
func TestHardwareVulkan(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks at Linux's files")
	}
	t.Setenv("VK_DRIVER_FILES", "")
	t.Setenv("VK_ICD_FILENAMES", "")
	const (
		vendor = "sys/class/drm/renderD128/device/vendor"
		node   = "dev/dri/renderD128"
		icd    = "usr/share/vulkan/icd.d/"
	)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // of the error; empty: a GPU
	}{
		{"nothing", nil, "no GPU of NVIDIA, AMD or Intel"},
		{"AMD", map[string]string{vendor: "0x1002\n", node: "", icd + "radeon_icd.x86_64.json": ""}, ""},
		{"Intel", map[string]string{vendor: "0x8086\n", node: "", icd + "intel_icd.x86_64.json": "", icd + "lvp_icd.json": ""}, ""},
		{"NVIDIA", map[string]string{vendor: "0x10de\n", node: "", "etc/vulkan/icd.d/nvidia_icd.json": ""}, ""},
		{"second card", map[string]string{vendor: "0x1af4\n", node: "", "sys/class/drm/renderD129/device/vendor": "0x10de\n", "dev/dri/renderD129": "", icd + "nvidia_icd.json": ""}, ""},
		{"software alone", map[string]string{icd + "lvp_icd.x86_64.json": ""}, "no GPU"},
		{"card with software's driver", map[string]string{vendor: "0x1002\n", node: "", icd + "lvp_icd.x86_64.json": ""}, "has no Vulkan driver"},
		{"card with another's driver", map[string]string{vendor: "0x10de\n", node: "", icd + "intel_icd.json": ""}, "has no Vulkan driver"},
		{"virtual card", map[string]string{vendor: "0x1af4\n", node: "", icd + "virtio_icd.json": ""}, "no GPU"},
		{"no node", map[string]string{vendor: "0x1002\n", icd + "radeon_icd.json": ""}, "cannot be opened (no such file or directory)"},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(root, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		if err := hardwareVulkan(root); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	root := t.TempDir()
	if hasVulkan(root) && os.Getenv("LD_LIBRARY_PATH") == "" {
		t.Error("Vulkan's loader in an empty folder")
	}
	loader := filepath.Join(root, "usr/lib/riscv64-linux-gnu/libvulkan.so.1")
	if err := errors.Join(os.MkdirAll(filepath.Dir(loader), 0o777), os.WriteFile(loader, nil, 0o666)); err != nil || !hasVulkan(root) {
		t.Errorf("Vulkan's loader was not found, %v", err)
	}
	// The variables stand in place of the folders.
	t.Setenv("VK_ICD_FILENAMES", "/opt/lvp_icd.json")
	if hasDriver(root, []string{"nvidia"}) || !hasDriver(root, []string{"lvp"}) {
		t.Error("VK_ICD_FILENAMES is not read")
	}
}

// again runs a test in a process of its own, with more variables, and returns what that prints.
func again(t testing.TB, name string, variables ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), variables...)
	cmd.Env = append(cmd.Env, "MICROTOME_TEST_AGAIN="+name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func isAgain(t *testing.T) bool { return os.Getenv("MICROTOME_TEST_AGAIN") == t.Name() }

// What a device lacks is named, with where to get it; no other device takes its place, but on auto, which remembers why.
func TestMissingProviders(t *testing.T) {
	needRuntime(t)
	if runtime.GOOS != "linux" {
		t.Skip("names Linux's libraries")
	}
	if os.Getenv("VK_ICD_FILENAMES") == "" && !hasVulkan("/") {
		_, err := Open("haematoxylin", Config{Device: "webgpu"})
		wantLine(t, "webgpu", err, "model haematoxylin: device webgpu:0 is not available: libvulkan.so.1 is missing: install ")
	}
	if hardwareVulkan("/") == nil {
		t.Skip("there is a GPU here")
	}
	for _, name := range []string{"cuda", "tensorrt"} {
		_, err := Open("haematoxylin", Config{Device: name})
		if err == nil {
			t.Skip("there is a GPU here")
		}
		wantLine(t, name, err, "model haematoxylin: device "+name+":0 is not available: libonnxruntime_providers_shared.so is missing beside "+os.Getenv("ONNXRUNTIME_LIB"))
		wantLine(t, name, err, "get the official release onnxruntime-linux-x64-gpu")
	}
	_, err := Open("haematoxylin", Config{Device: "cpu,cuda:1"})
	wantLine(t, "two", err, "device cuda:1 is not available")

	m, err := Open("haematoxylin", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := m.Spec()
	if len(s.PassedOver) != 3 || s.Warnings != nil || !strings.HasSuffix(s.Engine, ", cpu") {
		t.Errorf("auto took %q, warns %q, passed over %q", s.Engine, s.Warnings, s.PassedOver)
	}
	for i, want := range []string{"device tensorrt:0 is not available: libonnxruntime", "device cuda:0 is not available: libonnxruntime", "device webgpu:0: there is no GPU"} {
		if i >= len(s.PassedOver) || !strings.HasPrefix(s.PassedOver[i], want) || strings.Contains(s.PassedOver[i], "\n") {
			t.Errorf("passed over: %q, want %q", s.PassedOver, want)
		}
	}
	var names []string
	for _, d := range Devices(Config{}) {
		names = append(names, d.Name)
		if d.Name == "webgpu:0" && hasVulkan("/") {
			continue
		}
		if usable := d.Name == cpuName || d.Name == gorgoniaName; (d.Err == nil) != usable {
			t.Errorf("%s: %v", d.Name, d.Err)
		}
	}
	if want := []string{"tensorrt:0", "cuda:0", "webgpu:0", "cpu", "gorgonia"}; !slices.Equal(names, want) {
		t.Errorf("devices %q, want %q", names, want)
	}
}

// With ONNX Runtime's providers for a GPU, but not NVIDIA's libraries, the first that is missing is named. The
// providers here are libraries of ours that want what theirs want; ONNX Runtime really loads them.
func TestMissingCUDA(t *testing.T) {
	needRuntime(t)
	if runtime.GOOS != "linux" {
		t.Skip("names Linux's libraries")
	}
	if isAgain(t) {
		for _, name := range []string{"cuda", "tensorrt"} {
			_, err := Open("haematoxylin", Config{Device: name})
			fmt.Printf("%s: %v\n", name, err)
		}
		m, err := Open("haematoxylin", Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		fmt.Printf("auto: %s, %q\n", m.Spec().Engine, m.Spec().PassedOver)
		core := 64
		edge := m.Spec().Geometry.Input(core)
		if err := m.Predict(t.Context(), 1, make([]byte, 3*edge*edge), make([]byte, core*core)); err != nil {
			t.Error(err)
		}
		return
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler")
	}
	dir := t.TempDir()
	build := func(name, code string, more ...string) {
		t.Helper()
		source := filepath.Join(t.TempDir(), "code.c")
		if err := os.WriteFile(source, []byte(code), 0o666); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"-shared", "-fPIC", "-o", filepath.Join(dir, name), "-Wl,-soname," + name, source}, more...)
		if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	build("libonnxruntime_providers_shared.so", "static void *host; void Provider_SetHost(void *h) { host = h; } void *Provider_GetHost(void) { return host; }")
	for provider, wants := range map[string]string{"cuda": "libcublasLt.so.12", "tensorrt": "libnvinfer.so.10"} {
		build(wants, "int needed(void) { return 1; }")
		build("libonnxruntime_providers_"+provider+".so", "int needed(void); void *GetProvider(void) { needed(); return 0; }", "-Wl,--no-as-needed", filepath.Join(dir, wants))
		if err := os.Remove(filepath.Join(dir, wants)); err != nil {
			t.Fatal(err)
		}
	}
	library := filepath.Join(dir, "libonnxruntime.so.1")
	if err := os.Symlink(findLibrary(""), library); err != nil {
		t.Fatal(err)
	}
	out := again(t, "TestMissingCUDA", "ONNXRUNTIME_LIB="+library)
	for _, want := range []string{
		"\ncuda: model haematoxylin: device cuda:0 is not available: libcublasLt.so.12 is missing: install the CUDA that this onnxruntime was built for, and cuDNN 9, or use --device cpu\n",
		"\ntensorrt: model haematoxylin: device tensorrt:0 is not available: libnvinfer.so.10 is missing: install NVIDIA's TensorRT 10, or use --device cpu\n",
		", cpu, [\"device tensorrt:0 is not available: libnvinfer.so.10 is missing: install NVIDIA's TensorRT 10\" \"device cuda:0 is not available: libcublasLt.so.12 ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// WebGPU, on software Vulkan, runs every node of a network itself, the last step apart, and gives the CPU's logits to
// 1e-4 and its labels.
func TestWebGPU(t *testing.T) {
	needRuntime(t)
	if testing.Short() {
		t.Skip("slow: compiles shaders")
	}
	if !isAgain(t) {
		out := again(t, "TestWebGPU", shared.Vulkan(t)...)
		if !strings.Contains(out, "--- PASS: TestWebGPU/valid") {
			t.Errorf("nothing was tested:\n%s", out)
		}
		return
	}
	const core = 64
	d := device{kind: webGPUName, index: "0", pure: true}
	for name, a := range map[string]Architecture{
		"valid":           {Depth: 2, Base: 4, Seed: 3},
		"padded, nearest": {Depth: 2, Base: 4, Same: true, Up: Nearest, Seed: 3},
		"padded, linear":  {Depth: 2, Base: 4, Same: true, Up: Linear, Seed: 5, Card: Card{Threshold: 0.499}},
	} {
		t.Run(name, func(t *testing.T) { equalsCPU(t, d, openNetwork(t, a), core, randomPicture) })
	}
	t.Run("haematoxylin", func(t *testing.T) {
		e, err := OpenLogits("haematoxylin", Config{Device: "cpu"})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		equalsCPU(t, d, opened{Engine: e, geometry: e.Spec().Geometry, model: "haematoxylin"}, core, stained)
	})
	t.Run("as a user", func(t *testing.T) {
		m, err := Open("haematoxylin", Config{Device: "webgpu"})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if got := m.Spec().Engine; !strings.HasSuffix(got, ", webgpu:0") {
			t.Errorf("engine %q", got)
		}
		auto, err := Open("haematoxylin", Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer auto.Close()
		if got := auto.Spec().Engine; hardwareVulkan("/") != nil && !strings.HasSuffix(got, ", cpu") {
			t.Errorf("auto took software: %q", got)
		}
	})
}

// equalsCPU compares an engine on a device with the same network on the CPU, tile by tile and in a batch.
func equalsCPU(t *testing.T, d device, cpu opened, core int, picture func(r *rand.Rand, w, h int) picture) {
	const tiles = 3
	edge := cpu.geometry.Input(core)
	in := picture(rand.New(rand.NewPCG(5, 5)), edge, edge*tiles).pixels
	classes := cpu.Spec().Logits
	m, spec, err := understand(cpu.model, Config{})
	if err != nil {
		t.Fatal(err)
	}
	spec.Logits = classes
	e, err := newONNXEngine(spec, m, d, true)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	want, got := make([]byte, tiles*core*core), make([]byte, tiles*core*core)
	if err := cpu.Predict(t.Context(), tiles, in, want); err != nil {
		t.Fatal(err)
	}
	if err := e.Predict(t.Context(), tiles, in, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("labels differ from the CPU's")
	}
	if n := bytes.Count(want, []byte{1}); n < len(want)/50 || n > len(want)/50*49 {
		t.Errorf("%d of %d pixels are foreground: the comparison is blind", n, len(want))
	}
	logits, others := make([]float32, classes*core*core), make([]float32, classes*core*core)
	if err := errors.Join(cpu.Logits(t.Context(), core, core, in[:3*edge*edge], logits), e.Logits(t.Context(), core, core, in[:3*edge*edge], others)); err != nil {
		t.Fatal(err)
	}
	most := 0.0
	for i := range logits {
		most = max(most, math.Abs(float64(logits[i]-others[i])))
	}
	if t.Logf("logits differ by %.2g", most); !(most <= 1e-4) {
		t.Errorf("logits differ by %g from the CPU's", most)
	}
}

// A process that may not have more memory gets an error that says so, and goes on with smaller tiles.
func TestOutOfMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("limits a process as Linux does")
	}
	needRuntime(t)
	if !isAgain(t) {
		again(t, "TestOutOfMemory")
		return
	}
	n := openNetwork(t, Architecture{Depth: 1, Base: 64, Seed: 3}) // a map of a large tile takes 1 GiB
	const small, large = 64, 2048
	predict := func(core int) error {
		edge := n.geometry.Input(core)
		return n.Predict(t.Context(), 1, make([]byte, 3*edge*edge), make([]byte, core*core))
	}
	if err := predict(small); err != nil {
		t.Fatal(err)
	}
	const addresses = 9 // RLIMIT_AS
	limit := syscall.Rlimit{Cur: uint64(shared.Status(t, "VmSize:")) + 512<<20, Max: math.MaxUint64}
	if err := syscall.Setrlimit(addresses, &limit); err != nil {
		t.Skipf("the process cannot be limited: %v", err)
	}
	err := predict(large)
	if !errors.Is(err, ErrMemory) {
		t.Fatalf("too large a tile: %v", err)
	}
	wantLine(t, "too large a tile", err, "device cpu is out of memory (")
	for range 3 {
		if err := predict(small); err != nil {
			t.Errorf("after it: %v", err)
		}
	}
}

func TestOutOfMemoryInWords(t *testing.T) {
	for text, want := range map[string]bool{
		"Non-zero status code returned while running Conv node: /onnxruntime_src/bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 4294967296": true,
		"Available memory of 1048576 is smaller than requested bytes of 2097152":                                                                                     true,
		"CUDA failure 2: out of memory ; GPU=0":      true,
		"CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED": true,
		"std::bad_alloc": true,
		"vkAllocateMemory: VK_ERROR_OUT_OF_DEVICE_MEMORY":      true,
		"CUDA failure 100: no CUDA-capable device is detected": false,
		"Got invalid dimensions for input":                     false,
	} {
		err := device{kind: cudaName, index: "1"}.failed("failed", errors.New(text))
		if errors.Is(err, ErrMemory) != want || !strings.HasPrefix(err.Error(), "device cuda:1") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
