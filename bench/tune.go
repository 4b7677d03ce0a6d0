package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"microtome/bench/synthetic"
	"microtome/pipeline"
	"microtome/slide"
	"microtome/unet"
)

// A Tuned is how a model runs fastest on a machine, within a memory, as far as a probe tells.
type Tuned struct {
	Tile    int `json:"tile"`    // edge of a core at most, px
	Workers int `json:"workers"` // tiles at a time
	Batch   int `json:"batch"`   // tiles that the network gets at a time; 0: as suits the device

	MPXPerS float64 `json:"mpx_per_s"`         // that are labelled
	Default float64 `json:"default_mpx_per_s"` // with what the plan chooses by itself
	Probes  []Probe `json:"probes"`
}

// A Probe is one setting that was tried.
type Probe struct {
	Tile    int     `json:"tile"`
	Workers int     `json:"workers"`
	Batch   int     `json:"batch"`
	MPXPerS float64 `json:"mpx_per_s"`
}

// String says what was found, and what it gains.
func (t Tuned) String() string {
	batch := ""
	if t.Batch > 0 {
		batch = fmt.Sprintf(", in batches of %d", t.Batch)
	}
	return fmt.Sprintf("tiles of up to %d px, %d at a time%s: %.3g Mpx/s of network, %.2f times the %.3g without tuning", t.Tile, t.Workers, batch, t.MPXPerS, t.MPXPerS/t.Default, t.Default)
}

// tuneSize is the edge of the slide that a probe lays tiles on, px: one so large that its edges hardly count.
const tuneSize = 32768

// probeTime is how long each setting is tried at least; a tile that takes longer is computed once more after the first.
const probeTime = 600 * time.Millisecond

// Tune tries tile sizes, then numbers of tiles at a time, then batches, each by running the network alone, and keeps what is fastest of
// what fits c.Pipeline.Memory. What wins by less than 2 % does not count as faster. tried is called for each setting.
func Tune(ctx context.Context, c Config, tried func(Probe)) (t Tuned, err error) {
	model, err := unet.Open(c.Model, c.Unet)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	p := &prober{Config: c, model: model, tried: tried}
	own, err := p.plan(ctx, 0, 0)
	if err != nil {
		return t, err
	}
	if err := own.Check(); err != nil {
		return t, err
	}
	best, err := p.probe(ctx, own.Core, own.Workers, 0)
	if err != nil {
		return t, err
	}
	t.Default = best.MPXPerS
	try := func(tile, workers, batch int) error {
		plan, err := p.plan(ctx, tile, workers)
		if err != nil || plan.Check() != nil || plan.Workers != workers {
			return err // this does not fit
		}
		one, err := p.probe(ctx, tile, workers, batch)
		if err == nil && one.MPXPerS > 1.02*best.MPXPerS {
			best = one
		}
		return err
	}
	if model.Spec().Input == 0 && c.Pipeline.Tile == 0 {
		for _, tile := range []int{512, 768, 1024, 1536, 2048} {
			if tile != own.Core && tile%model.Spec().Stride == 0 {
				if err := try(tile, own.Workers, 0); err != nil {
					return t, err
				}
			}
		}
	}
	if c.Pipeline.Workers == 0 {
		for _, workers := range []int{best.Workers / 2, best.Workers * 2} {
			if workers > 0 {
				if err := try(best.Tile, workers, 0); err != nil {
					return t, err
				}
			}
		}
	}
	if c.Unet.Batch == 0 {
		for _, batch := range []int{2, 4, 8} {
			was := best
			if err := try(best.Tile, max(best.Workers, 2*batch), batch); err != nil {
				return t, err
			}
			if best == was { // larger ones would not be better
				break
			}
		}
	}
	t.Tile, t.Workers, t.Batch, t.MPXPerS, t.Probes = best.Tile, best.Workers, best.Batch, best.MPXPerS, p.probes
	return t, nil
}

// A prober tries settings of a model.
type prober struct {
	Config
	model  unet.Model
	tried  func(Probe)
	probes []Probe
}

// plan lays out a large slide with tiles of a size, so many at a time; 0: as it chooses.
func (p *prober) plan(ctx context.Context, tile, workers int) (pipeline.Plan, error) {
	c := p.pipelineConfig()
	if tile > 0 {
		c.Tile = tile
	}
	if workers > 0 {
		c.Workers = workers
	}
	c.Tissue, c.Slides, c.Level, c.MPP = pipeline.TissueOff, 1, 0, 0
	s := synthetic.NewDefaultConfig()
	s.Size = tuneSize
	line := &pipeline.Pipeline{Model: p.model, Config: c, OpenSlide: func(_ string, cfg slide.Config) (*slide.Slide, error) {
		return synthetic.Open(s, cfg), nil
	}}
	return line.Plan(ctx, pipeline.Item{Path: "synthetic"})
}

// probe runs the network alone.
func (p *prober) probe(ctx context.Context, tile, workers, batch int) (one Probe, err error) {
	model := p.model
	if batch > 0 {
		c := p.Unet
		c.Batch = batch
		if model, err = unet.Open(p.Model, c); err != nil {
			return one, err
		}
		defer func() { err = errors.Join(err, model.Close()) }()
	}
	spec := model.Spec()
	halo := spec.Geometry.Input(tile)
	type buffers struct{ pix, labels []byte }
	rate, err := repeat(workers, probeTime, func(int) buffers {
		return buffers{bytesOf(halo * halo * spec.Channels), make([]byte, tile*tile)}
	}, func(b buffers) error { return model.Predict(ctx, 1, b.pix, b.labels) })
	if err != nil {
		if ctx.Err() != nil {
			return one, context.Cause(ctx)
		}
		return one, err
	}
	one = Probe{tile, workers, batch, rate * float64(tile) * float64(tile) / 1e6}
	p.probes = append(p.probes, one)
	p.tried(one)
	return one, nil
}

// TunedPath returns the file, in the user's cache, that keeps what was found for a model, device, memory and machine.
func TunedPath(c Config) (string, error) {
	model, err := unet.Read(c.Model)
	if err != nil {
		return "", err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("nowhere to keep what tuning finds: %w", err)
	}
	host, _ := os.Hostname()
	devices := strings.Join(slices.Compact([]string{c.Unet.Device, c.Unet.Library}), " ")
	sum := sha256.New()
	sum.Write(fmt.Appendf(nil, "%x\n%s %t %t\n%d %d %d\n%s %s %d\n", sha256.Sum256(model), devices, c.Unet.Half, c.Unet.TTA, c.Pipeline.Memory, c.Pipeline.Tile, c.Pipeline.Overlap,
		host, processorName(), runtime.GOMAXPROCS(0)))
	return filepath.Join(dir, "microtome", "tuned", hex.EncodeToString(sum.Sum(nil)[:12])+".json"), nil
}

// ReadTuned returns what was found before; ok: there is such.
func ReadTuned(path string) (t Tuned, ok bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, false, nil
	}
	if err == nil && json.Unmarshal(data, &t) != nil || t.Tile <= 0 {
		return Tuned{}, false, err // half written, or not ours: it is made anew
	}
	return t, err == nil, err
}

// WriteTuned keeps what was found.
func WriteTuned(path string, t Tuned) error {
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temp, append(data, '\n'), 0o666); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// bytesOf returns pixels of no meaning.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}
