package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"microtome": func() { os.Exit(run(os.Args[1:])) }})
}

// TestScript runs the command as a person types it: see testdata/script.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			return makeInputs(e.WorkDir)
		},
	})
}
