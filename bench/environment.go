package bench

import (
	"os"
	"runtime"
	"runtime/debug"

	"microtome/bench/results"
)

// NewEnvironment describes this process and its machine. version is microtome's, libs are the versions of what computes.
func NewEnvironment(version string, libs map[string]string) results.Environment {
	e := results.Environment{
		Version: version, OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: processorName(), Processors: runtime.GOMAXPROCS(0),
		Memory: machineMemory(), Libraries: libs,
	}
	e.Host, _ = os.Hostname() // "" says as much
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				e.Commit = s.Value
			}
			if s.Key == "vcs.modified" && s.Value == "true" {
				e.Commit += "+changes"
			}
		}
	}
	return e
}
