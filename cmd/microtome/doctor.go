package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"microtome/slide"
	"microtome/unet"
)

// A finding is one line of the doctor: what was looked for, what was found, and what to do when it is
// missing.
type finding struct {
	Name  string `json:"name"`
	Found string `json:"found,omitempty"`
	Error string `json:"error,omitempty"` // why it is missing, and how to get it
	need  bool   // segmenting is impossible without it
}

func newDoctorCommand() *cobra.Command {
	var library string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Show engines, devices, libraries and versions, what is missing and how to get it",
		Args:  arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return runDoctor(c.OutOrStdout(), library, asJSON)
		},
	}
	c.Flags().StringVar(&library, "onnxruntime", "", "ONNX Runtime library `FILE`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func runDoctor(w io.Writer, library string, asJSON bool) error {
	findings := examine(library)
	missing := 0
	for _, f := range findings {
		if f.need && f.Found == "" {
			missing++
		}
	}
	if asJSON {
		if err := json.NewEncoder(w).Encode(findings); err != nil {
			return err
		}
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, f := range findings {
			state := f.Found
			if state == "" {
				state = "missing: " + f.Error
			}
			fmt.Fprintf(t, "%s\t%s\n", f.Name, state)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if missing > 0 {
		return fmt.Errorf("segmenting is not possible here: missing above: %d", missing)
	}
	return nil
}

func examine(library string) []finding {
	fs := []finding{
		{Name: "microtome", Found: version, need: true},
		{Name: "go", Found: fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH), need: true},
		{Name: "processors", Found: strconv.Itoa(runtime.GOMAXPROCS(0)), need: true},
	}
	libs := slide.Libraries()
	for _, name := range []string{"libvips", "openslide", "govips"} {
		fs = append(fs, finding{Name: name, Found: libs[name], Error: "make setup, or libvips-dev with OpenSlide support", need: name == "libvips"})
	}
	ort := finding{Name: "onnxruntime"} // without it gorgonia runs the models that microtome trained
	if path, v, err := unet.Libraries(unet.Config{Library: library}); err != nil {
		ort.Error = err.Error()
	} else {
		ort.Found = fmt.Sprintf("%s (%s)", v, path)
	}
	fs = append(fs, ort)
	for _, d := range unet.Devices(unet.Config{Library: library}) {
		if ort.Found == "" && d.Library {
			continue // said already
		}
		f := finding{Name: "device " + d.Name, Found: d.Found}
		if d.Err != nil {
			f.Found, f.Error = "", d.Err.Error()
		}
		fs = append(fs, f)
	}
	return fs
}
