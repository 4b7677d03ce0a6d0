package slide_test

import (
	"errors"
	"image"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"microtome/slide"
	"microtome/slide/slidetest"
)

// hold makes every open of a file hang, as on a share that does not answer, until release is called:
// the kernel lets who asks for a leased file wait for whoever has the lease (45 s, by default).
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	const setLease = 1024 // F_SETLEASE of fcntl
	if _, _, err := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), setLease, syscall.F_WRLCK); err != 0 {
		f.Close()
		t.Skipf("this file system knows no leases: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return func() { f.Close() }
}

// Opens and reads that really hang, in system calls: the slide fails in time, and another that fails
// meanwhile gets its reason.
func TestFileThatDoesNotAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for deadlines")
	}
	dir := t.TempDir()
	svs, tif, broken := filepath.Join(dir, "a.svs"), filepath.Join(dir, "a.tif"), filepath.Join(dir, "b.tif")
	writeSVS(t, svs, image.Pt(600, 420))
	writeTIFF(t, tif, page{size: image.Pt(600, 420), tile: 256, pixel: slidetest.Smooth})
	tiles := writeTIFF(t, broken, page{size: image.Pt(600, 420), tile: 256, jpeg: true, pixel: slidetest.Smooth})
	broken = damage(t, broken, tiles[0])
	const patience = time.Second
	cfg := slide.Config{Timeout: patience}
	for name, path := range map[string]string{"svs": svs, "tif": tif} {
		t.Run(name, func(t *testing.T) {
			s, err := slide.Open(path, slide.Config{Timeout: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = slide.Open(path, cfg); err != nil {
				t.Fatal(err)
			}
			release := hold(t, path) // the level is opened when it is first read
			started := time.Now()
			_, _, err = readBlock(t, s, 0, 0)
			if checkError(t, err, "read", "no answer for 1s"); !errors.Is(err, slide.ErrTimeout) {
				t.Errorf("reading ends with %v", err)
			}
			if _, err := slide.Open(path, cfg); !errors.Is(err, slide.ErrTimeout) {
				t.Errorf("opening ends with %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(started); took < 2*patience || took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			_, _, err = readBlock(t, opening(broken)(t), 0, 0)
			checkError(t, err, "read", "libvips: ")
			if took := time.Since(started); took > 30*time.Second {
				t.Errorf("the reason of another's failure took %v", took)
			}
			release()
			// Late calls end and close the file: only then is there a lease to be had again.
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for deadline := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
				_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), 1024, syscall.F_WRLCK)
				if errno == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the file is still open")
				}
			}
		})
	}
}
