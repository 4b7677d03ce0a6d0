package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"microtome/unet"
	"microtome/unet/dataset"
	"microtome/unet/score"
)

// Names of the files in the folder of a training run.
const (
	ModelName      = "model.onnx" // of the best weights so far
	CheckpointName = "checkpoint"
	MetricsName    = "metrics.jsonl"
)

// A Run is a training run.
type Run struct {
	Config  Config
	Set     *dataset.Set
	Dir     string    // for the files, which exists
	Card    unet.Card // of the model, as far as it is known before: training set, version, licence, colours
	Resume  bool      // go on from the checkpoint in Dir, if there is one
	Threads int       // 0: one a processor

	Step      func(Step)      // called after each step, if set
	Validated func(Validated) // called after each validation, if set
}

// A Step is what is told of a step.
type Step struct {
	Step, Steps int
	Loss        float64 // weighted cross-entropy, mean over pixels
	IoU         float64 // of foreground, on the training tiles
	Rate        float64
	Seconds     float64
}

// A Validated is a line of metrics.jsonl.
type Validated struct {
	Step    int          `json:"step"`
	Loss    float64      `json:"loss"` // mean of the steps since the last line
	IoU     float64      `json:"iou"`
	Rate    float64      `json:"rate"`
	Seconds float64      `json:"seconds"` // since the last line
	Filter  score.Filter `json:"filter"`
	Scores  score.Scores `json:"validation"`
	Best    bool         `json:"best"`
}

// Train runs until the last step, or until validation stops to improve. When ctx ends, it writes a checkpoint and returns the cause
// of ctx.
func (r *Run) Train(ctx context.Context) (err error) {
	s, err := r.start()
	if err != nil {
		return err
	}
	on, held, err := r.Set.Split(s.Config.Held)
	if err != nil {
		return err
	}
	threads := r.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	t, err := newTrainer(s.Config, s.Config.pick(r.Set, on), s.params, threads)
	if err != nil {
		return err
	}
	defer t.close()
	v := &validator{s.Config, s.Config.pick(r.Set, held), threads}
	var since struct {
		loss   float64
		steps  int
		pixels score.Pixels
		from   time.Time
	}
	since.from = time.Now()
	for s.Step < s.Config.Steps && (s.Config.Patience == 0 || s.Stale < s.Config.Patience) {
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), r.stop(s))
		}
		began := time.Now()
		grads, got, err := t.run(s.Step)
		if err != nil {
			return err
		}
		s.follow(grads)
		since.loss += got.loss
		since.steps++
		since.pixels.Add(got.pixels)
		if r.Step != nil {
			r.Step(Step{s.Step, s.Config.Steps, got.loss, got.pixels.IoU(), s.Config.Optimise.rate(s.Step-1, s.Config.Steps), time.Since(began).Seconds()})
		}
		if s.Step%s.Config.Every != 0 && s.Step != s.Config.Steps {
			continue
		}
		line := Validated{Step: s.Step, Loss: since.loss / float64(since.steps), IoU: since.pixels.IoU(), Rate: s.Config.Optimise.rate(s.Step-1, s.Config.Steps)}
		if line.Filter, line.Scores, _, err = v.validate(ctx, s.mean); err != nil {
			return errors.Join(err, r.stop(s))
		}
		line.Seconds = time.Since(since.from).Seconds()
		line.Best = s.judge(line.Scores.F1At50)
		if line.Best {
			if err := r.export(s, line); err != nil {
				return err
			}
		}
		if err := r.write(s, line); err != nil {
			return err
		}
		since.loss, since.steps, since.pixels, since.from = 0, 0, score.Pixels{}, time.Now()
		if r.Validated != nil {
			r.Validated(line)
		}
	}
	return nil
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

// start returns the state to begin with.
func (r *Run) start() (*state, error) {
	path := filepath.Join(r.Dir, CheckpointName)
	if r.Resume {
		s, err := load(path)
		if err == nil {
			return s, r.same(s)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return newState(r.Config, r.Set.SHA256), nil
}

// same reports why a checkpoint is not of this run.
func (r *Run) same(s *state) error {
	if s.Data != r.Set.SHA256 {
		return fmt.Errorf("%s: the data set has changed since the checkpoint: start anew in another folder", r.Dir)
	}
	a, err := json.Marshal(s.Config)
	if err != nil {
		return err
	}
	b, err := json.Marshal(r.Config)
	if err != nil {
		return err
	}
	if string(a) != string(b) {
		return fmt.Errorf("%s: the checkpoint was made with other settings: give the same flags, or start anew in another folder", r.Dir)
	}
	return nil
}

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

// judge keeps the weights when they are the best so far.
func (s *state) judge(score float64) bool {
	if score <= s.BestScore {
		s.Stale++
		return false
	}
	s.Stale, s.BestScore, s.BestStep = 0, score, s.Step
	for i, p := range s.mean {
		copy(s.best[i].Value, p.Value)
	}
	return true
}

func (r *Run) stop(s *state) error { return s.save(filepath.Join(r.Dir, CheckpointName)) }

// write appends to the metrics and saves the checkpoint, which says how long they are: a line beyond that is of a run that
// was killed in between, and is written again.
func (r *Run) write(s *state, line Validated) (err error) {
	f, err := os.OpenFile(filepath.Join(r.Dir, MetricsName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(s.Metrics); err != nil {
		return err
	}
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if _, err := f.WriteAt(data, s.Metrics); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.Metrics += int64(len(data))
	return s.save(filepath.Join(r.Dir, CheckpointName))
}
