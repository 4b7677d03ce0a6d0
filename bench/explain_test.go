package bench

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microtome/bench/results"
	"microtome/bench/synthetic"
	"microtome/pipeline"
	"microtome/sink"
	"microtome/slide"
	"microtome/unet"
)

// A planted is a run with one thing made slow on purpose.
type planted struct {
	read, predict, write, open time.Duration // what a block, a tile, a write, a slide take longer
	bytes                      int64         // that a prediction takes
	memory                     int64
	slides, atWork             int // 0: one; 0: as many as fit
}

func wait(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

type slowReader struct {
	slide.BlockReader
	planted
}

func (r slowReader) ReadBlock(ctx context.Context, level, x, y int, dst []byte) error {
	if level > 0 { // the small pictures cost nothing
		for i := range dst {
			dst[i] = 200
		}
		return nil
	}
	wait(r.read)
	return r.BlockReader.ReadBlock(ctx, level, x, y, dst)
}

// slowModel labels everything as background.
type slowModel struct{ planted }

func (m slowModel) Spec() unet.Spec {
	return unet.Spec{
		Name: "slow", Geometry: unet.Geometry{Stride: 16, Before: 16, After: 16}, Channels: 3, Classes: []string{"background", "nucleus"}, MPP: 0.5,
		SHA256: "slow", Engine: "test, cpu", Logits: 2,
	}
}

func (m slowModel) Bytes(int) int64 { return m.bytes }

func (m slowModel) Predict(_ context.Context, _ int, _, out []byte) error {
	wait(m.predict)
	clear(out)
	return nil
}

func (slowModel) Close() error { return nil }

// slowDisk takes its time with each write.
type slowDisk struct {
	sink.FileSystem
	planted
}

func (d slowDisk) Create(path string) (sink.File, error) {
	f, err := d.FileSystem.Create(path)
	return slowFile{f, d.planted}, err
}

type slowFile struct {
	sink.File
	planted
}

func (f slowFile) WriteAt(p []byte, off int64) (int, error) {
	wait(f.write)
	return f.File.WriteAt(p, off)
}

// run segments a synthetic slide of 64 tiles and returns what was seen.
func (p planted) run(t *testing.T) *Watch {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i := range max(p.slides, 1) {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("%d.recipe", i)))
		if err := os.WriteFile(paths[i], []byte("a slide that is painted as it is read"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cfg := pipeline.NewDefaultConfig()
	cfg.Out, cfg.Tile, cfg.Slides, cfg.Tissue, cfg.Files, cfg.Compression = filepath.Join(dir, "out"), 512, p.atWork, pipeline.TissueOff, slowDisk{sink.Disk, p}, "none"
	if p.memory > 0 {
		cfg.Memory = p.memory
	}
	c := synthetic.NewDefaultConfig()
	c.Size = 4096
	w := NewWatch(cfg)
	line := &pipeline.Pipeline{Model: slowModel{p}, Config: cfg, Events: w.Events(), OpenSlide: func(_ string, cfg slide.Config) (*slide.Slide, error) {
		wait(p.open)
		return slide.New(slowReader{synthetic.NewReader(c), p}, cfg), nil
	}}
	if err := line.Run(t.Context(), pipeline.Items(slide.Find(slide.FindConfig{}, paths...))); err != nil {
		t.Fatal(err)
	}
	return w
}

// What was made slow is what the explanation names, with a flag that is about it.
func TestExplainNamesWhatIsSlow(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		planted
		limit, advice string
	}{
		"reader":  {planted{read: 15 * ms, predict: 5 * ms}, "read", "local disk"},
		"model":   {planted{predict: 60 * ms}, "infer", "quantize"},
		"disk":    {planted{write: 10 * ms, predict: 5 * ms}, "write", "segment -o"},
		"memory":  {planted{predict: 60 * ms, bytes: 300 << 20, memory: 660 << 20}, LimitMemory, "--memory"},
		"opening": {planted{open: 3000 * ms, predict: ms}, LimitSlides, "faster disk"},

		"model of slides":        {planted{predict: 30 * ms, slides: 4}, "infer", "quantize"},
		"disk of slides":         {planted{write: 15 * ms, predict: ms, slides: 3, atWork: 1}, "write", "segment -o"},
		"disk of slides at once": {planted{write: 15 * ms, predict: ms, slides: 3}, "write", "segment -o"},
	} {
		t.Run(name, func(t *testing.T) {
			why := c.run(t).Explain()
			t.Log(why)
			if why.Limit != c.limit || !strings.Contains(why.Advice, c.advice) {
				t.Errorf("%s is slow, and %q is named with the advice %q: want %q and %s", name, why.Limit, why.Advice, c.limit, c.advice)
			}
		})
	}
}

// The timeline is an XML document that shows every stage, and the result has what the workers did.
func TestTimeline(t *testing.T) {
	w := planted{predict: 2 * time.Millisecond}.run(t)
	var b bytes.Buffer
	if err := w.Timeline(&b); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"lease", "read", "infer", "order", "clear", "write"} {
		if !strings.Contains(b.String(), ">"+stage+"</text>") {
			t.Errorf("the timeline shows no stage %s", stage)
		}
	}
	d := xml.NewDecoder(&b)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	var r results.Result
	w.Into(&r)
	if r.Figures.Pixels != 4096*4096 || r.Figures.Tiles != 64 || len(r.Stages) < 6 || len(r.Phases) < 4 {
		t.Errorf("%d pixels, %d tiles, %d stages, %d phases", r.Figures.Pixels, r.Figures.Tiles, len(r.Stages), len(r.Phases))
	}
	if want := float64(544*544) / (512 * 512); r.Figures.Waste != want {
		t.Errorf("the network saw %.4f pixels for one, not %.4f", r.Figures.Waste, want)
	}
	if r.Figures.BudgetHigh == 0 || r.Figures.BudgetHigh > r.Figures.BudgetLimit {
		t.Errorf("tiles had up to %d bytes, of %d", r.Figures.BudgetHigh, r.Figures.BudgetLimit)
	}
	for _, s := range r.Stages {
		if sum := s.Busy + s.Starved + s.Blocked + s.Waiting; sum < 0.999 || sum > 1.001 {
			t.Errorf("stage %s: the shares add up to %.4f", s.Stage, sum)
		}
	}
}

// A run of which nothing is left to do says so.
func TestExplainNothing(t *testing.T) {
	if why := NewWatch(pipeline.NewDefaultConfig()).Explain(); why.Limit != "" || !strings.Contains(why.Reason, "No tile") {
		t.Errorf("%+v", why)
	}
}
