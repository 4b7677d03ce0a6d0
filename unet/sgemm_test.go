package unet

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestSGEMM(t *testing.T) {
	needRuntime(t)
	for _, runs := range []int{1, 2} {
		flops, err := SGEMM(Config{Device: "cpu"}, runs, 50*time.Millisecond)
		if err != nil || flops < 1e8 || flops > 1e14 {
			t.Errorf("%d at a time: %.3g operations a second, %v", runs, flops, err)
		}
		t.Logf("%d at a time: %.1f GFLOP/s", runs, flops/1e9)
	}
	if _, err := SGEMM(Config{Device: "cuda:7"}, 1, time.Millisecond); err == nil {
		t.Error("a GPU that is not there has a speed")
	}
}

// Batches of any size give the labels of single tiles, on the CPU as on other devices.
func TestBatchOfCPU(t *testing.T) {
	needRuntime(t)
	for _, dev := range []string{"cpu", "gorgonia"} {
		single, err := Open("haematoxylin", Config{Device: dev})
		if err != nil {
			t.Fatal(err)
		}
		defer single.Close()
		batched, err := Open("haematoxylin", Config{Device: dev, Batch: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer batched.Close()
		const core, tiles = 32, 5
		edge := single.Spec().Geometry.Input(core)
		in := randomPicture(rand.New(rand.NewPCG(1, 2)), edge, tiles*edge).pixels
		want, got := make([]byte, tiles*core*core), make([]byte, tiles*core*core)
		for i := range tiles {
			if err := single.Predict(t.Context(), 1, in[i*3*edge*edge:][:3*edge*edge], want[i*core*core:][:core*core]); err != nil {
				t.Fatal(err)
			}
		}
		if err := batched.Predict(t.Context(), tiles, in, got); err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: batches of 3 give other labels", dev)
		}
		if n := InFlight(batched, core); n < 3 {
			t.Errorf("%s: %d tiles in flight do not fill a batch of 3", dev, n)
		}
	}
}
