package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// profiles says which profiles of Go's runtime a run writes.
type profiles struct {
	kinds []string
}

// profileKinds are the profiles, and the files that they are written to.
var profileKinds = map[string]string{"cpu": "cpu.pprof", "heap": "heap.pprof", "trace": "trace.out"}

func profileFlags(f *pflag.FlagSet, p *profiles) {
	f.StringSliceVar(&p.kinds, "profile", nil, "write `PROFILES` of Go's runtime, cpu, heap and trace, for go tool pprof and go tool trace")
}

// start begins the profiles, which stop ends, as files of a folder.
func (p profiles) start(dir string) (stop func() error, err error) {
	var stops []func() error
	stop = func() error {
		var errs []error
		for _, s := range stops {
			errs = append(errs, s())
		}
		return errors.Join(errs...)
	}
	for _, kind := range p.kinds {
		name, ok := profileKinds[kind]
		if !ok {
			return stop, usageError{fmt.Errorf("--profile %s: give %s, or several with commas between", kind, strings.Join([]string{"cpu", "heap", "trace"}, ", "))}
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return stop, err
		}
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return stop, errors.Join(err, stop())
		}
		begun := false
		switch kind {
		case "cpu":
			err = pprof.StartCPUProfile(f)
			begun = err == nil
		case "trace":
			err = trace.Start(f)
			begun = err == nil
		}
		if err != nil {
			return stop, errors.Join(err, f.Close(), stop())
		}
		stops = slices.Insert(stops, 0, func() error {
			var err error
			switch {
			case kind == "heap":
				err = pprof.WriteHeapProfile(f)
			case kind == "cpu" && begun:
				pprof.StopCPUProfile()
			case kind == "trace" && begun:
				trace.Stop()
			}
			return errors.Join(err, f.Close())
		})
	}
	return stop, nil
}
