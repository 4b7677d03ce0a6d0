package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A log hears of progress every half minute, however fast steps come.
func TestLogHearsOfProgressNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		j := newJob(t.Context(), &log, stopping)
		j.begin("step", 0, 1000)
		for i := range 100 {
			<-time.After(time.Second)
			j.progress(i+1, "loss 1", fields{"step": i + 1})
		}
		j.say("step 100: loss 1", "validated", fields{"step": 100})
		j.close()
		for _, want := range []string{`"step":30,`, `"step":60,`, `"step":90,`, `"message":"validated"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %s", want)
			}
		}
		if n := strings.Count(log.String(), "\n"); n != 4 || t.Failed() {
			t.Errorf("%d lines, want 4:\n%s", n, log.String())
		}
	})
}

// An interrupted job says so once.
func TestJobSaysThatItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		var log bytes.Buffer
		j := newJob(ctx, &log, stopping)
		cancel(errInterrupted)
		synctest.Wait()
		j.close()
		if strings.Count(log.String(), stopping) != 1 {
			t.Errorf("it said %q", log.String())
		}
	})
}
