package unet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// What webgpu needs on Linux is Vulkan: its loader, and the driver of a GPU, which a file names to the loader.

var errNoVulkan = errors.New("libvulkan.so.1 is missing: install Vulkan with the driver of the GPU (Debian: libvulkan1 and mesa-vulkan-drivers, for NVIDIA nvidia-vulkan-icd), or use --device cpu")

// hasVulkan reports whether Vulkan's loader is where libraries usually are, in a file system at root.
func hasVulkan(root string) bool {
	dirs := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	for _, d := range []string{"lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib", "usr/lib/*-linux-gnu*"} {
		dirs = append(dirs, filepath.Join(root, d))
	}
	for _, d := range dirs {
		if found, _ := filepath.Glob(filepath.Join(d, "libvulkan.so.1")); found != nil {
			return true
		}
	}
	return false
}

// vendors are the makers of GPUs by the number that Linux shows of a card, with what the file names of their Vulkan
// drivers contain.
var vendors = map[string][]string{
	"0x10de": {"nvidia", "nouveau"},
	"0x1002": {"radeon", "amd"},
	"0x8086": {"intel"},
}

// hardwareVulkan returns why Vulkan has no GPU to run on; nil: it has one. It looks at what lies in a file system at
// root: a card that this process may open, and a driver for cards of its maker. Software that plays a GPU, such as
// Mesa's lavapipe, has no card.
func hardwareVulkan(root string) error {
	if runtime.GOOS != "linux" {
		return errors.New("a GPU for it is recognised on Linux alone: name the device to use it")
	}
	cards, _ := filepath.Glob(filepath.Join(root, "sys/class/drm/renderD*/device/vendor"))
	var shut error
	for _, card := range cards {
		vendor, err := os.ReadFile(card)
		if err != nil {
			continue
		}
		drivers := vendors[strings.TrimSpace(string(vendor))]
		if drivers == nil {
			continue
		}
		node := filepath.Join("dev/dri", filepath.Base(filepath.Dir(filepath.Dir(card))))
		f, err := os.OpenFile(filepath.Join(root, node), os.O_RDWR, 0)
		if err != nil {
			shut = fmt.Errorf("the GPU at /%s cannot be opened (%w): let the user be of its group, often render", node, errors.Unwrap(err))
			continue
		}
		_ = f.Close()
		if hasDriver(root, drivers) {
			return nil
		}
		shut = fmt.Errorf("the GPU at /%s has no Vulkan driver: install one (Debian: mesa-vulkan-drivers, for NVIDIA nvidia-vulkan-icd)", node)
	}
	if shut != nil {
		return shut
	}
	return errors.New("there is no GPU of NVIDIA, AMD or Intel in /dev/dri")
}

// hasDriver reports whether a Vulkan driver is named to the loader whose file contains one of some names.
func hasDriver(root string, names []string) bool {
	var files []string
	for _, variable := range []string{"VK_DRIVER_FILES", "VK_ICD_FILENAMES"} {
		files = append(files, filepath.SplitList(os.Getenv(variable))...)
	}
	if files == nil { // they stand in place of the folders
		for _, dir := range []string{"etc", "usr/share", "usr/local/share"} {
			found, _ := filepath.Glob(filepath.Join(root, dir, "vulkan/icd.d/*.json"))
			files = append(files, found...)
		}
	}
	for _, f := range files {
		for _, name := range names {
			if strings.Contains(strings.ToLower(filepath.Base(f)), name) {
				return true
			}
		}
	}
	return false
}
