package pipeline

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"time"

	"microtome/sink"
	"microtome/slide"
)

// An identity tells a slide from what it was before.
type identity struct {
	fingerprint string
	bytes       int64     // of all its files
	modified    time.Time // the latest of them
}

// identify returns what tells the slide at path from others, within the time that a read may take.
func (p *Pipeline) identify(path string) (identity, error) {
	id, err := slide.Within(p.Config.ReadTimeout, func() (identity, error) { return identityOf(path) }, nil)
	if errors.Is(err, slide.ErrTimeout) {
		err = &slide.Error{Op: "read", Path: path, Err: err}
	}
	return id, err
}

func identityOf(path string) (id identity, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return id, err
	}
	id.bytes, id.modified = info.Size(), info.ModTime()
	for _, part := range slide.Parts(path) {
		if info, err := os.Stat(part); err == nil { // one that is missing is for opening and reading to tell
			id.bytes += info.Size()
			if info.ModTime().After(id.modified) {
				id.modified = info.ModTime()
			}
		}
	}
	id.fingerprint, err = sink.Fingerprint(path)
	return id, err
}

// becauseGone puts the better reason in place of an error of reading a slide: its file is gone, or another one by now.
func (p *Pipeline) becauseGone(s *subject, err error) error {
	var bad *slide.Error
	if !errors.As(err, &bad) || errors.Is(err, slide.ErrTimeout) {
		return err
	}
	gone := p.same(s)
	var se *StageError
	if gone == nil || !errors.As(err, &se) {
		return cmp.Or(gone, err)
	}
	return &StageError{Slide: se.Slide, Stage: se.Stage, Tile: se.Tile, Err: gone}
}

// same fails when the slide's file is no longer what it was when it was opened: the mask would be of both.
func (p *Pipeline) same(s *subject) error {
	now, err := p.identify(s.given)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = &slide.Error{Op: "read", Path: s.given, Err: errors.New("the file has vanished while it was read: run again when it is there")}
	case err == nil && now != s.identity:
		err = &slide.Error{Op: "read", Path: s.given, Err: errors.New("the file has changed while it was read: run again when it is whole")}
	}
	return err
}
