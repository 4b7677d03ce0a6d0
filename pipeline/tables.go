package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

// Tables are what a run leaves in its output folder beside the slides' own folders: cohort.csv with a row for each slide
// that has results, failures.csv with one for each that has none, and run.json. Those of a shard carry its name, as
// cohort.3-of-8.csv: the tasks of a job array share the folder.
type Tables struct {
	cfg      Config
	shard    Shard
	run      sink.Run
	rows     []sink.CohortRow
	failures []sink.Failure
}

// NewTables begins the tables of a run over a number of slides. libraries are versions by name; config is what run.json
// shall say of the run's settings.
func NewTables(cfg Config, shard Shard, slides int, libraries map[string]string, config any) *Tables {
	host, _ := os.Hostname()
	t := &Tables{cfg: cfg, shard: shard, run: sink.Run{
		Version: cfg.Version, Arguments: cfg.Arguments, Host: host, Started: time.Now().UTC(),
		Slides: sink.RunSlides{Total: slides}, Memory: cfg.Memory, Libraries: libraries, Config: config,
	}}
	if shard.N > 0 {
		t.run.Shard = shard.String()
	}
	return t
}

// Used notes that a model was used.
func (t *Tables) Used(s unet.Spec) {
	m := sink.RunModel{Name: s.Name, SHA256: s.SHA256, Engine: s.Engine}
	for _, u := range t.run.Models {
		if u == m {
			return
		}
	}
	t.run.Models = append(t.run.Models, m)
}

// Events listens to the run.
func (t *Tables) Events() Events { return Events{SlideEnd: t.end} }

func (t *Tables) end(e SlideEnd) {
	n := &t.run.Slides
	status := "done"
	var se *StageError
	switch {
	case errors.As(e.Err, &se):
		n.Failed++
		f := sink.Failure{Slide: slide.RealPath(e.Slide), Stage: se.Stage, Err: se.Err.Error()} // the rest has columns
		if r := se.Tile; !r.Empty() {
			f.Tile = fmt.Sprintf("%d %d %d %d", r.Min.X, r.Min.Y, r.Dx(), r.Dy())
		}
		t.failures = append(t.failures, f)
		return
	case e.Err != nil && e.Interrupted:
		return
	case e.Err != nil:
		n.Failed++
		t.failures = append(t.failures, sink.Failure{Slide: slide.RealPath(e.Slide), Stage: "open", Err: e.Err.Error()})
		return
	case e.Kept:
		status = "kept"
		n.Kept++
	default:
		n.Done++
	}
	t.rows = append(t.rows, sink.NewCohortRow(status, e.Dir, e.Summary))
}

// Write writes the tables of a run that ended with err, ctx being the run's.
func (t *Tables) Write(ctx context.Context, err error) error {
	n := t.run.Slides
	switch {
	case ctx.Err() != nil:
		t.run.Status = "interrupted"
	case err == nil:
		t.run.Status = "done"
	case n.Done+n.Kept > 0:
		t.run.Status = "some failed"
	default:
		t.run.Status = "failed"
	}
	t.run.Ended = time.Now().UTC()
	t.run.Seconds = t.run.Ended.Sub(t.run.Started).Seconds()
	path := func(name string) string {
		if t.shard.N > 0 {
			name, ext, _ := strings.Cut(name, ".")
			return filepath.Join(t.cfg.Out, fmt.Sprintf("%s.%d-of-%d.%s", name, t.shard.I, t.shard.N, ext))
		}
		return filepath.Join(t.cfg.Out, name)
	}
	slices.SortStableFunc(t.rows, func(a, b sink.CohortRow) int { return cmp.Compare(a.Slide, b.Slide) }) // they end in any order
	slices.SortStableFunc(t.failures, func(a, b sink.Failure) int { return cmp.Compare(a.Slide, b.Slide) })
	files := t.cfg.files()
	if err := files.MkdirAll(t.cfg.Out); err != nil {
		return err
	}
	cohort := func() error {
		if len(t.rows) == 0 { // an earlier run's may still be wanted
			return nil
		}
		return sink.WriteCohort(files, path("cohort.csv"), t.rows)
	}
	return errors.Join(
		cohort(),
		sink.WriteFailures(files, path("failures.csv"), t.failures),
		sink.WriteRun(files, path("run.json"), t.run),
	)
}
