package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"microtome/internal/raster"
	"microtome/unet"
	"microtome/unet/augment"
	"microtome/unet/dataset"
	"microtome/unet/network"
)

// discs returns images of dark discs on a light ground, of which some touch, each image a group of its own.
func discs(images, edge, each int) *dataset.Set {
	s := &dataset.Set{ClassNames: []string{"background", "disc"}, SHA256: "discs"}
	for n := range images {
		r := rand.New(rand.NewPCG(uint64(n), 4))
		m := dataset.Image{Name: fmt.Sprint("image", n), Group: fmt.Sprint(n), RGB: raster.NewRGB(edge, edge), Instances: raster.NewLabels(edge, edge), Count: each}
		for i := range m.Pix {
			m.Pix[i] = byte(200 + r.IntN(30))
		}
		for id := range each {
			cx, cy, radius := r.Float64()*float64(edge), r.Float64()*float64(edge), 4+3*r.Float64()
			for y := range edge {
				for x := range edge {
					if math.Hypot(float64(x)-cx, float64(y)-cy) < radius && m.Instances.At(x, y) == 0 {
						m.Instances.Pix[y*edge+x] = uint32(id + 1)
						for c := range 3 {
							m.At(x, y)[c] = byte(80 + 20*c + r.IntN(30))
						}
					}
				}
			}
		}
		s.Images = append(s.Images, m)
	}
	return s
}

// small is a configuration that takes milliseconds a step.
func small(t *testing.T) Config {
	t.Helper()
	c, err := NewConfig("default")
	if err != nil {
		t.Fatal(err)
	}
	c.Shape.Depth, c.Shape.Base, c.Tile, c.Steps, c.Every, c.Optimise.WarmUp = 1, 2, 24, 9, 4, 3
	c.Batch, c.Augment.Elastic, c.Patience = 3, 2, 0
	return c
}

func newRun(t *testing.T, c Config) *Run {
	return &Run{Config: c, Set: discs(5, 40, 9), Dir: t.TempDir(), Threads: 2}
}

// files returns what must be the same of two runs.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, name := range []string{ModelName, CheckpointName, PreviewsName} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = data
	}
	lines, err := readMetrics(filepath.Join(dir, MetricsName), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range lines {
		lines[i].Seconds = 0
	}
	all[MetricsName] = fmt.Appendf(nil, "%+v", lines)
	return all
}

func same(t *testing.T, want, got map[string][]byte) {
	t.Helper()
	for name := range want {
		w, g := want[name], got[name]
		if name == CheckpointName { // the length of the metrics depends on how long they took
			w, g = numbersOf(w), numbersOf(g)
		}
		if !bytes.Equal(w, g) {
			t.Errorf("%s differs", name)
		}
	}
}

// numbersOf cuts header and checksum from a checkpoint.
func numbersOf(checkpoint []byte) []byte {
	_, rest, _ := bytes.Cut(checkpoint[len(magic):], []byte("\n"))
	return rest[:len(rest)-32]
}

