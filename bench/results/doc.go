// Package results keeps what microtome bench measures, and makes tables, comparisons and plots of it.
//
// A [Result] is one measured run, a line of JSON in a results file ([Append], [Read]), with its [Setting], which is what can vary in a sweep,
// and its [Environment]. [WriteReport] shows settings as tables, [Compare] and [ComparePairs] tell whether one set of runs is slower
// than another, [Plots] draws scaling, tiles against theory, and what stages did. This package measures nothing.
package results
