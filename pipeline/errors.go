package pipeline

import (
	"errors"
	"fmt"
	"image"
	"path/filepath"
	"runtime"
	"strings"

	"microtome/slide"
	"microtome/stages"
)

// A StageError says where a slide's run failed: the slide, the stage, and the core rectangle of the
// tile, in pixels of the working resolution, where the failure was one tile's.
type StageError struct {
	Slide string
	Stage string
	Tile  image.Rectangle // empty: not one tile's
	Err   error
}

func (e *StageError) Error() string {
	var b strings.Builder
	var inner *slide.Error // says the slide and what was being done itself
	named := errors.As(e.Err, &inner) && inner.Path == e.Slide
	if e.Slide != "" && !named {
		fmt.Fprintf(&b, "%s: ", e.Slide)
	}
	if !e.Tile.Empty() {
		fmt.Fprintf(&b, "%s tile %v: ", e.Stage, e.Tile)
	} else if !named {
		fmt.Fprintf(&b, "%s: ", e.Stage)
	}
	fmt.Fprintf(&b, "%v", e.Err)
	return b.String()
}

func (e *StageError) Unwrap() error { return e.Err }

// tileOf returns the core of the tile that a value in the graph belongs to.
func tileOf(v any) image.Rectangle {
	switch v := v.(type) {
	case slide.Tile:
		return v.Core
	case stages.Patch:
		return v.Tile.Core
	case stages.Mask:
		return v.Tile.Core
	}
	return image.Rectangle{}
}

// A panicError is a panic in a stage: a bug in microtome, told in one line with the place to look at.
type panicError struct {
	value any
	at    string
}

func (e *panicError) Error() string {
	return fmt.Sprintf("internal error at %s: %v: please report it", e.at, e.value)
}

// newPanicError must be called by the function that recovered. The frame below runtime's is the one
// that panicked.
func newPanicError(value any) error {
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return &panicError{value, fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)}
		}
		if !more {
			return &panicError{value, "unknown place"}
		}
	}
}
