package pipeline

import (
	"context"
	"iter"

	"github.com/reugn/go-streams"
	"github.com/reugn/go-streams/extension"
	"github.com/reugn/go-streams/flow"

	"microtome/stages"
)

// A run is one graph at work. go-streams moves values between its operators; a run adds what
// go-streams lacks: types between stages, a context, the first error winning, panics turned into
// errors, and every value still in flight after a failure being released.
type run struct {
	ctx   context.Context //nolint:containedctx // a run lives exactly as long as its context
	fail  context.CancelCauseFunc
	meter *meter
}

func newRun(ctx context.Context) *run {
	ctx, fail := context.WithCancelCause(ctx)
	return &run{ctx, fail, newMeter()}
}

// A stream is an outlet of go-streams known to carry values of type T.
type stream[T any] struct {
	*run
	out streams.Source
}

// from starts a stream with the values of seq, and stops early when the run fails. A stream must be
// ended by [to]: the goroutines of an operator that nothing reads from wait for ever.
func from[T any](r *run, seq iter.Seq[T]) stream[T] {
	ch := make(chan any)
	go func() {
		defer close(ch)
		for v := range seq {
			select {
			case ch <- v:
			case <-r.ctx.Done():
				return
			}
		}
	}()
	return stream[T]{r, extension.NewChanSource(ch)}
}

// then adds a stage with workers goroutines; more than one loses the order of values.
func then[In, Out any](s stream[In], name string, workers int, fn stages.Func[In, Out]) stream[Out] {
	return inTurn(s, name, workers, fn, anyTime)
}

// inTurn is then for a stage that waits for its turn with each value, and gives it back after it: the wait does not
// count as the stage's time.
func inTurn[In, Out any](s stream[In], name string, workers int, fn stages.Func[In, Out], turn turnFunc) stream[Out] {
	return stream[Out]{s.run, s.out.Via(operator(s.run, s.meter.stage(name, workers), fn, turn))}
}

// A turnFunc waits for a turn, and returns what ends it.
type turnFunc func(context.Context) (done func(), err error)

func anyTime(context.Context) (func(), error) { return func() {}, nil }

// to adds the last stage, with one worker, waits until all values have reached it or were released,
// and returns the first error of the run.
func to[In any](s stream[In], name string, fn stages.Func[In, struct{}]) error {
	defer s.fail(nil)
	g := s.meter.stage(name, 1)
	g.last = true
	s.out.Via(operator(s.run, g, fn, anyTime)).To(extension.NewIgnoreSink())
	return context.Cause(s.ctx)
}

func operator[In, Out any](r *run, g *gauge, fn stages.Func[In, Out], turn turnFunc) streams.Flow {
	return flow.NewFlatMap(func(v In) []Out {
		g.take()
		if r.ctx.Err() != nil { // the run has failed: drain
			g.skip()
			release(v)
			return nil
		}
		done, err := turn(r.ctx)
		if err != nil { // only when the run has failed
			g.skip()
			release(v)
			return nil
		}
		g.begin()
		out, err := guard(r.ctx, fn, v)
		done()
		if err != nil {
			g.end(0)
			r.fail(&StageError{Stage: g.Stage, Tile: tileOf(v), Err: err})
			return nil
		}
		g.end(1)
		return []Out{out}
	}, g.Workers)
}

// guard calls fn and turns a panic into an error. It releases what fn was given, unless fn had done so.
func guard[In, Out any](ctx context.Context, fn stages.Func[In, Out], v In) (out Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
			defer func() { _ = recover() }() // released before
			release(v)
		}
	}()
	return fn(ctx, v)
}

func release(v any) {
	if r, ok := v.(interface{ Release() }); ok {
		r.Release()
	}
}
