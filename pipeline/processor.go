package pipeline

import (
	"runtime"

	"golang.org/x/sys/cpu"
)

// processor names the instructions by which engines choose how they compute: on another kind of processor sums may
// differ in their last bit.
func processor() string {
	kind := runtime.GOARCH
	for _, f := range []struct {
		has  bool
		name string
	}{
		{cpu.X86.HasAVX2, " avx2"}, {cpu.X86.HasAVX512F, " avx512"}, {cpu.X86.HasAVX512VNNI, " vnni"}, {cpu.X86.HasAMXTile, " amx"},
		{cpu.ARM64.HasASIMDDP, " dotprod"}, {cpu.ARM64.HasSVE, " sve"},
	} {
		if f.has {
			kind += f.name
		}
	}
	return kind
}
