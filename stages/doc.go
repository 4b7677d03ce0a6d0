// Package stages holds the steps that a tile goes through, each a plain function:
//
//	slide.Tile ─Lease→ Patch ─Read→ Patch ─Infer→ Mask ─Order.Next→ Masks ─Scope.Clear→ Masks ─Commit.Write→ journal, pyramid
//
// A [Scope] says which squares of a slide are for the network; tiles without any are left out, and the
// labels that a tile has beside its squares are cleared; [Scope.Trim] takes off the halo that nobody needs. [Commit] puts everything into one sequence: tiles of an interrupted run, those that
// the network labels, and background for those that were left out.
//
// A network that no margin makes seam-free takes [Blend.Infer] in place of Infer, and [Blend.Add] before Clear.
// [Mark] labels what the network decided by pixels that could not be read.
//
// A stage is a [Func]. It starts no goroutines, logs nothing and knows nothing of the steps beside it;
// package pipeline runs the stages concurrently and joins them with channels.
//
// # Who owns the memory
//
// A tile's memory is a [Buffer], taken from the [Budget] exactly once, by [Lease], in traversal order,
// and held for the tile's whole life: the pixels, the labels, and the tile's place in the reorder window.
// No later stage takes from the Budget again, so the oldest tile in flight can always go on to the end
// and give its memory back: whatever the number of workers, waiting for memory cannot deadlock.
//
// A stage owns its input. When it succeeds the caller owns the output; when it fails it has released
// whatever it took. Values that hold memory have a Release method, which the pipeline calls on every
// value still in flight after a failure. Releasing twice panics: it is a bug that would hand one
// tile's memory to two tiles.
package stages
