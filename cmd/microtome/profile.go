package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"runtime/trace"
	"slices"

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

func (p profiles) validate() error {
	for _, kind := range p.kinds {
		if profileKinds[kind] == "" {
			return fmt.Errorf("--profile %s: give cpu, heap, trace, or several with commas between", kind)
		}
	}
	return nil
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
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return stop, errors.Join(err, stop())
		}
		f, err := os.Create(filepath.Join(dir, profileKinds[kind]))
		if err != nil {
			return stop, errors.Join(err, stop())
		}
		switch kind {
		case "cpu":
			err = pprof.StartCPUProfile(f)
		case "trace":
			err = trace.Start(f)
		}
		if err != nil {
			return stop, errors.Join(err, f.Close(), stop())
		}
		stops = slices.Insert(stops, 0, func() error {
			var err error
			switch kind {
			case "cpu":
				pprof.StopCPUProfile()
			case "trace":
				trace.Stop()
			case "heap":
				err = pprof.WriteHeapProfile(f)
			}
			return errors.Join(err, f.Close())
		})
	}
	return stop, nil
}
