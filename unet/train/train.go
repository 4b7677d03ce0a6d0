package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/score"
	"microtome/unet/target"
)

// Names of the files in the folder of a training run.
const (
	ModelName      = "model.onnx" // of the best weights so far
	CheckpointName = "checkpoint"
	MetricsName    = "metrics.jsonl"
)

// A Run is a training run.
type Run struct {
	Config  Config // its classes come from Set
	Set     *dataset.Set
	Dir     string    // for the files; it is made where it is not there
	Card    unet.Card // of the model, as far as it is known before: training set, version, licence, colours; that of the run to go on with stays
	Resume  bool      // go on from the checkpoint in Dir
	Threads int       // 0: one a processor

	Begun     func(Begun)     // called once, if set
	Step      func(Step)      // called after each step, if set
	Validated func(Validated) // called after each validation, if set
}

// A Begun is what is told before the first step.
type Begun struct {
	Training, Validation int // images
	Weights              int // to be learned
	Tile                 int // edge of what the network sees, px
	Step, Steps          int // that are done, of all
}

// A Step is what is told of a step.
type Step struct {
	Step, Steps int
	Loss        float64 // weighted cross-entropy, mean over pixels
	IoU         float64 // of foreground, on the training tiles
	Rate        float64
	Seconds     float64
	Validates   bool // validation follows
}

// A Validated is a line of metrics.jsonl.
type Validated struct {
	Step    int          `json:"step"`
	Loss    float64      `json:"loss"` // mean of the steps since the last line
	IoU     float64      `json:"iou"`
	Rate    float64      `json:"rate"`
	Seconds float64      `json:"seconds"` // since the last line
	Filter  score.Filter `json:"filter"`
	Images  int          `json:"images"` // that were validated with
	Scores  score.Scores `json:"validation"`
	Best    bool         `json:"best"`
}

// Train runs until the last step, or until validation stops to improve, and returns the best validation. There is a checkpoint from
// the first step on. When ctx ends, Train writes one and returns the cause of ctx.
func (r *Run) Train(ctx context.Context) (best Validated, err error) {
	leave, err := r.enter()
	if err != nil {
		return best, err
	}
	defer leave()
	s, err := r.start()
	if err != nil {
		return best, err
	}
	on, held, err := r.Set.Split(s.Config.Held)
	if err != nil {
		return best, err
	}
	threads := r.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	t, err := newTrainer(s.Config, s.Config.pick(r.Set, on), s.params, threads)
	if err != nil {
		return best, err
	}
	defer t.close()
	v := &validator{s.Config, s.Config.pick(r.Set, held), threads}
	if !r.Resume { // a folder that cannot be written is noticed now; and from now on --resume works
		if err := r.save(s); err != nil {
			return best, err
		}
	}
	if r.Begun != nil {
		in, _ := s.Config.input()
		r.Begun(Begun{len(on), len(held), s.params.Count(), in, s.Step, s.Config.Steps})
	}
	began := time.Now()
	for {
		if s.due() {
			if !s.finite() {
				return best, fmt.Errorf("the weights are no numbers any more at step %d: %s", s.Step, calmer)
			}
			line, views, err := v.validate(ctx, s.mean)
			if ctx.Err() != nil {
				return best, r.stop(ctx, s)
			}
			if err != nil {
				return best, errors.Join(err, r.save(s))
			}
			line.Step, line.Rate = s.Step, s.rate()
			line.Loss, line.IoU, line.Seconds = s.Since.Loss/float64(s.Since.Steps), s.Since.Pixels.IoU(), time.Since(began).Seconds()
			s.Seen, s.Since, began = s.Step, period{}, time.Now()
			line.Best = s.judge(line)
			if err := r.write(s, line, views); err != nil {
				return best, err
			}
			if r.Validated != nil {
				r.Validated(line)
			}
		}
		if s.Step == s.Config.Steps || s.Config.Patience > 0 && s.Stale >= s.Config.Patience {
			return *s.Best, nil
		}
		if ctx.Err() != nil {
			return best, r.stop(ctx, s)
		}
		stepped := time.Now()
		grads, got, err := t.run(s.Step)
		if err != nil {
			return best, err
		}
		s.follow(grads)
		s.Since.add(got)
		if r.Step != nil {
			r.Step(Step{s.Step, s.Config.Steps, got.loss, got.pixels.IoU(), s.rate(), time.Since(stepped).Seconds(), s.due()})
		}
	}
}

