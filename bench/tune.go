package bench

import (
	"cmp"
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

// Tune tries tile sizes, then numbers of tiles at a time, then, on a GPU, batches, each by running the network alone, and keeps what is
// fastest of what fits c.Pipeline.Memory. What the user has set stays. What seems best is measured against the plan's own choice once more, by turns, since the best of
// many probes flatters itself; it has to win by more than 2 %. tried is called for each probe.
func Tune(ctx context.Context, c Config, tried func(Probe)) (t Tuned, err error) {
	p := &prober{Config: c, tried: tried}
	model, err := unet.Open(c.Model, c.Unet)
	if err != nil {
		return t, err
	}
	plan, err := p.plan(ctx, model, 0, 0)
	if err == nil {
		err = plan.Check()
	}
	_, gpu := model.(unet.ParallelModel)
	spec := model.Spec()
	if err := errors.Join(err, model.Close()); err != nil {
		return t, err
	}
	own := Probe{Tile: plan.Core, Workers: plan.Workers, Batch: c.Unet.Batch}
	if own, err = p.probe(ctx, own); err != nil {
		return t, err
	}
	best := own
	try := func(one Probe) error {
		one, err := p.probe(ctx, one)
		if err == nil && one.MPXPerS > best.MPXPerS {
			best = one
		}
		return err
	}
	if spec.Input == 0 && c.Pipeline.Tile == 0 {
		for _, tile := range []int{512, 768, 1024, 1536, 2048} {
			if tile != own.Tile && tile%spec.Stride == 0 {
				if err := try(Probe{Tile: tile, Workers: own.Workers, Batch: own.Batch}); err != nil {
					return t, err
				}
			}
		}
	}
	if c.Pipeline.Workers == 0 {
		for _, workers := range []int{best.Workers / 2, best.Workers * 2} {
			if workers > 0 {
				if err := try(Probe{Tile: best.Tile, Workers: workers, Batch: own.Batch}); err != nil {
					return t, err
				}
			}
		}
	}
	if c.Unet.Batch == 0 && gpu {
		for _, batch := range []int{2, 4, 8, 16} {
			was := best
			if err := try(Probe{Tile: best.Tile, Workers: max(best.Workers, 2*batch), Batch: batch}); err != nil {
				return t, err
			}
			if best == was { // larger ones would not be better
				break
			}
		}
	}
	if best, own, err = p.byTurns(ctx, best, own); err != nil {
		return t, err
	}
	return Tuned{best.Tile, best.Workers, best.Batch, best.MPXPerS, own.MPXPerS, p.probes}, nil
}

// A prober tries settings of a model.
type prober struct {
	Config
	tried  func(Probe)
	probes []Probe
}

// plan lays out a large slide with tiles of a size, so many at a time; 0: as it chooses.
func (p *prober) plan(ctx context.Context, model unet.Model, tile, workers int) (pipeline.Plan, error) {
	c := p.pipelineConfig()
	c.Tile, c.Workers = cmp.Or(tile, c.Tile), cmp.Or(workers, c.Workers)
	c.Tissue, c.Slides, c.Level, c.MPP = pipeline.TissueOff, 1, 0, 0
	s := synthetic.NewDefaultConfig()
	s.Size = tuneSize
	line := &pipeline.Pipeline{Model: model, Config: c, OpenSlide: func(_ string, cfg slide.Config) (*slide.Slide, error) {
		return synthetic.Open(s, cfg), nil
	}}
	return line.Plan(ctx, pipeline.Item{Path: "synthetic"})
}

// probe runs the network alone with a setting and fills in how fast it is: 0 where it does not fit the memory.
func (p *prober) probe(ctx context.Context, one Probe) (_ Probe, err error) {
	c := p.Unet
	c.Batch = one.Batch
	model, err := unet.Open(p.Model, c)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	plan, err := p.plan(ctx, model, one.Tile, one.Workers)
	if err != nil || plan.Check() != nil || plan.Workers != one.Workers {
		return one, err
	}
	spec := model.Spec()
	halo := spec.Geometry.Input(one.Tile)
	type buffers struct{ pix, labels []byte }
	rate, err := repeat(one.Workers, probeTime, func(int) buffers {
		return buffers{bytesOf(halo * halo * spec.Channels), make([]byte, one.Tile*one.Tile)}
	}, func(b buffers) error { return model.Predict(ctx, 1, b.pix, b.labels) })
	if err != nil {
		if ctx.Err() != nil {
			return one, context.Cause(ctx)
		}
		return one, err
	}
	one.MPXPerS = rate * float64(one.Tile) * float64(one.Tile) / 1e6
	p.probes = append(p.probes, one)
	p.tried(one)
	return one, nil
}

// byTurns measures two settings again, twice each, and returns the first with what it reaches, or the second in its place where that is no slower.
func (p *prober) byTurns(ctx context.Context, best, own Probe) (_, _ Probe, err error) {
	same := func(a, b Probe) bool { return a.Tile == b.Tile && a.Workers == b.Workers && a.Batch == b.Batch }
	if same(best, own) {
		return own, own, nil
	}
	var sums [2]float64
	for range 2 {
		for i, one := range []Probe{best, own} {
			again, err := p.probe(ctx, one)
			if err != nil {
				return best, own, err
			}
			sums[i] += again.MPXPerS / 2
		}
	}
	best.MPXPerS, own.MPXPerS = sums[0], sums[1]
	if best.MPXPerS < 1.02*own.MPXPerS {
		return own, own, nil
	}
	return best, own, nil
}

// TunedPath returns the file, in the user's cache, that keeps what was found for a model, device, memory and machine.
func TunedPath(c Config, version string) (string, error) {
	model, err := unet.Read(c.Model)
	if err != nil {
		return "", err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("nowhere to keep what tuning finds: %w", err)
	}
	host, _ := os.Hostname()
	_, library, _ := unet.Libraries(c.Unet) // "": there is none
	own := c.Pipeline
	sum := sha256.New()
	sum.Write(fmt.Appendf(nil, "%x %+v %s %s\n%d %d %d %d\n%s %s %d\n", sha256.Sum256(model), c.Unet, version, library,
		own.Memory, own.Tile, own.Workers, own.Overlap, host, processorName(), runtime.GOMAXPROCS(0)))
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
