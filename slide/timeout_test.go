package slide_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"microtome/slide"
	"microtome/slide/slidetest"
)

const wait = 2 * time.Minute

// A hanging is a reader of noise in which reading one block hangs until answer is closed.
type hanging struct {
	*slidetest.Fake
	answer        chan struct{}
	closes, after atomic.Int32 // calls of Close, and of others after it
	under         atomic.Int32 // calls that hang
	early         atomic.Bool  // Close was called while a call hung
}

func newHanging(x, y int) *hanging {
	h := &hanging{answer: make(chan struct{})}
	h.Fake = slidetest.NewFake(slidetest.Noise, image.Pt(100, 100), image.Pt(10, 10), 1, 2)
	h.Before = func(_, bx, by int) error {
		if h.closes.Load() > 0 {
			h.after.Add(1)
		}
		if bx == x && by == y {
			h.under.Add(1)
			<-h.answer
			h.under.Add(-1)
		}
		return nil
	}
	return h
}

func (h *hanging) Close() error {
	h.closes.Add(1)
	h.early.CompareAndSwap(false, h.under.Load() > 0)
	return nil
}

// readBlock reads the block at (x, y), and says how long it took.
func readBlock(t *testing.T, s *slide.Slide, x, y int) (pix []byte, took time.Duration, err error) {
	v, err := s.AtLevel(0)
	if err != nil {
		t.Fatal(err)
	}
	pix = make([]byte, 300)
	started := time.Now()
	err = v.Read(t.Context(), pix, image.Rect(0, 0, 10, 10).Add(image.Pt(10*x, 10*y)))
	return pix, time.Since(started), err
}

func checkTimeout(t *testing.T, err error, op string) {
	t.Helper()
	if checkError(t, err, op, "no answer for 2m0s: is the disk or the network share still there? give --read-timeout more"); !errors.Is(err, slide.ErrTimeout) {
		t.Error("errors.Is does not find ErrTimeout")
	}
}

// The read that hangs fails after the wait, with all who want its block; then every other one at once.
func TestHungReadFailsItsSlide(t *testing.T) {
	for _, mark := range []bool{false, true} { // a block that does not come is no damaged one
		synctest.Test(t, func(t *testing.T) {
			h := newHanging(3, 4)
			s := slide.New(h, slide.Config{Timeout: wait, Unread: mark})
			if _, _, err := readBlock(t, s, 1, 1); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				go func() {
					_, took, err := readBlock(t, s, 3, 4)
					if checkTimeout(t, err, "read"); took != wait {
						t.Errorf("the read took %v", took)
					}
				}()
			}
			time.Sleep(wait + 1) // of the bubble's clock: all goroutines hang
			synctest.Wait()
			for _, at := range []image.Point{{3, 4}, {5, 5}} {
				_, took, err := readBlock(t, s, at.X, at.Y)
				if checkTimeout(t, err, "read"); took != 0 {
					t.Errorf("a later read of %v took %v", at, took)
				}
			}
			synctest.Wait() // also for calls that nobody waits for
			if n := h.Decodes.Load(); n != 2 {
				t.Errorf("%d blocks were asked for, want 2", n)
			}
			if _, err := s.Thumbnail(t.Context(), 10); !errors.Is(err, slide.ErrTimeout) {
				t.Errorf("a thumbnail ends with %v", err)
			}
			if s.Unread() != 0 {
				t.Error("the block counts as damaged")
			}
			close(h.answer)
			synctest.Wait()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if h.closes.Load() != 1 {
				t.Errorf("closed %d times", h.closes.Load())
			}
		})
	}
}

// Reads that are under way when another has taken too long do not wait any longer.
func TestHungReadFailsThoseUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHanging(3, 4)
		s := slide.New(h, slide.Config{Timeout: wait})
		hang := h.Before
		h.Before = func(level, _, _ int) error { return hang(level, 3, 4) }
		for x, delay := range []time.Duration{0, wait / 2} {
			go func() {
				time.Sleep(delay)
				_, took, err := readBlock(t, s, x, 0)
				if checkTimeout(t, err, "read"); took != wait-delay {
					t.Errorf("the read that began after %v took %v", delay, took)
				}
			}()
		}
		time.Sleep(wait + 1)
		synctest.Wait()
		close(h.answer)
	})
}