// stop writes a checkpoint because ctx ended.
func (r *Run) stop(ctx context.Context, s *state) error {
	if !s.finite() { // and never will be again
		return fmt.Errorf("%w; the weights are no numbers any more at step %d, and the checkpoint stays that of an earlier one", context.Cause(ctx), s.Step)
	}
	if err := r.save(s); err != nil {
		return fmt.Errorf("%w; no checkpoint at step %d: %w", context.Cause(ctx), s.Step, err)
	}
	return fmt.Errorf("%w: the checkpoint in %s holds step %d of %d: go on with --resume", context.Cause(ctx), r.Dir, s.Step, s.Config.Steps)
}

// due reports whether the weights are to be validated before the next step.
func (s *state) due() bool {
	return s.Step > s.Seen && (s.Step%s.Config.Every == 0 || s.Step == s.Config.Steps)
}

// finite reports whether all weights are numbers.
func (s *state) finite() bool {
	sum := 0.0
	for _, p := range s.params {
		for _, w := range p.Value {
			sum += math.Abs(float64(w)) // of float32: no overflow
		}
	}
	return sum <= math.MaxFloat64
}

// A period is the steps from one validation to the next.
type period struct {
	Steps  int          `json:"steps"`
	Loss   float64      `json:"loss"` // summed
	Pixels score.Pixels `json:"pixels"`
}

func (p *period) add(r result) {
	p.Steps++
	p.Loss += r.loss
	p.Pixels.Add(r.pixels)
}

// pick returns some of the images. Where the size of pixels is not known it is guessed from the nuclei, if the
// configuration says how large these are.
func (c Config) pick(s *dataset.Set, which []int) []dataset.Image {
	var images []dataset.Image
	for _, i := range which {
		m := s.Images[i]
		if m.MPP == 0 && c.Nucleus > 0 {
			m.MPP = dataset.EstimateMPP(m, c.Nucleus)
		}
		images = append(images, m)
	}
	return images
}

// ReadSettings returns the configuration and the card of the run whose checkpoint is in a folder.
func ReadSettings(dir string) (Config, unet.Card, error) {
	s, err := load(filepath.Join(dir, CheckpointName))
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, unet.Card{}, fmt.Errorf("%s: no checkpoint to go on from: leave out --resume to start", dir)
	}
	if err != nil {
		return Config{}, unet.Card{}, err
	}
	return s.Config, s.Card, nil
}

// enter makes the folder where it is not there, and keeps other processes out until leave.
func (r *Run) enter() (leave func(), err error) {
	_, missing := os.Stat(r.Dir)
	if err := os.MkdirAll(r.Dir, 0o777); err != nil {
		return nil, advise(err)
	}
	unlock, err := lock(r.Dir)
	if err != nil {
		return nil, advise(err)
	}
	removeTorn(r.Dir)
	return func() {
		if missing != nil {
			_ = os.Remove(r.Dir) // only if nothing came of it: it is empty
		}
		unlock()
	}, nil
}

// removeTorn removes what a process that was killed as it wrote has left in a folder. The folder's name is no pattern.
func removeTorn(dir string) {
	files, _ := os.ReadDir(dir) // a folder that cannot be read is noticed soon
	for _, f := range files {
		for _, name := range []string{ModelName, CheckpointName, CurvesName, PreviewsName} {
			if torn, _ := filepath.Match(temporary(name), f.Name()); torn {
				_ = os.Remove(filepath.Join(dir, f.Name()))
			}
		}
	}
}

// start returns the state to begin with.
func (r *Run) start() (*state, error) {
	s, err := load(filepath.Join(r.Dir, CheckpointName))
	if !r.Resume {
		return r.begin(s, err)
	}
	switch {
	case err != nil:
		return nil, err
	case s.Data != r.Set.SHA256:
		return nil, fmt.Errorf("%s: the data set has changed since the checkpoint: start anew in another folder", r.Dir)
	}
	metrics := filepath.Join(r.Dir, MetricsName)
	if info, err := os.Stat(metrics); s.Metrics > 0 && (err != nil || info.Size() < s.Metrics) {
		return nil, fmt.Errorf("%s: holds less than when the checkpoint was written: put it back, or start anew in another folder", metrics)
	}
	return s, nil
}

