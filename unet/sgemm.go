package unet

import (
	"fmt"
	"sync"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"microtome/unet/onnx"
)

const (
	sgemmEdge  = 768 // of the matrices: they fit the cache of a processor
	sgemmChain = 6   // products a run, so that what is copied to a GPU and back hardly counts
)

// SGEMM measures the floating point operations a second of large matrix products of float32 by ONNX Runtime on a
// device, with so many runs at a time, each on one processor: what convolutions could reach at most. It takes about as long as it is told to.
func SGEMM(cfg Config, runs int, budget time.Duration) (flops float64, err error) {
	devices, err := cfg.parseDevices()
	if err != nil {
		return 0, err
	}
	d := device{kind: cpuName}
	if len(devices) > 0 && devices[0].kind != gorgoniaName {
		d = devices[0]
	}
	if err := startRuntime(cfg.Library); err != nil {
		return 0, err
	}
	session, err := d.sessionOf(products(), []string{"x"}, []string{"y"}, true)
	if err != nil {
		return 0, fmt.Errorf("matrix products: %w", err)
	}
	defer func() { _ = session.Destroy() }()
	var mu sync.Mutex
	var done int
	var failed error
	run := func(until time.Time) {
		in, err := ort.NewTensor(ort.NewShape(sgemmEdge, sgemmEdge), ones(sgemmEdge*sgemmEdge))
		if err == nil {
			defer func() { _ = in.Destroy() }()
		}
		out, err2 := ort.NewEmptyTensor[float32](ort.NewShape(sgemmEdge, sgemmEdge))
		if err2 == nil {
			defer func() { _ = out.Destroy() }()
		}
		n := 0
		for err == nil && err2 == nil && (n == 0 || time.Now().Before(until)) {
			err = session.Run([]ort.Value{in}, []ort.Value{out})
			n++
		}
		mu.Lock()
		defer mu.Unlock()
		done += n
		if err == nil {
			err = err2
		}
		if failed == nil {
			failed = err
		}
	}
	run(time.Now()) // the first one prepares
	done = 0
	began := time.Now()
	var group sync.WaitGroup
	for range runs {
		group.Go(func() { run(began.Add(budget)) })
	}
	group.Wait()
	if failed != nil {
		return 0, fmt.Errorf("matrix products: %s", firstLine(failed))
	}
	return 2 * sgemmChain * sgemmEdge * sgemmEdge * sgemmEdge * float64(done) / time.Since(began).Seconds(), nil
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// products is a model that multiplies its input by a matrix, again and again. The matrix has a row's sum of 1, so that
// numbers stay of one size.
func products() []byte {
	w := make([]float32, sgemmEdge*sgemmEdge)
	for i := range w {
		w[i] = 1.0 / sgemmEdge
	}
	b := &builder{opset: opset}
	b.Inputs = append(b.Inputs, onnx.NewValue("x", onnx.Float32, sgemmEdge, sgemmEdge))
	b.Weights = append(b.Weights, onnx.FloatTensor("w", []int{sgemmEdge, sgemmEdge}, w...))
	y := "x"
	for range sgemmChain {
		y = b.node("MatMul", []string{y, "w"})
	}
	b.Nodes = append(b.Nodes, &onnx.Node{Op: "Identity", Inputs: []string{y}, Outputs: []string{"y"}})
	b.Outputs = append(b.Outputs, onnx.NewValue("y", onnx.Float32, sgemmEdge, sgemmEdge))
	return b.file(nil)
}
