package bench

import (
	"context"

	"microtome/sink"
	"microtome/unet"
)

// null returns a model with the geometry of another one, whose labels are all 0 and take no time.
func null(m unet.Model) unet.Model {
	if r, ok := m.(unet.RectModel); ok {
		return nullRect{r}
	}
	return nullModel{m}
}

type nullModel struct{ unet.Model }

func (m nullModel) Spec() unet.Spec { return anyPixels(m.Model.Spec()) }

func (nullModel) Predict(_ context.Context, _ int, _, out []byte) error {
	clear(out)
	return nil
}

type nullRect struct{ unet.RectModel }

func (m nullRect) Spec() unet.Spec { return anyPixels(m.RectModel.Spec()) }

// anyPixels leaves out that pixels are to be normalised.
func anyPixels(s unet.Spec) unet.Spec {
	s.PerSlide = false
	return s
}

func (nullRect) Predict(_ context.Context, _ int, _, out []byte) error {
	clear(out)
	return nil
}

func (nullRect) PredictRect(_ context.Context, _, _ int, _, out []byte) error {
	clear(out)
	return nil
}

// nowhere is a file system whose files keep nothing: for measuring what it costs to make them.
type nowhere struct{}

func (nowhere) MkdirAll(string) error            { return nil }
func (nowhere) Create(string) (sink.File, error) { return void{}, nil }
func (nowhere) Open(string) (sink.File, error)   { return void{}, nil }
func (nowhere) Rename(string, string) error      { return nil }
func (nowhere) Remove(string) error              { return nil }
func (nowhere) SyncDir(string) error             { return nil }

type void struct{}

func (void) Write(p []byte) (int, error)            { return len(p), nil }
func (void) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (void) ReadAt(p []byte, _ int64) (int, error)  { return len(p), nil }
func (void) Truncate(int64) error                   { return nil }
func (void) Sync() error                            { return nil }
func (void) Close() error                           { return nil }