// begin returns the state before the first step. A run that did no step yet may lie in the folder, as one that failed at once.
func (r *Run) begin(there *state, err error) (*state, error) {
	if err == nil && there.Step > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: holds a training run: give --resume to go on with it, or another folder", r.Dir)
	}
	for _, name := range []string{ModelName, MetricsName} {
		if _, err := os.Stat(filepath.Join(r.Dir, name)); err == nil {
			return nil, fmt.Errorf("%s: holds %s, which training would replace: give another folder", r.Dir, name)
		}
	}
	c := r.config()
	s, err := newState(c, r.Set.SHA256)
	if err != nil {
		return nil, err
	}
	s.Card = r.Card
	return s, errors.Join(c.Validate(), s.card().Validate())
}

// config returns the configuration with what the data set says.
func (r *Run) config() Config {
	c := r.Config
	c.Classes, c.Shape.Classes = r.Set.ClassNames, len(r.Set.ClassNames)
	if c.MPP == 0 {
		c.MPP = common(r.Set)
	}
	if c.Balance {
		on, _, _ := r.Set.Split(c.Held) // whoever trains is told what is wrong with it
		c.Target.Class = target.Balance(count(r.Set, on))
	}
	return c
}

// common returns the resolution of the images where all have the same, or 0.
func common(s *dataset.Set) float64 {
	mpp := s.Images[0].MPP
	for _, m := range s.Images {
		if m.MPP != mpp {
			return 0
		}
	}
	return mpp
}

// count returns how many pixels of each class some of the images have, as far as they are annotated.
func count(s *dataset.Set, which []int) []int {
	n := make([]int, len(s.ClassNames))
	for _, k := range which {
		m := s.Images[k]
		for i, instance := range m.Instances.Pix {
			if m.Outside == nil || !m.Outside[i] {
				n[m.Class(instance)]++
			}
		}
	}
	return n
}

// rate is the learning rate of the last step.
func (s *state) rate() float64 { return s.Config.Optimise.rate(max(s.Step-1, 0), s.Config.Steps) }

// follow moves the weights, and their mean after them.
func (s *state) follow(grads [][]float32) {
	s.Config.Optimise.update(s.params, grads, s.first, s.second, s.Step, s.Config.Steps)
	s.Step++
	decay := min(s.Config.Average, float64(s.Step)/float64(s.Step+10)) // the first weights are soon forgotten
	if s.Config.Average == 0 {
		decay = 0
	}
	for i, p := range s.params {
		mean := s.mean[i].Value
		for j, w := range p.Value {
			mean[j] += float32(1-decay) * (w - mean[j])
		}
	}
}

// judge keeps the weights when they are the best so far, or when there is nothing to judge them by.
func (s *state) judge(line Validated) bool {
	if s.Best != nil && line.Images > 0 && line.Scores.F1At50 <= s.Best.Scores.F1At50 {
		s.Stale++
		return false
	}
	line.Best, line.Seconds = true, 0
	s.Stale, s.Best = 0, &line
	for i, p := range s.mean {
		copy(s.best[i].Value, p.Value)
	}
	return true
}

func (r *Run) save(s *state) error { return s.save(filepath.Join(r.Dir, CheckpointName)) }

// write writes what there is to see of a validation, and then the checkpoint. That says how long the metrics are: a line beyond is
// of a run that was killed in between, and is written again.
func (r *Run) write(s *state, line Validated, views []view) error {
	if line.Best {
		if err := r.export(s); err != nil {
			return err
		}
	}
	if err := r.append(s, line); err != nil {
		return err
	}
	if err := r.draw(s, views); err != nil {
		return err
	}
	return r.save(s)
}

// append adds a line to the metrics.
func (r *Run) append(s *state, line Validated) (err error) {
	f, err := os.OpenFile(filepath.Join(r.Dir, MetricsName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return advise(err)
	}
	defer func() { err = advise(errors.Join(err, f.Close())) }()
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if err := f.Truncate(s.Metrics); err != nil {
		return err
	}
	if _, err := f.WriteAt(data, s.Metrics); err != nil {
		return err
	}
	s.Metrics += int64(len(data))
	return f.Sync()
}
