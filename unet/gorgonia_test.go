package unet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"microtome/unet/network"
	"microtome/unet/ops"
)

// TestExportedEqualsTrained holds that a network in ONNX Runtime, once it was exported, does what it does where it was trained.
func TestExportedEqualsTrained(t *testing.T) {
	needRuntime(t)
	for _, s := range shapes() {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			p, card := randomParams(s, 3), Card{Threshold: 0.55, Mean: 120, Scale: 0.01}
			data, err := Export(s, p, card)
			if err != nil {
				t.Fatal(err)
			}
			exported, err := OpenLogits(writeFile(t, data), Config{Device: "cpu"})
			if err != nil {
				t.Fatal(err)
			}
			defer exported.Close()
			trained, err := NewGorgonia(s, p, card, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer trained.Close()
			if a, b := exported.Spec(), trained.Spec(); a.Geometry != b.Geometry || a.Channels != b.Channels || a.Logits != b.Logits || len(a.Classes) != len(b.Classes) {
				t.Errorf("%+v exported, %+v trained", a, b)
			}
			seen := map[byte]int{}
			for i, cores := range []int{1, 2, 5} {
				core := cores * exported.Spec().Stride
				edge := exported.Spec().Geometry.Input(core)
				in := randomPicture(rand.New(rand.NewPCG(uint64(i), 2)), edge, edge).pixels
				var labels [2][]byte
				var logits [2][]float32
				for k, e := range []Engine{exported, trained} {
					labels[k], logits[k] = make([]byte, core*core), make([]float32, s.Classes*core*core)
					if err := errors.Join(e.Predict(t.Context(), 1, in, labels[k]), e.Logits(t.Context(), core, core, in, logits[k])); err != nil {
						t.Fatal(err)
					}
				}
				for i, v := range logits[0] {
					if d := math.Abs(float64(v - logits[1][i])); !(d <= 1e-4) {
						t.Fatalf("core %d: logit %d is %g exported, %g trained", core, i, v, logits[1][i])
					}
				}
				if !bytes.Equal(labels[0], labels[1]) {
					t.Errorf("core %d: labels differ", core)
				}
				for _, v := range labels[0] {
					seen[v]++
				}
			}
			if len(seen) < 2 {
				t.Error("one label only: the comparison is blind")
			}
		})
	}
}

// TestGorgoniaSeams is TestSeams, with its control, for the Gorgonia engine.
func TestGorgoniaSeams(t *testing.T) {
	onDirect(t)
	depths := 4
	if testing.Short() {
		depths = 3
	}
	for _, same := range []bool{false, true} {
		for depth := 1; depth <= depths; depth++ {
			t.Run(fmt.Sprintf("same %v/%d", same, depth), func(t *testing.T) {
				n := openNetworkOn(t, Architecture{Depth: depth, Base: 2 + depth, Same: same, Seed: 4}, Config{Device: "gorgonia"})
				p := randomPicture(rand.New(rand.NewPCG(8, uint64(depth))), 150+depth, 131)
				differ, share := n.tilesDiffer(t, p, 64, 0)
				if differ > 0 || share < 0.05 || share > 0.95 {
					t.Errorf("%d pixels differ, label 1 on %.1f %%", differ, 100*share)
				}
				if depth == 1 {
					return // the margin has room for its one stride
				}
				if differ, _ := n.forgetting(n.geometry.Stride).tilesDiffer(t, p, 64, 0); differ == 0 {
					t.Errorf("tiles that see one stride less make no difference")
				}
				if differ, _ := n.tilesDiffer(t, p, 64, n.geometry.Stride/2); differ < p.w*p.h/100 {
					t.Errorf("cores off the lattice: only %d pixels differ", differ)
				}
			})
		}
	}
}

// onDirect skips a test of what only the fast convolutions promise.
func onDirect(t *testing.T) {
	if !ops.Seamless {
		t.Skip("built without C: convolutions sum in an order that depends on the tile")
	}
}

func TestGorgoniaRunsHaematoxylin(t *testing.T) {
	needRuntime(t)
	const core = 64
	var labels [2][]byte
	for i, device := range []string{"cpu", "gorgonia"} {
		m, err := Open("haematoxylin", Config{Device: device})
		if err != nil {
			t.Fatal(err)
		}
		edge := m.Spec().Geometry.Input(core)
		labels[i] = make([]byte, core*core)
		in := randomPicture(rand.New(rand.NewPCG(1, 1)), edge, edge).pixels
		for i := range in { // brighter: of plain noise all is above the threshold
			if i%3 == 0 {
				in[i] = 100 + in[i]/2
			}
		}
		if err := m.Predict(t.Context(), 1, in, labels[i]); err != nil {
			t.Fatal(err)
		}
		if want := device; !strings.Contains(m.Spec().Engine, want) {
			t.Errorf("%s runs on %s", want, m.Spec().Engine)
		}
		m.Close()
	}
	if n := bytes.Count(labels[0], []byte{1}); !bytes.Equal(labels[0], labels[1]) || n < core*core/20 || n > core*core*19/20 {
		t.Errorf("labels equal: %v, label 1 on %d of %d pixels", bytes.Equal(labels[0], labels[1]), n, core*core)
	}
}

