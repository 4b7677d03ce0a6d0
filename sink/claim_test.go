package sink

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// unable is what a file system does that knows no locks.
func unable(*os.File) (bool, error) { return false, nil }

// alone is what a file system does whose locks other hosts do not see: it lets the first of a host in.
func alone(*os.File) (bool, error) { return true, nil }

func TestOwnerLives(t *testing.T) {
	me := self()
	if me.Start == "" || me.Kernel == "" {
		t.Skip("processes cannot be looked up here")
	}
	with := func(change func(*owner)) owner {
		o := me
		change(&o)
		return o
	}
	young, old := deadAfter-time.Second, deadAfter
	restarted := with(func(o *owner) { o.Kernel, o.Machine = "another start", "m" })
	for _, c := range []struct {
		name   string
		owner  owner
		me     owner
		locked bool
		age    time.Duration
		want   bool
	}{
		{"its lock is gone", me, me, true, 0, false},
		{"this process, no locks", me, me, false, old, true},
		{"a number used again", with(func(o *owner) { o.Start += "0" }), me, false, 0, false},
		{"no such process", with(func(o *owner) { o.PID = 1 << 30 }), me, false, 0, false},
		{"a process in another container", with(func(o *owner) { o.Space = "pid:[1]" }), me, false, young, true},
		{"a process in another container", with(func(o *owner) { o.Space = "pid:[1]" }), me, false, old, false},
		{"another container, its lock is gone", with(func(o *owner) { o.Space, o.Host = "pid:[1]", "c1" }), me, true, 0, false},
		{"this machine before it started anew", restarted, with(func(o *owner) { o.Machine = "m" }), false, 0, false},
		{"another machine of that name", restarted, with(func(o *owner) { o.Machine = "n" }), true, young, true},
		{"a machine that is not told", with(func(o *owner) { o.Kernel, o.Machine = "k", "" }), with(func(o *owner) { o.Machine = "" }), true, young, true},
		{"another host", with(func(o *owner) { o.Kernel, o.Host, o.Machine = "k", "h", "m" }), me, true, young, true},
		{"another host", with(func(o *owner) { o.Kernel, o.Host, o.Machine = "k", "h", "m" }), me, true, old, false},
		{"nobody yet", owner{}, me, false, young, true},
		{"nobody", owner{}, me, false, old, false},
		{"nobody, not locked", owner{}, me, true, 0, false},
	} {
		if got := c.owner.lives(c.me, c.locked, c.age); got != c.want {
			t.Errorf("%s, %v old, locked %v: lives %v", c.name, c.age, c.locked, got)
		}
	}
}

