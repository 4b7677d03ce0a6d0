package sink

import "testing"

// What tests in sink_test, which may import sinktest, share with those in here.

type Work = work

var (
	NewWork   = newWork
	Header    = header
	StopAfter = stopAfter
	ErrStop   = errStop
	Always    = always
	Result    = result
	Kept      = kept
	Alike     = alike
	Noise     = noise
	Left      = left
	CheckText = checkText
	Also      = also
)

// Plain is the record of a tile as a replay gives it.
func (w *work) Plain(i int) Record { return w.Record(i).plain() }

// Reopen opens the journal of an interrupted run.
func Reopen(t testing.TB, path string, w *work) *Journal { return open(t, path, w.header) }

func Close(j *Journal) error { return j.file.Close() }
