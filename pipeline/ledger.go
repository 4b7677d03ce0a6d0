package pipeline

import (
	"context"
	"sync"
)

// A ledger holds the slides that are at work to the memory of the run: what each needs for itself, the most
// that one of them needs of what they share, and the base. A slide that has to wait holds nothing, and one that is
// alone is always let in, so there is no deadlock.
type ledger struct {
	limit int64
	most  int // slides at a time

	mu      sync.Mutex
	in      []need
	changed chan struct{} // closed, and made anew, when one leaves
}

// A need is what a slide takes of the memory.
type need struct{ own, shared int64 }

// A room is what a slide is granted of the memory. Its tiles are chosen again, when the tissue is known, within choice:
// what it takes whatever --workers is, or the tiles would depend on that.
type room struct{ choice, all need }

// inside reports whether a need is met by m.
func (n need) inside(m need) bool { return n.own <= m.own && n.shared <= m.shared }

// or returns what is enough for either.
func (n need) or(m need) need { return need{max(n.own, m.own), max(n.shared, m.shared)} }

func newLedger(limit int64, most int) *ledger {
	return &ledger{limit: limit, most: most, changed: make(chan struct{})}
}

// enter waits until there is room for a need, and returns what gives it back.
func (l *ledger) enter(ctx context.Context, n need) (leave func(), err error) {
	for {
		l.mu.Lock()
		if l.room(n) {
			l.in = append(l.in, n)
			l.mu.Unlock()
			return func() { l.leave(n) }, nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (l *ledger) room(n need) bool {
	if len(l.in) == 0 {
		return true
	}
	own, shared := n.own, n.shared
	for _, o := range l.in {
		own += o.own
		shared = max(shared, o.shared)
	}
	return len(l.in) < l.most && own+shared <= l.limit
}

func (l *ledger) leave(n need) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, o := range l.in {
		if o == n {
			l.in = append(l.in[:i], l.in[i+1:]...)
			break
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}
