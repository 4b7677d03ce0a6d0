// Package pipeline runs the stages concurrently over a slide, and over many slides. It is the only
// package that starts goroutines for them, and the only one that knows go-streams.
//
// Read segment.go first: it is the graph, one statement a stage. stream.go is the façade that gives
// go-streams types, a context and errors; plan.go lays out the work within the memory of --memory;
// one.go takes a slide from its path to committed results; run.go goes through the slides; list.go reads
// which those are, and shard.go shares them out among runs. verify.go compares tiles with whole crops.
//
// # Promises
//
//   - One graph, one ordered commit for each slide: an error ends that slide, never another.
//   - The first error wins. After it every stage drains, memory is given back, nothing is left under a
//     final name, and the error is a [*StageError] with slide, stage and tile.
//   - Memory is bounded by [Config].Memory: what is not tiles is reserved before the start, and a run
//     that cannot fit is refused with the sum; tiles in flight share one [stages.Budget].
//   - Masks are committed in traversal order, so the mask is the same, byte for byte, for any number of
//     workers.
//   - The pipeline reports [Events]; it writes no logs and draws no bars.
package pipeline