// leave writes a lock file as an owner leaves it that can do nothing any more, so long ago.
func leave(t *testing.T, path string, o owner, ago time.Duration) {
	t.Helper()
	c, err := take(path, o, unable)
	if err != nil {
		t.Fatal(err)
	}
	close(c.done)
	c.beat.Wait()
	c.file.Close()
	when := time.Now().Add(-ago)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

func elsewhere(name string) owner {
	o := self()
	o.Host, o.Kernel, o.Machine, o.PID = name, name, name, 4711
	return o
}

// TestClaimOfAnotherHost is honoured while it is young, and named in the error; then it is taken.
func TestClaimOfAnotherHost(t *testing.T) {
	for _, lock := range []func(*os.File) (bool, error){lock, unable, alone} {
		path := filepath.Join(t.TempDir(), "lock")
		leave(t, path, elsewhere("node7"), deadAfter/2)
		_, err := take(path, self(), lock)
		if !errors.Is(err, errBusy) || !strings.HasPrefix(err.Error(), "process 4711 on node7: ") {
			t.Errorf("young: %v", err)
		}
		leave := time.Now().Add(-2 * deadAfter)
		if err := os.Chtimes(path, leave, leave); err != nil {
			t.Fatal(err)
		}
		c, err := take(path, self(), lock)
		if err != nil {
			t.Fatalf("old: %v", err)
		}
		if err := c.held(); err != nil {
			t.Error(err)
		}
		if err := c.release(); err != nil {
			t.Error(err)
		}
		if got := left(t, filepath.Dir(path)); len(got) > 0 {
			t.Errorf("left %v", got)
		}
	}
}

// TestClaimBeats: an owner's file gets young again.
func TestClaimBeats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	c, err := take(path, self(), lock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.release()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	ticks := make(chan time.Time)
	done := make(chan struct{})
	go func() { c.live([]byte("x\n"), ticks); close(done) }()
	ticks <- time.Now()
	ticks <- time.Now() // the first has been seen to
	info, err := os.Stat(path)
	if err != nil || info.ModTime().Before(old.Add(time.Minute)) {
		t.Errorf("the file is from %v: %v", info.ModTime(), err)
	}
}

// TestClaimIsTakenOnce: of many that want what a dead owner has, on any kind of file system, one at a time
// has it, and the others are told.
func TestClaimIsTakenOnce(t *testing.T) {
	for name, lock := range map[string]func(*os.File) (bool, error){"locks": lock, "no locks": unable} {
		t.Run(name, func(t *testing.T) {
			for round := range 20 {
				path := filepath.Join(t.TempDir(), "lock")
				if round%2 == 0 {
					leave(t, path, elsewhere("gone"), 2*deadAfter)
				}
				var in, taken atomic.Int32
				var all sync.WaitGroup
				for i := range 6 {
					all.Go(func() {
						me := self()
						if name == "no locks" && i%2 == 0 {
							me = elsewhere(fmt.Sprint("host", i))
						}
						c, err := take(path, me, lock)
						if err != nil {
							if !errors.Is(err, errBusy) {
								t.Errorf("round %d: %v", round, err)
							}
							return
						}
						taken.Add(1)
						if n := in.Add(1); n != 1 {
							t.Errorf("round %d: %d have it", round, n)
						}
						if err := c.held(); err != nil {
							t.Errorf("round %d: %v", round, err)
						}
						in.Add(-1)
						if err := c.release(); err != nil {
							t.Errorf("round %d: %v", round, err)
						}
					})
				}
				all.Wait()
				if taken.Load() == 0 {
					t.Errorf("round %d: nobody has it", round)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestStageLost: a process that was stopped until another took its stage changes nothing of the other's.
func TestStageLost(t *testing.T) {
	s, dir := stageWith(t)
	j, err := s.Journal(header(image.Pt(9, 9), 9))
	if err != nil {
		t.Fatal(err)
	}
	// The other runs on a host that the file system's locks do not reach.
	old := time.Now().Add(-2 * deadAfter)
	if err := os.Chtimes(s.Path(lockFile), old, old); err != nil {
		t.Fatal(err)
	}
	other := &Stage{dir: dir, fs: disk{}}
	if other.claim, err = take(s.Path(lockFile), elsewhere("node8"), unable); err != nil {
		t.Fatal(err)
	}
	if err := other.clear(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other.Path("mask.tif"), []byte("other"), 0o666); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Held": s.Held(), "Publish": s.Publish(stageNames...), "Sync": j.Sync()} {
		if !errors.Is(err, errLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Suspend(); err != nil {
		t.Error(err)
	}
	if got := contents(t, dir); got != "old old old" {
		t.Errorf("the loser has changed the results: %s", got)
	}
	if err := other.Held(); err != nil {
		t.Errorf("the loser has taken the lock away: %v", err)
	}
	if err := other.Publish("mask.tif"); err != nil {
		t.Error(err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if got := contents(t, dir); got != "other old old" {
		t.Errorf("after the other's Publish: %s", got)
	}
}

// killWork is what the child processes label.
func killWork() *work {
	size := image.Pt(900, 700)
	return newWork(size, 128, 4, 64, "lzw", crop(nuclei(size.X), size.X, size))
}

const childDir = "MICROTOME_SINK_TEST_CHILD"

// TestStageChild is the child of the tests below: it labels killWork into a folder and says what it has
// committed. It waits for a line before each tile.
func TestStageChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("run by TestKillAndResume")
	}
	in := bufio.NewReader(os.Stdin)
	fmt.Println("child: ready")
	err := killWork().Run(disk{}, dir, func(i int) error {
		fmt.Println("child: tile", i)
		_, err := in.ReadString('\n')
		return err
	})
	fmt.Println("child: end", err)
}

// A child is a process of its own that runs TestStageChild.
type child struct {
	*exec.Cmd
	in  *os.File
	out *bufio.Reader
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0], "-test.run=^TestStageChild$", "-test.v")}
	c.Env = append(os.Environ(), childDir+"="+dir)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.in = r, w
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close(); c.Process.Kill(); c.Wait() })
	return c
}

// say returns the next thing that the child says.
func (c *child) say(t *testing.T) string {
	t.Helper()
	for {
		line, err := c.out.ReadString('\n')
		if err != nil {
			t.Fatalf("the child says nothing more: %v", err)
		}
		if text, ok := strings.CutPrefix(line, "child: "); ok {
			return strings.TrimSpace(text)
		}
	}
}

// TestKillAndResume kills a process with SIGKILL at any moment, again and again. The next goes on without
// waiting, labels no tile that was committed, and in the end the files are those of a run that was not
// killed.
func TestKillAndResume(t *testing.T) {
	w := killWork()
	want := w.Whole(t)
	rng := rand.New(rand.NewPCG(5, 5))
	dir := t.TempDir()
	next, kills := 0, 0
	for next < len(w.tiles) {
		c := startChild(t, dir)
		if got := c.say(t); got != "ready" {
			t.Fatalf("the child says %q", got)
		}
		at := 0 // tiles of this child
		for stop := rng.IntN(len(w.tiles) / 3); at < stop; at++ {
			got := c.say(t)
			if strings.HasPrefix(got, "end") {
				if got != "end <nil>" {
					t.Fatalf("the child says %q", got)
				}
				break
			}
			var tile int
			if _, err := fmt.Sscanf(got, "tile %d", &tile); err != nil || at > 0 && tile != next || tile < next {
				t.Fatalf("the child says %q, want tile %d: %v", got, next, err)
			}
			if tile > next+1 { // at most the one that it was killed at
				t.Fatalf("the child goes on with tile %d after tile %d", tile, next-1)
			}
			next = tile + 1
			fmt.Fprintln(c.in)
		}
		c.Process.Kill() // while it is at the next tile, or opens its stage, or publishes
		c.Wait()
		kills++
		if got := result(t, dir); got["summary.json"] != "" {
			break
		}
	}
	if result(t, dir)["summary.json"] == "" { // killed when it had the last tile
		if err := w.Run(disk{}, dir, func(i int) error { return fmt.Errorf("tile %d was labelled again", i) }); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := ResumeStage(Disk, dir); err != nil { // takes away what a kill between the last name and the end left
		t.Error(err)
	} else if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := result(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("after %d kills the files differ from those of an uninterrupted run", kills)
	}
	if kills < 3 {
		t.Errorf("only %d kills", kills)
	}
}

// TestTwoProcesses: the second is told that the first is there, and which it is; when that is killed, it
// is not in the way.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	first := startChild(t, dir)
	first.say(t)
	if got := first.say(t); got != "tile 0" {
		t.Fatalf("the child says %q", got)
	}
	second := startChild(t, dir)
	second.say(t)
	got := second.say(t)
	if want := fmt.Sprintf("process %d on ", first.Process.Pid); !strings.Contains(got, want) || !strings.Contains(got, errBusy.Error()) {
		t.Errorf("the second process says %q, want %q", got, want)
	}
	fmt.Fprintln(first.in)
	if got := first.say(t); got != "tile 1" {
		t.Errorf("the first process was disturbed: %q", got)
	}
	// Where there are no locks, the process is looked up: it lives, until it is killed.
	path := filepath.Join(dir, PartialDir, lockFile)
	if self().Start != "" {
		if _, err := take(path, self(), unable); !errors.Is(err, errBusy) {
			t.Errorf("without locks, a living process is in the way of nobody: %v", err)
		}
	}
	first.Process.Kill()
	if self().Start != "" { // killed and not yet waited for is dead
		if _, err := first.out.ReadString(0); err == nil {
			t.Error("the child is not dead")
		}
	}
	first.Wait()
	if self().Start != "" {
		c, err := take(path, self(), unable)
		if err != nil {
			t.Fatalf("without locks, a dead process is in the way: %v", err)
		}
		c.release()
	}
	if err := killWork().Run(disk{}, dir, always); err != nil {
		t.Error(err)
	}
}
