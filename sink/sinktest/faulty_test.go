package sinktest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// TestFaulty: the operations that a fault means go wrong as it says, and no others.
func TestFaulty(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault Fault
		want  []string // operations that fail, of those below
		text  string   // what the file holds
	}{
		{"none", Fault{At: 6, Err: syscall.EIO}, nil, "abcdefgh"},
		{"the second of all", Fault{At: 2, Err: syscall.EIO}, []string{"Write"}, "abcd"},
		{"the first of a kind", Fault{Kinds: []string{"Sync", "Close"}, Err: syscall.EIO}, []string{"Sync"}, "abcdefgh"},
		{"writes from the second on", Fault{At: 1, Kinds: []string{"Write"}, Forever: true, Err: syscall.EIO}, []string{"Write"}, "abcd"},
		{"all from the second on", Fault{At: 1, Forever: true, Err: syscall.EIO}, []string{"Write", "Write", "Sync", "Close"}, ""},
		{"halfway", Fault{At: 1, Forever: true, Kinds: NeedRoom, Err: syscall.EIO, Half: true}, []string{"Write", "Write", "Sync"}, "abef"},
		{"short", Fault{At: 1, Forever: true}, []string{"Write", "Write"}, "abef"},
	} {
		fsys := NewFaulty(c.fault)
		path := filepath.Join(t.TempDir(), "file")
		f, err := fsys.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		var failed []string
		check := func(kind string, err error) {
			if err != nil {
				failed = append(failed, kind)
				if !errors.Is(err, c.fault.Err) {
					t.Errorf("%s: %s fails with %v", c.name, kind, err)
				}
			}
		}
		for _, text := range []string{"abcd", "efgh"} {
			n, err := f.Write([]byte(text))
			if err == nil && n < len(text) && c.fault.Err == nil {
				failed = append(failed, "Write")
			}
			check("Write", err)
		}
		check("Sync", f.Sync())
		if fsys.Closed() == nil {
			t.Errorf("%s: an open file counts as closed", c.name)
		}
		check("Close", f.Close())
		if err := fsys.Closed(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var said []string
		for _, op := range fsys.Failed() {
			said = append(said, op.Kind)
		}
		if !slices.Equal(failed, c.want) || !slices.Equal(said, c.want) {
			t.Errorf("%s: %v failed, %v is told, want %v", c.name, failed, said, c.want)
		}
		if text, _ := os.ReadFile(path); string(text) != c.text {
			t.Errorf("%s: the file holds %q, want %q", c.name, text, c.text)
		}
		if fsys.Count("") != 5 || fsys.Count("Write") != 2 {
			t.Errorf("%s: %v was done", c.name, fsys.Done())
		}
	}
}

// TestFaultyTogether: one fault hits one of many that work at a time.
func TestFaultyTogether(t *testing.T) {
	fsys := NewFaulty()
	fsys.Add(Fault{At: 50, Kinds: []string{"MkdirAll"}, Err: syscall.ENOSPC})
	dir := t.TempDir()
	errs := make([]error, 100)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = fsys.MkdirAll(dir) })
	}
	all.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) != 1 || !errors.Is(errs[0], syscall.ENOSPC) || fsys.Count("MkdirAll") != 100 {
		t.Errorf("%v of %d", errs, fsys.Count(""))
	}
}
