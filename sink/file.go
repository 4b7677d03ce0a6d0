package sink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// PartialDir is the folder, beside the final names, that holds files while they are written.
const PartialDir = ".partial"

// A fileSystem does what files need from the operating system; tests put faults in its way.
type fileSystem interface {
	MkdirAll(dir string) error
	Create(path string) (file, error)
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(dir string) error
}

type file interface {
	Write(p []byte) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Sync() error
	Close() error
}

// A partial is a file that does not have its final name yet. Exactly one of commit and abort ends it.
type partial struct {
	file
	fs         fileSystem
	path, temp string
	ended      bool
}

func createPartial(fsys fileSystem, path string) (*partial, error) {
	dir := filepath.Join(filepath.Dir(path), PartialDir)
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fileError(err)
	}
	temp := filepath.Join(dir, filepath.Base(path))
	f, err := fsys.Create(temp)
	if err != nil {
		return nil, fileError(errors.Join(err, removeDir(fsys, dir)))
	}
	return &partial{file: f, fs: fsys, path: path, temp: temp}, nil
}

// commit makes the file durable under its final name.
func (p *partial) commit() error {
	if err := p.Sync(); err != nil {
		return fileError(errors.Join(err, p.abort()))
	}
	p.ended = true
	if err := p.Close(); err != nil {
		return fileError(errors.Join(err, p.remove()))
	}
	if err := p.fs.Rename(p.temp, p.path); err != nil {
		return fileError(errors.Join(err, p.remove()))
	}
	err := errors.Join(removeDir(p.fs, filepath.Dir(p.temp)), p.fs.SyncDir(filepath.Dir(p.path)))
	if err != nil { // its name may not survive a power cut: not committed
		return fileError(errors.Join(err, p.fs.Remove(p.path)))
	}
	return nil
}

// abort removes the file; after commit it does nothing.
func (p *partial) abort() error {
	if p.ended {
		return nil
	}
	p.ended = true
	return errors.Join(p.Close(), p.remove())
}

func (p *partial) remove() error {
	err := p.fs.Remove(p.temp)
	return errors.Join(err, removeDir(p.fs, filepath.Dir(p.temp)))
}

// removeDir removes a folder unless another file is still being written in it.
func removeDir(fsys fileSystem, dir string) error {
	err := fsys.Remove(dir)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// fileError says what to do about an error of the operating system, which names operation and path.
func fileError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free some space, or write elsewhere with -o", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: choose another folder with -o", err)
	}
	return err
}

// writeFile writes a whole small file under its final name, or nothing.
func writeFile(path string, data []byte) error {
	p, err := createPartial(disk{}, path)
	if err != nil {
		return err
	}
	if _, err := p.Write(data); err != nil {
		return fileError(errors.Join(err, p.abort()))
	}
	return p.commit()
}

// disk is the operating system's file system.
type disk struct{}

func (disk) MkdirAll(dir string) error    { return os.MkdirAll(dir, 0o777) }
func (disk) Rename(from, to string) error { return os.Rename(from, to) }
func (disk) Remove(path string) error     { return os.Remove(path) }

func (disk) Create(path string) (file, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

func (disk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