// The slide is closed while a call hangs: nobody waits, and the call closes the file when it returns.
func TestCloseDoesNotWaitForHungRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHanging(3, 4)
		s := slide.New(h, slide.Config{Timeout: wait, CacheBytes: 300})
		_, _, err := readBlock(t, s, 3, 4)
		checkTimeout(t, err, "read")
		started := time.Now()
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(started); took != 0 || h.closes.Load() != 0 {
			t.Errorf("closing took %v and closed the file %d times while it was read", took, h.closes.Load())
		}
		close(h.answer) // the call now writes into its buffer
		synctest.Wait()
		if h.closes.Load() != 1 || h.after.Load() != 0 || h.early.Load() {
			t.Errorf("closed %d times, %d calls came after it; during one: %v", h.closes.Load(), h.after.Load(), h.early.Load())
		}
	})
}

// What a call writes after it was abandoned goes nowhere: other slides' and blocks' pixels stay right.
func TestAbandonedBufferIsNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mine []byte
		answer := make(chan struct{})
		r := &remembering{newHanging(3, 4), func(dst []byte) {
			mine = dst
			<-answer
			for i := range dst {
				dst[i] = 7
			}
		}}
		s := slide.New(r, slide.Config{Timeout: wait, CacheBytes: 300})
		_, _, err := readBlock(t, s, 3, 4)
		checkTimeout(t, err, "read")
		close(answer)
		synctest.Wait()
		if !bytes.Equal(mine, bytes.Repeat([]byte{7}, 300)) {
			t.Error("the buffer of the abandoned call was written by another, too")
		}
		if blocks, _ := s.Decoded(); blocks != 0 {
			t.Errorf("%d blocks are in the cache", blocks)
		}
		if pix, _, err := readBlock(t, s, 3, 4); !errors.Is(err, slide.ErrTimeout) || !bytes.Equal(pix, make([]byte, 300)) {
			t.Errorf("the late block is shown: %v", err)
		}
	})
}

// A remembering hands the buffer of each block to a function.
type remembering struct {
	*hanging
	block func(dst []byte)
}

func (r *remembering) ReadBlock(_ context.Context, _, _, _ int, dst []byte) error {
	r.block(dst)
	return nil
}

// A panic in the reader comes out where it would without a timeout.
func TestPanicWithTimeout(t *testing.T) {
	h := newHanging(0, 0)
	h.Before = func(_, _, _ int) error { panic("planted") }
	s := slide.New(h, slide.Config{Timeout: wait})
	defer func() {
		if p := recover(); p == nil || !strings.Contains(p.(string), "planted") || !strings.Contains(p.(string), "timeout_test.go") {
			t.Errorf("recovered %v", p)
		}
		if err := s.Close(); err != nil || h.closes.Load() != 1 {
			t.Errorf("closed %d times: %v", h.closes.Load(), err)
		}
	}()
	readBlock(t, s, 1, 1)
}

// A close that hangs is waited for as long as a read.
func TestHungClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		s := slide.New(hangingClose{slidetest.NewFake(slidetest.Noise, image.Pt(9, 9), image.Pt(9, 9), 1), answer}, slide.Config{Timeout: wait})
		started := time.Now()
		checkTimeout(t, s.Close(), "close")
		if took := time.Since(started); took != wait {
			t.Errorf("it took %v", took)
		}
		close(answer)
	})
}

type hangingClose struct {
	*slidetest.Fake
	answer chan struct{}
}

func (h hangingClose) Close() error {
	<-h.answer
	return nil
}

func TestNegativeTimeout(t *testing.T) {
	if err := (slide.Config{Timeout: -1}).Validate(); err == nil {
		t.Error("no error")
	}
}

// A slide with a timeout is a slide.
func TestConformanceWithTimeout(t *testing.T) {
	slidetest.TestReader(t, func(*testing.T) *slide.Slide {
		return slide.New(slidetest.NewFake(slidetest.Noise, image.Pt(131, 77), image.Pt(64, 8), 1, 2, 5), slide.Config{CacheBytes: 1 << 20, Timeout: wait, Unread: true})
	}, slidetest.Noise, 0)
}
