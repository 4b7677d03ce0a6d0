package pipeline

import (
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"
)

// processor names the instructions by which engines choose how they compute: on another kind of processor sums may
// differ in their last bit.
func processor() string {
	kind := []string{runtime.GOARCH}
	has := func(is bool, name string) {
		if is {
			kind = append(kind, name)
		}
	}
	has(cpu.X86.HasAVX2, "avx2")
	has(cpu.X86.HasAVX512F, "avx512")
	has(cpu.X86.HasAVX512VNNI, "vnni")
	has(cpu.X86.HasAMXTile, "amx")
	has(cpu.ARM64.HasASIMDDP, "dotprod")
	has(cpu.ARM64.HasSVE, "sve")
	return strings.Join(kind, " ")
}
