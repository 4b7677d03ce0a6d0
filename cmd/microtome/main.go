// Command microtome segments whole-slide images with a U-Net, in a stream, in bounded memory.
//
// This package holds flags, configuration, logs, progress and exit codes; everything else is in
// package pipeline and below.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"microtome/pipeline"
)

// Exit codes, as the help of the command states them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitSomeFailed  = 3
	exitInterrupted = 130
)

// version is set by the Makefile.
var version = "dev"

// errInterrupted is the cause of a run that Ctrl-C or a termination signal ended.
var errInterrupted = errors.New("interrupted")

func main() { os.Exit(run(os.Args[1:])) }

// run runs the command line and returns its exit code.
func run(args []string) int {
	ctx, stop := interruptible(context.Background())
	defer stop()
	root := newRootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errReported) {
		fmt.Fprintf(os.Stderr, "microtome: %v\n", oneLine(err))
	}
	return exitCode(err)
}

// interruptible returns a context that the first SIGINT or SIGTERM ends; a second one ends the process
// at once.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
		<-signals
		os.Exit(exitInterrupted)
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// A usageError is a command line that cannot be run whatever the slides.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errReported is wrapped by errors that the user has already been told of.
var errReported = errors.New("reported")

func exitCode(err error) int {
	var usage usageError
	var slides *pipeline.RunError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &slides) && slides.Failed < slides.Total:
		return exitSomeFailed
	}
	return exitFailed
}

func newRootCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "microtome",
		Short: "Segment whole-slide images with a U-Net",
		Long: `microtome segments gigapixel whole-slide images with a U-Net, in a stream, in memory that does
not grow with the slide. Its masks are for research: not for diagnostic use.

Exit codes:
  0    everything asked for was done
  1    it failed
  2    the command line or the configuration cannot be used
  3    some slides failed, the others are done
  130  interrupted`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          arguments(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SetVersionTemplate("microtome {{.Version}}\n")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
	})
	c.CompletionOptions.HiddenDefaultCmd = true
	c.AddCommand(newSegmentCommand(), newVerifyCommand(), newTrainCommand(), newEvalCommand(), newQuantizeCommand(), newInfoCommand(), newDoctorCommand(), newBenchCommand(), newVersionCommand())
	return c
}

// arguments makes what check says of the positional arguments a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
		}
		return nil
	}
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "microtome", version)
			return err
		},
	}
}
