package slide

import (
	"errors"
	"sync"
	"time"
)

// patience is how long calls of libvips wait for one another.
const patience = 2 * time.Second

// turns let calls run at the same time as others, or alone. Nobody waits longer than patience, for a
// call on a network share that is gone may never return: then a new era begins, in which the calls of
// the one before do not count. Such a call is a stray. It learns so when it returns, and its outcome is
// worth nothing, since others have taken their turns meanwhile.
type turns struct {
	mu      sync.Mutex
	era     int
	running int           // calls of this era
	alone   bool          // one runs alone, or waits for the others to end; new ones wait
	since   time.Time     // when it began to run or to wait
	changed chan struct{} // closed when those who wait shall look again; nil when nobody waits
	strays  int           // that have returned
}

// A turn is the permission to call, until it is given back.
type turn struct {
	era, strays int
	alone       bool
}

// take waits for a turn.
func (t *turns) take(alone bool) turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for t.alone {
			t.wait()
		}
		mine := turn{t.era, t.strays, alone}
		if !alone {
			t.running++
			return mine
		}
		t.alone, t.since = true, time.Now()
		for t.era == mine.era && t.running > 0 {
			t.wait()
		}
		if t.era == mine.era {
			t.running, t.since, mine.strays = 1, time.Now(), t.strays
			return mine
		}
	}
}

// give gives a turn back, after a last function that runs while it is still valid; it reports whether
// it was. disturbed reports whether strays have returned since it was taken.
func (t *turns) give(mine turn, last func()) (valid, disturbed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.era != t.era {
		t.strays++
		return false, true
	}
	last()
	t.running--
	if mine.alone {
		t.alone = false
	}
	if mine.alone || t.alone && t.running == 0 {
		t.wake()
	}
	return true, t.strays != mine.strays
}

// wait waits for who is alone, or wants to be; when that takes too long, a new era begins.
func (t *turns) wait() {
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	era, changed := t.era, t.changed
	timer := time.NewTimer(time.Until(t.since.Add(patience)))
	t.mu.Unlock()
	select {
	case <-changed:
	case <-timer.C:
	}
	timer.Stop()
	t.mu.Lock()
	if t.era == era && t.alone && time.Since(t.since) >= patience {
		t.era++
		t.running, t.alone = 0, false
		t.wake()
	}
}

func (t *turns) wake() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// A verdict is how a call went.
type verdict int

const (
	failed    verdict = iota
	silent            // nobody complained: all that is known of some calls, and nothing of a stray
	succeeded         // for certain
)

var errDisturbed = errors.New("no reason can be given, other reads take very long: run it again")

// explained makes a call. When it fails, it is made once more while no other is, after reset has emptied
// the buffer for complaints, and the error is what reason then finds there; or nil if it now goes well.
// When strays come between, all is done again.
func (t *turns) explained(call func() verdict, reset func(), reason func() error) error {
	for range 3 {
		mine := t.take(false)
		v := call()
		valid, _ := t.give(mine, func() {})
		switch {
		case v == succeeded || v == silent && valid:
			return nil
		case !valid:
			continue // its complaint may have been taken for another's
		}
		mine = t.take(true)
		reset()
		v = call()
		var err error
		valid, disturbed := t.give(mine, func() { err = reason() })
		switch {
		case v == succeeded || v == silent && valid:
			return nil
		case valid && !disturbed:
			return err
		}
	}
	return errDisturbed
}
