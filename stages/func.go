package stages

import "context"

// A Func is a stage. It owns in; on success the caller owns the result, on failure it has released
// what it took. A stage that blocks selects on ctx and returns context.Cause(ctx).
type Func[In, Out any] func(ctx context.Context, in In) (Out, error)
