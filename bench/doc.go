// Package bench measures microtome: how fast a machine is with a model, and what limits it.
//
// [Once] makes one run of a scenario in this process: the whole, as users run it, or one of its parts alone. [Measure] tells what the
// machine reaches at most. [Program.Once] makes a run in a process of its own, [ByTurns] those of two builds. A [Watch] listens to any
// run over slides and names what limits it, in a sentence and as a drawing of its stages over time. [Tune] looks for the fastest setting.
//
// Measuring and reporting are separate: runs become lines of a results file, which package results reads for tables, comparisons
// and plots. Slides with known truth come from package synthetic.
package bench
