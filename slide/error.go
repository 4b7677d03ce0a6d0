package slide

import (
	"fmt"
	"image"
	"strings"
)

// An Error says which operation failed on which file, and where: Rect is in pixels of Level, empty when
// the error concerns the file as a whole.
type Error struct {
	Op    string // "open", "read", "close"
	Path  string
	Level int
	Rect  image.Rectangle
	Err   error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Op, e.Path)
	if !e.Rect.Empty() {
		fmt.Fprintf(&b, " level %d %v", e.Level, e.Rect)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }
