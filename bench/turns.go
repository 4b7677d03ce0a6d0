package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"microtome/bench/results"
)

// A Program is a microtome that can be run: yesterday's build, or today's.
type Program string

// Find returns the program of a name: a file, or else one that is found as the shell finds it.
func Find(name string) (Program, error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		path, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		name = path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return Program(path), nil
}

// Command prepares to run a program. When ctx ends it is interrupted, and has half a minute to end, and its own programs with it.
func (p Program) Command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, string(p), args...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it through us, once
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 30 * time.Second
	return c
}

// Once runs a program once, with flags of microtome bench, and returns what it measured. When ctx ends, the program is interrupted.
//
// Errors hold the last line that the program wrote to standard error.
func (p Program) Once(ctx context.Context, flags []string) (results.Result, error) {
	c := p.Command(ctx, append([]string{"bench", "--once"}, flags...)...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return results.Result{}, context.Cause(ctx)
		}
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return results.Result{}, fmt.Errorf("%s bench --once %s: %w: %s", p, strings.Join(flags, " "), err, strings.TrimPrefix(lines[len(lines)-1], "microtome: "))
	}
	all, err := results.Decode(&stdout)
	if err != nil {
		return results.Result{}, fmt.Errorf("%s bench --once: %w", p, err)
	}
	if len(all) != 1 {
		return results.Result{}, fmt.Errorf("%s bench --once gave %d results, not one: give no sweep", p, len(all))
	}
	return all[0], nil
}

// ByTurns runs two programs once each for nothing, which warms what they share, and then in rounds, A B, B A, A B …, so that neither
// always comes first. It hands out the results of each round, and returns the first error.
func ByTurns(ctx context.Context, a, b Program, flags []string, rounds int, each func(a, b results.Result) error) error {
	for _, p := range []Program{a, b} {
		if _, err := p.Once(ctx, flags); err != nil {
			return err
		}
	}
	for n := range rounds {
		turns, of := [2]Program{a, b}, [2]results.Result{}
		for i := range turns {
			i ^= n % 2
			started := time.Now()
			r, err := turns[i].Once(ctx, flags)
			if err != nil {
				return err
			}
			r.Round, r.Time = n, started // the order of turns, whatever clock the program reads
			of[i] = r
		}
		if err := each(of[0], of[1]); err != nil {
			return err
		}
	}
	return nil
}
