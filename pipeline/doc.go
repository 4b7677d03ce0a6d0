// Package pipeline runs the stages concurrently over a slide, and over many slides. It is the only
// package that starts goroutines for them, and the only one that knows go-streams.
//
// Read segment.go first: it is the graph, one statement a stage. stream.go is the façade that gives
// go-streams types, a context and errors; plan.go lays out the work within the memory of --memory;
// tissue.go finds out what of a slide is for the network; one.go takes a slide from its path to committed results,
// identity.go knows it again, summary.go says what came out.
//
// run.go goes through the slides of a run. Several are at work at a time: ledger.go holds them to the memory, turns.go shares
// the model out among them. list.go reads which slides those are, shard.go shares them out among runs, results.go
// gives each its folder, and tables.go writes what became of them. verify.go compares tiles with whole crops.
//
// # Promises
//
//   - One graph, one ordered commit for each slide: an error ends that slide, never another.
//   - The first error wins. After it every stage drains, memory is given back, nothing is left under a
//     final name, and the error is a [*StageError] with slide, stage and tile.
//   - Memory is bounded by [Config].Memory: what is not tiles is reserved before a slide starts, and one
//     that cannot fit is refused with the sum; tiles in flight share one [stages.Budget] a slide.
//   - Masks are committed in traversal order, so the mask is the same, byte for byte, for any number of
//     workers.
//   - What is committed is kept when a run is interrupted, and one that is given the same work goes on from it, to
//     the same bytes. No tile that was kept is asked about again. When the slide is at fault nothing is kept.
//   - A slide whose file has changed since it was opened fails.
//   - The pipeline reports [Events], one at a time; it writes no logs and draws no bars.
package pipeline
