package sinktest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"microtome/sink"
)

// A Faulty is [sink.Disk] with faults in the way of what is done on it, which it counts. It does not wait
// for the disk: no test can tell what a sync did. It is safe for concurrent use.
type Faulty struct {
	Before func() // is called before each operation, where it is set

	mu     sync.Mutex
	faults []Fault
	seen   []int // operations that each fault counts, by now
	done   []Operation
	failed []Operation
	files  []*faultyFile
}

// An Operation is a call of a method of [sink.FileSystem] or [sink.File].
type Operation struct {
	Kind string // the method's name
	Path string // of the file, its earlier name for Rename
}

// A Fault is an operation that goes wrong, and how.
type Fault struct {
	At      int      // which of the operations of Kinds, the first is 0
	Kinds   []string // none: of all kinds
	Forever bool     // that one and all of Kinds after it
	Err     error    // such as syscall.ENOSPC; nil: writes stop halfway and say nothing, others go well
	Half    bool     // writes write half of their bytes before they fail
}

// NeedRoom are the kinds of operation that fail while a disk is full.
var NeedRoom = []string{"MkdirAll", "Create", "Write", "WriteAt", "Sync"}

// NewFaulty returns a disk with faults.
func NewFaulty(faults ...Fault) *Faulty {
	return &Faulty{faults: faults, seen: make([]int, len(faults))}
}

// Add adds a fault that counts from now on.
func (f *Faulty) Add(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.seen = append(f.faults, fault), append(f.seen, 0)
}

// Done returns the operations so far in order, those that failed too.
func (f *Faulty) Done() []Operation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.done)
}

// Failed returns the operations that went wrong.
func (f *Faulty) Failed() []Operation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.failed)
}

// Count returns how many operations of a kind there were, of all kinds for "".
func (f *Faulty) Count(kind string) (n int) {
	for _, op := range f.Done() {
		if kind == "" || op.Kind == kind {
			n++
		}
	}
	return n
}

// Closed fails when a file that was opened was not closed exactly once.
func (f *Faulty) Closed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, file := range f.files {
		if file.closed != 1 {
			errs = append(errs, fmt.Errorf("%s was closed %d times", file.path, file.closed))
		}
	}
	return errors.Join(errs...)
}

// do counts an operation and returns the fault that hits it, if any.
func (f *Faulty) do(kind, path string) (hit *Fault) {
	if f.Before != nil {
		f.Before()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	op := Operation{kind, path}
	f.done = append(f.done, op)
	for i := range f.faults {
		fault := &f.faults[i]
		if len(fault.Kinds) > 0 && !slices.Contains(fault.Kinds, kind) {
			continue
		}
		n := f.seen[i]
		f.seen[i]++
		if n == fault.At || n > fault.At && fault.Forever {
			hit = fault
		}
	}
	if hit != nil && hit.Err == nil && kind != "Write" && kind != "WriteAt" {
		return nil // cannot be short
	}
	if hit != nil {
		f.failed = append(f.failed, op)
	}
	return hit
}

// next is do for what is not a write.
func (f *Faulty) next(kind, path string) error {
	hit := f.do(kind, path)
	if hit == nil {
		return nil
	}
	return hit.err(kind, path)
}

func (f *Fault) err(kind, path string) error {
	if f.Err == nil {
		return nil
	}
	return &fs.PathError{Op: strings.ToLower(kind), Path: path, Err: f.Err}
}

// MkdirAll is [sink.Disk]'s, and so are the others.
func (f *Faulty) MkdirAll(dir string) error {
	if err := f.next("MkdirAll", dir); err != nil {
		return err
	}
	return sink.Disk.MkdirAll(dir)
}

// Create creates a file that has faults, too.
func (f *Faulty) Create(path string) (sink.File, error) {
	if err := f.next("Create", path); err != nil {
		return nil, err
	}
	return f.open(path, sink.Disk.Create)
}

// Open opens a file that has faults, too.
func (f *Faulty) Open(path string) (sink.File, error) {
	if err := f.next("Open", path); err != nil {
		return nil, err
	}
	return f.open(path, sink.Disk.Open)
}

func (f *Faulty) open(path string, open func(string) (sink.File, error)) (sink.File, error) {
	inner, err := open(path)
	if err != nil {
		return nil, err
	}
	file := &faultyFile{File: inner, fs: f, path: path}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files = append(f.files, file)
	return file, nil
}

// Rename renames a file.
func (f *Faulty) Rename(from, to string) error {
	if err := f.next("Rename", from); err != nil {
		return err
	}
	return sink.Disk.Rename(from, to)
}

// Remove removes a file or an empty folder.
func (f *Faulty) Remove(path string) error {
	if err := f.next("Remove", path); err != nil {
		return err
	}
	return sink.Disk.Remove(path)
}

// SyncDir waits for nothing.
func (f *Faulty) SyncDir(dir string) error { return f.next("SyncDir", dir) }

type faultyFile struct {
	sink.File
	fs     *Faulty
	path   string
	closed int
}

func (f *faultyFile) Write(p []byte) (int, error) { return f.write("Write", p, f.File.Write) }

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	return f.write("WriteAt", p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

func (f *faultyFile) write(kind string, p []byte, write func([]byte) (int, error)) (n int, err error) {
	hit := f.fs.do(kind, f.path)
	if hit == nil {
		return write(p)
	}
	if hit.Half || hit.Err == nil {
		if n, err = write(p[:len(p)/2]); err != nil {
			return n, err
		}
	}
	return n, hit.err(kind, f.path)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.next("ReadAt", f.path); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.next("Truncate", f.path); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error { return f.fs.next("Sync", f.path) }

// Close closes the file also when it fails, as the operating system does.
func (f *faultyFile) Close() error {
	f.fs.mu.Lock()
	f.closed++
	f.fs.mu.Unlock()
	return errors.Join(f.fs.next("Close", f.path), f.File.Close())
}