func TestGorgoniaRefusesOtherModels(t *testing.T) {
	for name, model := range map[string]string{
		"linear":      writeModel(t, Architecture{Depth: 1, Base: 2, Classes: 2, Up: Linear}),
		"passthrough": "passthrough",
		"foreign":     writeFile(t, withMetadata(usual.bytes(), facts()...)),
		"margins":     writeFile(t, withMetadata(readFile(t, writeModel(t, Architecture{Depth: 2, Base: 2, Classes: 2, Same: true})), keyBefore, "4")),
	} {
		_, err := Open(model, Config{Device: "gorgonia"})
		if err == nil || !strings.Contains(err.Error(), "model "+model+": the gorgonia engine runs models that microtome trained: ") || !strings.HasSuffix(err.Error(), ": use --device cpu") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Predictions of several sizes side by side give what they give one by one.
func TestGorgoniaConcurrentEqualsSerial(t *testing.T) {
	s := network.Shape{Depth: 2, Base: 4, Channels: 3, Classes: 2, Same: true}
	m, err := NewGorgonia(s, randomParams(s, 1), Card{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	type tile struct {
		core     int
		in, want []byte
	}
	var tiles []tile
	for i := range 12 {
		core := 16 + 16*(i%3)
		edge := m.Spec().Geometry.Input(core)
		c := tile{core, randomPicture(rand.New(rand.NewPCG(uint64(i), 1)), edge, edge).pixels, make([]byte, core*core)}
		if err := m.Predict(t.Context(), 1, c.in, c.want); err != nil {
			t.Fatal(err)
		}
		tiles = append(tiles, c)
	}
	var wg sync.WaitGroup
	for _, c := range tiles {
		wg.Go(func() {
			got := make([]byte, len(c.want))
			if err := m.Predict(t.Context(), 1, c.in, got); err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("core %d: %v, labels equal: %v", c.core, err, bytes.Equal(got, c.want))
			}
		})
	}
	wg.Wait()
	if n := len(m.(*gorgonia).idle); n > len(tiles) {
		t.Errorf("%d graphs are kept", n)
	}
	for _, p := range m.(*gorgonia).idle {
		if p.w != m.(*gorgonia).idle[0].w {
			t.Error("graphs of several sizes are kept")
		}
	}
	m.Close()
	if err := m.Predict(t.Context(), 1, tiles[0].in, tiles[0].want); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
	if n := len(m.(*gorgonia).idle); n > 0 {
		t.Errorf("%d graphs are left after Close", n)
	}
}

// A prediction that takes long stops between two layers, and the engine is none the worse.
func TestGorgoniaStops(t *testing.T) {
	s := network.Shape{Depth: 3, Base: 8, Channels: 3, Classes: 2, Same: true}
	m, err := NewGorgonia(s, randomParams(s, 1), Card{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const core = 256
	edge := m.Spec().Geometry.Input(core)
	in, want, got := randomPicture(rand.New(rand.NewPCG(1, 1)), edge, edge).pixels, make([]byte, core*core), make([]byte, core*core)
	begin := time.Now()
	if err := m.Predict(t.Context(), 1, in, want); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(begin)
	cause := errors.New("the slide is gone")
	for i := range 5 {
		ctx, stop := context.WithTimeoutCause(t.Context(), whole*time.Duration(i)/10, cause)
		err := m.Predict(ctx, 1, in, got)
		stop()
		if !errors.Is(err, cause) && i < 3 {
			t.Errorf("stopped after %d tenths: %v", i, err)
		}
	}
	if err := m.Predict(t.Context(), 1, in, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after a stop: %v, labels equal: %v", err, bytes.Equal(got, want))
	}
}

func TestGorgoniaChecksSizes(t *testing.T) {
	s := network.Shape{Depth: 2, Base: 2, Channels: 3, Classes: 2}
	m, err := NewGorgonia(s, randomParams(s, 1), Card{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	edge := m.Spec().Geometry.Input(8)
	for _, c := range []struct{ n, in, out int }{{1, 3 * edge * edge, 63}, {1, 3*edge*edge - 1, 64}, {2, 3 * edge * edge, 64}, {0, 0, 0}, {1, 0, 0}} {
		if err := m.Predict(t.Context(), c.n, make([]byte, c.in), make([]byte, c.out)); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	if err := m.Logits(t.Context(), 8, 6, make([]byte, 3*edge*edge), make([]float32, 96)); err == nil {
		t.Error("logits off the stride: no error")
	}
}

// Graphs of other sizes, stopped runs and questions for Bytes leave nothing behind.
func TestGorgoniaLeavesNothing(t *testing.T) {
	s := network.Shape{Depth: 2, Base: 2, Channels: 3, Classes: 2}
	p := randomParams(s, 1)
	round := func() {
		m, err := NewGorgonia(s, p, Card{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, core := range []int{4, 64, 256} {
			m.Bytes(core)
			edge := m.Spec().Geometry.Input(core)
			ctx, cancel := context.WithCancel(t.Context())
			if core == 64 {
				time.AfterFunc(time.Millisecond, cancel)
			}
			_ = m.Predict(ctx, 1, make([]byte, 3*edge*edge), make([]byte, core*core))
			cancel()
		}
		m.Close()
	}
	heap := func() int64 {
		for range 3 { // finalizers, and what they held
			runtime.GC()
		}
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	for range 3 {
		round()
	}
	before := heap()
	for range 20 {
		round()
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("20 rounds grew the heap by %d bytes", grown)
	}
}
