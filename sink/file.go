package sink

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// PartialDir is the folder, beside the final names, that holds files while they are written.
const PartialDir = ".partial"

// A FileSystem does what files that are written need from the operating system, whose errors name
// operation and path. Programs give [Disk]; tests put faults in its way, see sinktest.Faulty. What is only
// read does not go through it, nor do locks and what an earlier run has left.
type FileSystem interface {
	MkdirAll(dir string) error
	Create(path string) (File, error) // a new one, or one without content
	Open(path string) (File, error)   // one that is there, to read and to write
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(dir string) error // makes the names in a folder durable
}

// A File is open for reading and writing. The methods are those of [os.File].
type File interface {
	Write(p []byte) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	ReadAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// Disk is the operating system's file system.
var Disk FileSystem = disk{}

// A partial is a file that does not have its final name yet. Exactly one of commit and abort ends it;
// after that commit and writes fail and change nothing. Its errors say what to do.
type partial struct {
	file       File
	fs         FileSystem
	path, temp string
	ended      bool
}

var errEnded = errors.New("the file was committed or given up before")

func createPartial(fsys FileSystem, path string) (*partial, error) {
	return createPartialAs(fsys, path, filepath.Base(path))
}

// createPartialAs is createPartial under another name until commit.
func createPartialAs(fsys FileSystem, path, name string) (*partial, error) {
	dir := filepath.Join(filepath.Dir(path), PartialDir)
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, advise(err)
	}
	temp := filepath.Join(dir, name)
	f, err := fsys.Create(temp)
	if err != nil {
		return nil, also(advise(err), removeDir(fsys, dir))
	}
	return &partial{file: f, fs: fsys, path: path, temp: temp}, nil
}

func (p *partial) Write(b []byte) (int, error) {
	if p.ended {
		return 0, errEnded
	}
	n, err := p.file.Write(b)
	return n, p.whole(n, len(b), err)
}

func (p *partial) WriteAt(b []byte, off int64) (int, error) {
	if p.ended {
		return 0, errEnded
	}
	n, err := p.file.WriteAt(b, off)
	return n, p.whole(n, len(b), err)
}

// whole makes an error of a write that stopped short without one.
func (p *partial) whole(n, of int, err error) error {
	if err == nil && n < of {
		return fmt.Errorf("write %s: %w", p.temp, io.ErrShortWrite)
	}
	return advise(err)
}

func (p *partial) sync() error {
	if p.ended {
		return errEnded
	}
	return advise(p.file.Sync())
}

// commit makes the file durable under its final name, or removes it.
func (p *partial) commit() error {
	if err := p.sync(); err != nil {
		return also(err, p.abort())
	}
	p.ended = true
	if err := p.file.Close(); err != nil {
		return also(advise(err), p.remove())
	}
	if err := p.fs.Rename(p.temp, p.path); err != nil {
		return also(advise(err), p.remove())
	}
	dir := filepath.Dir(p.path)
	err := also(removeDir(p.fs, filepath.Dir(p.temp)), advise(p.fs.SyncDir(dir)))
	if err != nil { // its name may not survive a power cut: not committed
		return also(err, p.fs.Remove(p.path))
	}
	return nil
}

// abort removes the file, unless it has ended before.
func (p *partial) abort() error {
	if p.ended {
		return nil
	}
	p.ended = true
	return also(p.file.Close(), p.remove())
}

func (p *partial) remove() error {
	return also(p.fs.Remove(p.temp), removeDir(p.fs, filepath.Dir(p.temp)))
}

// A Whole is a file that is written from its beginning to its end, and has its name once that is done.
// Exactly one of Commit and Abort ends it; after that Abort does nothing.
type Whole struct {
	part *partial
	w    *bufio.Writer
}

// CreateWhole starts a file that will have the name path once it is committed.
func CreateWhole(fsys FileSystem, path string) (*Whole, error) {
	part, err := createPartial(fsys, path)
	if err != nil {
		return nil, err
	}
	return &Whole{part, bufio.NewWriterSize(part, 1<<16)}, nil
}

// Write appends to the file.
func (w *Whole) Write(b []byte) (int, error) { return w.w.Write(b) }

// Commit makes the file durable under its final name, or fails and leaves nothing.
func (w *Whole) Commit() error {
	if err := w.w.Flush(); err != nil {
		return also(err, w.part.abort())
	}
	return w.part.commit()
}

// Abort removes what was written.
func (w *Whole) Abort() error { return w.part.abort() }

// removeDir removes a folder unless another file is still being written in it.
func removeDir(fsys FileSystem, dir string) error {
	err := fsys.Remove(dir)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) { // ErrExist: not empty
		return nil
	}
	return advise(err)
}

// advise says what to do about an error of the operating system, which names operation and path.
func advise(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free some space, or write elsewhere with -o", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: choose another folder with -o", err)
	}
	return err
}

// also adds to err what went wrong after it, on the same line; either may be nil.
func also(err, later error) error {
	switch {
	case err == nil:
		return later
	case later == nil:
		return err
	}
	return fmt.Errorf("%w; then %w", err, later)
}

// writeFile writes a whole small file under its final name, or nothing.
func writeFile(fsys FileSystem, path string, data []byte) error {
	p, err := createPartial(fsys, path)
	if err != nil {
		return err
	}
	return p.fill(data)
}

// writeShared is writeFile in a folder where no stage keeps others out: of processes that write the same
// file, one after the other puts a whole one in place. What killed ones left is removed once it is old.
func writeShared(fsys FileSystem, path string, data []byte) error {
	name := filepath.Base(path) + "."
	p, err := createPartialAs(fsys, path, name+rand.Text())
	for range 100 { // another has just removed the folder, as its file was the last
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		p, err = createPartialAs(fsys, path, name+rand.Text())
	}
	if err != nil {
		return err
	}
	if err := p.removeOld(name); err != nil {
		return also(advise(err), p.abort())
	}
	return p.fill(data)
}

// removeOld removes files of a prefix beside p that are so much older that nobody writes them any more.
func (p *partial) removeOld(prefix string) error {
	dir := filepath.Dir(p.temp)
	now, err := os.Stat(p.temp) // by the clock of the file system
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		info, errInfo := e.Info()
		if errInfo == nil && now.ModTime().Sub(info.ModTime()) > deadAfter {
			errInfo = p.fs.Remove(filepath.Join(dir, e.Name()))
		}
		err = also(err, unlessGone(errInfo))
	}
	return err
}

// fill makes a file of data, or none.
func (p *partial) fill(data []byte) error {
	if _, err := p.Write(data); err != nil {
		return also(err, p.abort())
	}
	return p.commit()
}

type disk struct{}

// MkdirAll tries again while other processes remove folders on the way, as they do once these are empty.
func (disk) MkdirAll(dir string) (err error) {
	for range 100 {
		err = os.MkdirAll(dir, 0o777)
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }
func (disk) Remove(path string) error     { return os.Remove(path) }

func (disk) Create(path string) (File, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

func (disk) Open(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (disk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // network file systems that cannot sync a folder
	}
	return errors.Join(err, d.Close())
}
