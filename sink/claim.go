package sink

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// A claim is the lock of a stage: a file that its owner has locked, as far as the file system can, and
// that says who that is, for file systems that cannot and for processes on other hosts that do not see
// the lock. It is never rewritten for another owner: a dead one's file is moved away, and the next owner's
// is created, which only one process can.
type claim struct {
	file *os.File
	path string
	done chan struct{}
	beat sync.WaitGroup
}

// An owner is what a lock file says. The zero owner has not written itself down yet.
type owner struct {
	ID      string `json:"id"` // of the claim
	Host    string `json:"host"`
	Machine string `json:"machine"` // that may have started anew; empty: unknown
	Kernel  string `json:"kernel"`  // that runs; the host's name where it is not told
	Space   string `json:"space"`   // in which PID counts
	PID     int    `json:"pid"`
	Start   string `json:"start"` // of the process, so that a number that is used again is told apart
}

const (
	// An owner shows that it lives by writing its lock file anew, which sets the file's time by the clock
	// of whoever keeps the file.
	beatEvery = 15 * time.Second
	// deadAfter is how old that may get before an owner whose process cannot be looked for counts as dead.
	deadAfter = 2 * time.Minute
)

// self returns this process as an owner.
func self() owner {
	host, _ := os.Hostname() // without a name, hosts are told apart by their kernel
	return owner{rand.Text(), host, machineID(), cmp.Or(kernelID(), host), pidSpace(), os.Getpid(), processStart(os.Getpid())}
}

// errBusy is what OpenStage fails with while another process has the stage.
var errBusy = errors.New("another microtome is writing here: wait for it, or choose another folder with -o")

// errLost: see Stage.Held.
var errLost = errors.New("another microtome has taken this folder over, as this one gave no sign of life: run again when that one is done")