func TestThreadsChangeNothing(t *testing.T) {
	var want map[string][]byte
	for _, threads := range []int{1, 2, 3, 8} {
		r := newRun(t, small(t))
		r.Threads = threads
		if _, err := r.Train(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := files(t, r.Dir)
		if want == nil {
			want = got
		}
		same(t, want, got)
	}
}

// A run that is stopped after any step, as often as it takes, ends with the bytes of one that is not.
func TestResumeIsBitIdentical(t *testing.T) {
	whole := newRun(t, small(t))
	if _, err := whole.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := files(t, whole.Dir)
	errStop := errors.New("stopped")
	for every := 1; every <= 8; every++ {
		r := newRun(t, small(t))
		for stops := 0; ; stops++ {
			ctx, stop := context.WithCancelCause(t.Context())
			steps := 0
			r.Step = func(Step) {
				if steps++; steps == every {
					stop(errStop)
				}
			}
			_, err := r.Train(ctx)
			if err == nil {
				if stops == 0 {
					t.Fatal("was never stopped")
				}
				break
			}
			if !errors.Is(err, errStop) {
				t.Fatal(err)
			}
			r.Resume = true
		}
		same(t, want, files(t, r.Dir))
	}
}

// What was written after the last checkpoint, by a process that was killed, is as if it had never been.
func TestResumeForgetsWhatCameAfterTheCheckpoint(t *testing.T) {
	whole := newRun(t, small(t))
	if _, err := whole.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRun(t, small(t))
	r.Dir = filepath.Join(r.Dir, "run [1]") // which is no pattern
	ctx, stop := context.WithCancelCause(t.Context())
	r.Validated = func(Validated) { stop(errors.New("stopped")) }
	if _, err := r.Train(ctx); err == nil {
		t.Fatal("not stopped")
	}
	for _, name := range []string{MetricsName, ".checkpoint.123", ".model.onnx.456"} { // the others are replaced whole
		f, err := os.OpenFile(filepath.Join(r.Dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("{torn")
		f.Close()
	}
	r.Resume, r.Validated = true, nil
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, files(t, whole.Dir), files(t, r.Dir))
	left, err := os.ReadDir(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if strings.HasPrefix(f.Name(), ".") {
			t.Errorf("%s stays", f.Name())
		}
	}
}

func TestDamagedCheckpoints(t *testing.T) {
	r := newRun(t, small(t))
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.Dir, CheckpointName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rd := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		bad := bytes.Clone(good)
		if rd.IntN(2) == 0 {
			bad = bad[:rd.IntN(len(bad))]
		} else {
			bad[rd.IntN(len(bad))] ^= byte(1 + rd.IntN(255))
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(path); !errors.Is(err, errCheckpoint) {
			t.Fatalf("a damaged checkpoint: %v", err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		want string
		do   func(*Run)
	}{
		{"holds a training run: give --resume", func(r *Run) { r.Train(t.Context()) }},
		{"the data set has changed", func(r *Run) { r.Train(t.Context()); r.Resume = true; r.Set.SHA256 = "other" }},
		{"metrics.jsonl: holds less than when", func(r *Run) {
			r.Train(t.Context())
			r.Resume = true
			os.Truncate(filepath.Join(r.Dir, MetricsName), 9)
		}},
		{"another process trains in this folder", func(r *Run) {
			unlock, err := lock(r.Dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(unlock)
		}},
		{"no such file", func(r *Run) { r.Resume = true }},
		{"the loss is", func(r *Run) { r.Config.Scale = 1e37 }},
		{"only one group", func(r *Run) { r.Set.Images = r.Set.Images[:1] }},
		{"a network of", func(r *Run) {
			data, err := unet.Export(network.Shape{Depth: 2, Base: 2, Channels: 3, Classes: 2}, network.Shape{Depth: 2, Base: 2, Channels: 3, Classes: 2}.Init(1), unet.Card{})
			if err != nil {
				t.Fatal(err)
			}
			r.Config.Init = filepath.Join(t.TempDir(), "m.onnx")
			os.WriteFile(r.Config.Init, data, 0o600)
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			r := newRun(t, small(t))
			c.do(r)
			_, err := r.Train(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
		})
	}
}

// Weights of a model are where training with Init begins.
func TestInit(t *testing.T) {
	r := newRun(t, small(t))
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := small(t)
	c.Init = filepath.Join(r.Dir, ModelName)
	again := newRun(t, c)
	s, err := again.start()
	if err != nil {
		t.Fatal(err)
	}
	first, err := load(filepath.Join(r.Dir, CheckpointName))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range s.params {
		for j, v := range p.Value {
			if v != first.best[i].Value[j] {
				t.Fatalf("%s[%d] begins at %g, the model has %g", p.Name, j, v, first.best[i].Value[j])
			}
		}
	}
}

func TestLearnsTouchingDiscs(t *testing.T) {
	if testing.Short() {
		t.Skip("ten seconds of training")
	}
	c := small(t)
	c.Shape.Depth, c.Shape.Base, c.Shape.Same, c.Tile = 2, 8, true, 64
	c.Steps, c.Every, c.Batch, c.Average = 900, 900, 4, 0.98
	c.Augment = augment.None()
	c.Augment.Shift, c.Augment.Flip = true, true
	r := &Run{Config: c, Set: discs(10, 96, 25), Dir: t.TempDir(), Threads: runtime.GOMAXPROCS(0)}
	got, err := r.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Scores.IoU < 0.7 || got.Scores.F1At50 < 0.8 { // the cut between discs costs IoU
		t.Errorf("IoU %.3f, F1 %.3f after %d steps, want 0.7 and 0.8", got.Scores.IoU, got.Scores.F1At50, got.Step)
	}
}

// A model takes the resolution that all images share, if it is given none.
func TestCommonResolution(t *testing.T) {
	r := newRun(t, small(t))
	for i, want := range []float64{0, 0, 0, 0, 0.25} {
		r.Set.Images[i].MPP = 0.25
		if got := r.config().MPP; got != want {
			t.Errorf("with %d images of 0.25 µm/px of 5 the model's resolution is %g, want %g", i+1, got, want)
		}
	}
	r.Config.MPP = 0.5
	if got := r.config().MPP; got != 0.5 {
		t.Errorf("asked for 0.5, got %g", got)
	}
}

func TestWeightsMustBeNumbers(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1} {
		s, err := newState(small(t), "")
		if err != nil {
			t.Fatal(err)
		}
		last := s.params[len(s.params)-1].Value
		last[len(last)-1] = float32(bad)
		if s.finite() != (bad == 1) {
			t.Errorf("with a weight of %g, finite is %v", bad, s.finite())
		}
	}
}

func TestClipHoldsTheNorm(t *testing.T) {
	g := [][]float32{{3, 0}, {0, 4}}
	if was := clip(g, 1); was != 5 {
		t.Errorf("norm %g, want 5", was)
	}
	if g[0][0] != 0.6 || g[1][1] != 0.8 {
		t.Errorf("clipped to %v", g)
	}
}

// Adam against its equations in float64.
func TestAdam(t *testing.T) {
	p := network.Params{{Name: "w", Shape: []int{2}, Value: []float32{1, -2}}}
	first, second := [][]float32{{0, 0}}, [][]float32{{0, 0}}
	o := Optimise{Method: "adam", Rate: 0.1, Schedule: "constant"}
	w, m, v := [2]float64{1, -2}, [2]float64{}, [2]float64{}
	for step := range 20 {
		g := []float32{float32(step) - 3, 0.5}
		for i := range w {
			m[i] = 0.9*m[i] + 0.1*float64(g[i])
			v[i] = 0.999*v[i] + 0.001*float64(g[i])*float64(g[i])
			mh, vh := m[i]/(1-math.Pow(0.9, float64(step+1))), v[i]/(1-math.Pow(0.999, float64(step+1)))
			w[i] -= 0.1 * mh / (math.Sqrt(vh) + 1e-8)
		}
		o.update(p, [][]float32{g}, first, second, step, 20)
		for i := range w {
			if math.Abs(float64(p[0].Value[i])-w[i]) > 1e-4 {
				t.Fatalf("step %d: weight %g, want %g", step, p[0].Value[i], w[i])
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	o := Optimise{Rate: 2, Schedule: "cosine", WarmUp: 4}
	for step, want := range map[int]float64{0: 0.5, 3: 2 * (1 + math.Cos(0.03*math.Pi)) / 2, 50: 1, 100: 0} {
		if got := o.rate(step, 100); math.Abs(got-want) > 1e-9 && step != 0 || step == 0 && math.Abs(got-want) > 1e-3 {
			t.Errorf("rate of step %d is %g, want %g", step, got, want)
		}
	}
}

// From the begin there is a checkpoint, so that a run that is killed at once can be gone on with; one that did nothing is no obstacle.
func TestCheckpointFromTheBegin(t *testing.T) {
	r := newRun(t, small(t))
	path := filepath.Join(r.Dir, CheckpointName)
	r.Begun = func(Begun) {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	r.Config.Scale = 1e37
	if _, err := r.Train(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "image") {
		t.Fatalf("error %v, want one that names the image", err)
	}
	r.Config.Scale = 1. / 64
	if _, err := r.Train(t.Context()); err != nil {
		t.Error(err)
	}
	r.Config.Steps = 10
	if _, err := r.Train(t.Context()); err == nil {
		t.Error("a run was replaced")
	}
}

// The card of the begin stays, whatever is said when the run goes on.
func TestResumeKeepsTheCard(t *testing.T) {
	r := newRun(t, small(t))
	r.Card = unet.Card{Licence: "CC0-1.0", Version: "1", TrainingSet: "discs"}
	ctx, stop := context.WithCancelCause(t.Context())
	r.Validated = func(Validated) { stop(errors.New("stopped")) }
	if _, err := r.Train(ctx); err == nil {
		t.Fatal("not stopped")
	}
	again := &Run{Set: r.Set, Dir: r.Dir, Resume: true, Card: unet.Card{Version: "2"}}
	if _, err := again.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(r.Dir, ModelName))
	if err != nil {
		t.Fatal(err)
	}
	_, _, card, err := unet.Import(data)
	if err != nil || card.Licence != "CC0-1.0" || card.Version != "1" {
		t.Errorf("card %+v, %v", card, err)
	}
}

// A folder that was made for nothing does not stay.
func TestNoFolderIsLeftBehind(t *testing.T) {
	r := newRun(t, small(t))
	r.Dir = filepath.Join(t.TempDir(), "run")
	r.Set.Images = r.Set.Images[:1]
	if _, err := r.Train(t.Context()); err == nil {
		t.Fatal("trained with one image")
	}
	if _, err := os.Stat(r.Dir); err == nil {
		t.Error("the folder is there")
	}
}
