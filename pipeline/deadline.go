package pipeline

import (
	"fmt"
	"time"

	"microtome/slide"
)

// inTime does what may not return, such as reading a file on a share that is gone, and gives up after a time. What
// comes after that is lost.
func inTime[T any](limit time.Duration, path string, do func() (T, error)) (T, error) {
	if limit == 0 {
		return do()
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-t.C:
		var none T
		return none, &slide.Error{Op: "read", Path: path, Err: fmt.Errorf("%w for %v: is the disk or the network share still there? give --read-timeout more if it is only slow", slide.ErrTimeout, limit)}
	}
}