// take claims the file at path for me. It fails at once while another lives. lock locks a file and
// reports whether that kept others of the same kernel out.
func take(path string, me owner, lock func(*os.File) (bool, error)) (*claim, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666)
		fresh := err == nil
		if errors.Is(err, fs.ErrExist) {
			f, err = os.OpenFile(path, os.O_RDWR, 0)
			if errors.Is(err, fs.ErrNotExist) {
				continue // its owner has just left
			}
		}
		if err != nil {
			return nil, err
		}
		c, err := claimFile(f, fresh, me, lock)
		if err == nil && c != nil {
			return c, nil
		}
		if err := also(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// claimFile claims a file that was opened. It returns nil when another file has that name by now.
func claimFile(f *os.File, fresh bool, me owner, lock func(*os.File) (bool, error)) (*claim, error) {
	path := f.Name()
	locked, err := lock(f)
	if err != nil {
		return nil, err
	}
	if !same(f, path) {
		return nil, nil
	}
	if !fresh {
		was, err := readOwner(f)
		if err != nil {
			return nil, err
		}
		age, err := age(f, path+"."+me.ID)
		if err != nil {
			return nil, err
		}
		if was.lives(me, locked, age) {
			return nil, was.busy()
		}
		if locked && was.Kernel == me.Kernel { // nobody else can be about it, but on a host that waits for two minutes
			return nil, moveAway(path, was, me)
		}
		return nil, moveAwayAlone(path, was, me)
	}
	text, err := json.Marshal(me)
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	c := &claim{file: f, path: path, done: make(chan struct{})}
	if _, err := f.Write(text); err != nil {
		return nil, also(err, os.Remove(path))
	}
	if err := f.Sync(); err != nil {
		return nil, also(err, os.Remove(path))
	}
	if !same(f, path) { // taken for dead before the owner stood in it
		return nil, nil
	}
	c.beat.Go(func() {
		t := time.NewTicker(beatEvery)
		defer t.Stop()
		c.live(text, t.C)
	})
	return c, nil
}

// lives reports whether an owner is still at work. locked says that me has its file locked.
func (o owner) lives(me owner, locked bool, age time.Duration) bool {
	switch {
	case o == owner{}: // just created, or by a version that wrote no owner
		return !locked && age < deadAfter
	case o.Kernel == me.Kernel && locked:
		return false // the kernel would have kept it from me
	case o.Kernel == me.Kernel && o.Space == me.Space && o.Start != "":
		return processStart(o.PID) == o.Start
	case o.Kernel != me.Kernel && o.Machine != "" && o.Machine == me.Machine && o.Host == me.Host:
		return false // this machine has started anew since
	}
	return age < deadAfter
}

// busy says who has the stage.
func (o owner) busy() error {
	if o.PID == 0 {
		return errBusy
	}
	return fmt.Errorf("process %d on %s: %w", o.PID, o.Host, errBusy)
}

// age returns how long ago a file was written. It is the difference to a file that is written now, by the
// clock of the file system: hosts may differ.
func age(f *os.File, probe string) (time.Duration, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	p, err := os.Create(probe)
	if err != nil {
		return 0, err
	}
	_, err = p.Write([]byte{'\n'})
	err = also(err, p.Sync())
	now, errStat := p.Stat()
	if err = also(also(also(err, errStat), p.Close()), os.Remove(probe)); err != nil {
		return 0, err
	}
	return now.ModTime().Sub(info.ModTime()), nil
}

// moveAwayAlone is moveAway for one process at a time, by a file that only one can create. Else one that
// was slow would move away the file of the next owner.
func moveAwayAlone(path string, dead, me owner) error {
	turn := path + ".turn"
	f, err := os.OpenFile(turn, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666)
	if errors.Is(err, fs.ErrExist) {
		f, err := os.Open(turn)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		age, err := age(f, path+"."+me.ID)
		if err = also(err, f.Close()); err != nil {
			return err
		}
		if age < deadAfter {
			return errBusy
		}
		return unlessGone(os.Remove(turn)) // killed there
	}
	if err != nil {
		return err
	}
	err = f.Close()
	if f, errOpen := os.Open(path); errOpen != nil {
		err = also(err, unlessGone(errOpen))
	} else {
		is, errRead := readOwner(f)
		if err = also(also(err, errRead), f.Close()); err == nil && is == dead {
			err = moveAway(path, dead, me)
		}
	}
	return also(err, unlessGone(os.Remove(turn)))
}

// unlessGone drops the error that a file is not there.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// moveAway takes the lock file of a dead owner away. Where two try, one may find that it has moved the
// other's new file, and puts that back.
func moveAway(path string, dead, me owner) error {
	aside := path + "." + me.ID
	if err := os.Rename(path, aside); err != nil {
		return unlessGone(err)
	}
	f, err := os.Open(aside)
	if err != nil {
		return err
	}
	moved, err := readOwner(f)
	err = also(err, f.Close())
	if err == nil && moved != dead {
		err = os.Link(aside, path)
		if errors.Is(err, fs.ErrExist) {
			err = nil // the owner finds out: see held
		}
	}
	return also(err, os.Remove(aside))
}

// readOwner returns who has a lock file. What cannot be read as an owner is none.
func readOwner(f *os.File) (o owner, err error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<12))
	if json.Unmarshal(text, &o) != nil || !strings.HasSuffix(string(text), "\n") {
		return owner{}, err
	}
	return o, err
}

// live shows with each tick that the owner lives, until done is closed. An error shows nothing, so that others take the
// stage over and held fails: nobody else is to be told.
func (c *claim) live(text []byte, ticks <-chan time.Time) {
	for {
		select {
		case <-c.done:
			return
		case <-ticks:
			if _, err := c.file.WriteAt(text, 0); err == nil {
				_ = c.file.Sync()
			}
		}
	}
}

// held fails when the lock file is no longer the one that was claimed.
func (c *claim) held() error {
	if !same(c.file, c.path) {
		return errLost
	}
	return nil
}

// release gives the claim up.
func (c *claim) release() error {
	close(c.done)
	c.beat.Wait()
	var err error
	if c.held() == nil {
		err = unlessGone(os.Remove(c.path)) // while it is locked: who waits for it sees that it is gone
	}
	return also(err, c.file.Close())
}

// same reports whether an open file is still the one under a name.
func same(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
