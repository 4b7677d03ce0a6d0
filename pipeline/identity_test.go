package pipeline

import (
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microtome/slide"
)

// TestSlideReplacedWhileOpened: pixels are of the file that was opened, and so must its identity be.
func TestSlideReplacedWhileOpened(t *testing.T) {
	f := newFolder(t, image.Pt(200, 150), "a.svs")
	p, seen := f.pipeline(t, &fakeModel{}, func(*Config) {})
	p.OpenSlide = func(path string, cfg slide.Config) (*slide.Slide, error) {
		s, err := f.open(path, cfg)
		return s, errors.Join(err, os.WriteFile(path, []byte("another file"), 0o666))
	}
	err := p.Run(t.Context(), f.items)
	if err == nil || !strings.Contains(err.Error(), "the file has changed while it was read") {
		t.Errorf("error %v", err)
	}
	if e := seen.ends[f.paths[0]]; e.Dir != "" {
		t.Errorf("results in %s", e.Dir)
	}
}

// TestIdentityIsOfAllFiles: an MRXS file says nothing of the pixels, which are beside it.
func TestIdentityIsOfAllFiles(t *testing.T) {
	dir := t.TempDir()
	index, data := filepath.Join(dir, "a.mrxs"), filepath.Join(dir, "a", "Data0000.dat")
	err := errors.Join(os.Mkdir(filepath.Dir(data), 0o777), os.WriteFile(index, []byte("index"), 0o666), os.WriteFile(data, []byte("pixels"), 0o666))
	if err != nil {
		t.Fatal(err)
	}
	before, err := identityOf(index)
	if err != nil {
		t.Fatal(err)
	}
	later := before.modified.Add(time.Hour)
	if err := os.Chtimes(data, later, later); err != nil {
		t.Fatal(err)
	}
	touched, err := identityOf(index)
	if err != nil || touched == before {
		t.Errorf("%+v after the data was written anew, before %+v (%v)", touched, before, err)
	}
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	if gone, err := identityOf(index); err != nil || gone.bytes != before.bytes-int64(len("pixels")) {
		t.Errorf("%+v without the data, before %+v (%v)", gone, before, err)
	}
}
