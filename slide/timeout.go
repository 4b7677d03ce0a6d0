package slide

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// ErrTimeout is what opening and reading end with after [Config].Timeout: the file is on a disk or a
// network share that does not answer.
var ErrTimeout = errors.New("no answer")

func timeoutError(wait time.Duration) error {
	return fmt.Errorf("%w for %v: is the disk or the network share still there? give --read-timeout more if it is only slow", ErrTimeout, wait)
}

// An outcome is what came of a function that ran in a goroutine of its own.
type outcome[T any] struct {
	value    T
	err      error
	panicked string // what, and where; "" when it did not
}

// begin runs f in a goroutine of its own, which ends when f does, whether or not anybody still wants to
// know: a system call that hangs cannot be called off.
func begin[T any](f func() (T, error)) <-chan outcome[T] {
	done := make(chan outcome[T], 1)
	go func() {
		var o outcome[T]
		defer func() {
			if p := recover(); p != nil {
				o.panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
			}
			done <- o
		}()
		o.value, o.err = f()
	}()
	return done
}

// get returns what f returned, or panics as f did, where somebody may recover.
func (o outcome[T]) get() (T, error) {
	if o.panicked != "" {
		panic(o.panicked)
	}
	return o.value, o.err
}

// Within calls f, which may not return, such as one that reads from a network share that is gone, and waits for it no
// longer than wait; 0: for ever. After that it fails with ErrTimeout, and what f returns at last goes to late, where
// that is not nil.
func Within[T any](wait time.Duration, f func() (T, error), late func(T)) (T, error) {
	if wait == 0 {
		return f()
	}
	done := begin(f)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.get()
	case <-timer.C:
	}
	if late != nil {
		go func() { late((<-done).value) }()
	}
	var none T
	return none, timeoutError(wait)
}

// openWithin calls open, and waits for it no longer than wait. What comes later is closed.
func openWithin(wait time.Duration, open func() (BlockReader, error)) (BlockReader, error) {
	return Within(wait, open, func(r BlockReader) {
		if r != nil {
			_ = r.Close() // nobody is left to be told
		}
	})
}

// A deadline is a BlockReader whose calls take no longer than wait. The first that would fails, and so
// do all later ones, at once. It is abandoned: its goroutine stays until the call returns at last, and
// its buffer is nobody else's. The last call to return closes the reader that is closed meanwhile.
type deadline struct {
	BlockReader
	wait time.Duration
	gone chan struct{} // closed when a call has taken too long

	mu     sync.Mutex
	calls  int // under way, with the abandoned ones
	closed bool
	late   bool
}

func newDeadline(r BlockReader, wait time.Duration) *deadline {
	return &deadline{BlockReader: r, wait: wait, gone: make(chan struct{})}
}

func (d *deadline) ReadBlock(ctx context.Context, level, x, y int, dst []byte) error {
	return d.call(func() error { return d.BlockReader.ReadBlock(ctx, level, x, y, dst) })
}

// forget lets go of a level that the reader keeps open, see fileReader.
func (d *deadline) forget(level int) {
	if r, ok := d.BlockReader.(forgetter); ok {
		_ = d.call(func() error { r.forget(level); return nil }) // when it is late, reading says so
	}
}

// Close closes the reader, or leaves that to the last call that is under way.
func (d *deadline) Close() error {
	d.mu.Lock()
	now, late := !d.closed && d.calls == 0, d.late
	d.closed = true
	d.mu.Unlock()
	if !now {
		return nil
	}
	done := begin(func() (struct{}, error) { return struct{}{}, d.BlockReader.Close() })
	if late {
		return nil // it did not answer before, and is not waited for again
	}
	return d.await(done)
}

// call runs f, one of the reader's methods, and waits for it.
func (d *deadline) call(f func() error) error {
	d.mu.Lock()
	switch {
	case d.late:
		d.mu.Unlock()
		return timeoutError(d.wait)
	case d.closed:
		d.mu.Unlock()
		return errClosed
	}
	d.calls++
	d.mu.Unlock()
	return d.await(begin(func() (struct{}, error) {
		defer d.returned()
		return struct{}{}, f()
	}))
}

// await waits for a call until it, or any other call, has taken too long.
func (d *deadline) await(done <-chan outcome[struct{}]) error {
	timer := time.NewTimer(d.wait)
	defer timer.Stop()
	select {
	case o := <-done:
		_, err := o.get()
		return err
	case <-d.gone:
	case <-timer.C:
		d.mu.Lock()
		if !d.late {
			d.late = true
			close(d.gone)
		}
		d.mu.Unlock()
	}
	return timeoutError(d.wait)
}

// returned counts out a call that has returned, in time or not.
func (d *deadline) returned() {
	d.mu.Lock()
	d.calls--
	last := d.calls == 0 && d.closed
	d.mu.Unlock()
	if last {
		_ = d.BlockReader.Close() // Close has returned long ago
	}
}
