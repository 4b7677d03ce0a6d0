package main

import (
	"context"
	"fmt"
	"io"

	"microtome/bench"
)

// tune looks up how a model runs fastest on this machine, or, when nobody has tried yet or anew is set, tries it and keeps what it finds. With
// look it only looks.
func tune(ctx context.Context, c bench.Config, anew, look bool, say func(format string, args ...any)) (bench.Tuned, error) {
	path, err := bench.TunedPath(c, version)
	if err == nil && !anew {
		var t bench.Tuned
		var ok bool
		if t, ok, err = bench.ReadTuned(path); ok {
			say("tuned before: %s", t)
			return t, nil
		}
	}
	if look {
		say("this model is not tuned here yet")
		return bench.Tuned{}, nil
	}
	if err != nil {
		say("what tuning finds cannot be kept: %v", err)
	}
	say("tuning %s: the network runs alone with several settings, for half a minute or so", c.Model)
	t, failed := bench.Tune(ctx, c, func(p bench.Probe) {
		batch := ""
		if p.Batch > 0 {
			batch = fmt.Sprintf(", in batches of %d", p.Batch)
		}
		say("tiles of %d px, %d at a time%s: %.3g Mpx/s", p.Tile, p.Workers, batch, p.MPXPerS)
	})
	if failed != nil {
		return t, fmt.Errorf("tuning: %w", failed)
	}
	say("tuned: %s", t)
	if err == nil {
		if err := bench.WriteTuned(path, t); err != nil {
			say("what tuning has found cannot be kept: %v", err)
		}
	}
	return t, nil
}

// runTune is bench --tune.
func runTune(ctx context.Context, o benchOptions, stdout, stderr io.Writer) error {
	if err := o.Validate(); err != nil {
		return usageError{oneLine(err)}
	}
	t, err := tune(ctx, o.Config, true, false, func(format string, args ...any) { fmt.Fprintf(stderr, "microtome: "+format+"\n", args...) })
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(stdout, map[string]any{
			"tile": t.Tile, "workers": t.Workers, "batch": t.Batch, "mpx_per_s": t.MPXPerS, "default_mpx_per_s": t.Default, "probes": t.Probes,
		})
	}
	_, err = fmt.Fprintln(stdout, t)
	return err
}
