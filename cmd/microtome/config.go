package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// withConfig adds --config FILE to a command: a YAML mapping in which any flag of the command may
// stand under its name. A flag on the command line wins over the file, the file over the default.
func withConfig(c *cobra.Command) {
	var path string
	c.Flags().StringVar(&path, "config", "", "YAML `FILE` with any of these flags by name, as \"json: true\"; a flag on the command line wins")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if path == "" {
			return nil
		}
		if err := applyConfig(c.Flags(), path); err != nil {
			return usageError{fmt.Errorf("--config %s: %w", path, err)}
		}
		return nil
	}
}

func applyConfig(flags *pflag.FlagSet, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err) // the path is named by the caller
	}
	defer f.Close()
	var values map[string]string
	if err := yaml.NewDecoder(f).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("not a YAML mapping of flags to values: %s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	var errs []string
	for key, value := range values {
		flag := flags.Lookup(key)
		switch {
		case flag == nil || key == "config" || key == "help":
			errs = append(errs, fmt.Sprintf("unknown key %q", key))
		case flag.Changed: // the command line wins
		default:
			if err := flag.Value.Set(value); err != nil {
				errs = append(errs, fmt.Sprintf("%s: %v", key, err))
			}
			flag.Changed = true
		}
	}
	if len(errs) > 0 {
		slices.Sort(errs)
		return errors.New(strings.Join(errs, "; "))
	}
	return nil
}
