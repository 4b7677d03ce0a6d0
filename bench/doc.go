// Package bench measures microtome: how fast a machine is with a model, what limits it, and whether today's build is slower
// than yesterday's.
//
// Measuring and reporting are separate. Runs are lines of a results file, [Result]s, each with its [Setting] and the
// [Environment] it took place in; tables, comparisons and plots are made from such files. Slides with known truth come from
// package synthetic.
package bench
