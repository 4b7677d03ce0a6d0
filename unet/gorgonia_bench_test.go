package unet

import (
	"fmt"
	"testing"

	"microtome/unet/network"
)

// BenchmarkEngines compares the engines on one thread at a network of base 16, depth 4, padded.
func BenchmarkEngines(b *testing.B) {
	s := network.Shape{Depth: 4, Base: 16, Channels: 3, Classes: 2, Same: true}
	data, err := Export(s, randomParams(s, 1), Card{})
	if err != nil {
		b.Fatal(err)
	}
	model := writeFile(b, data)
	for _, core := range []int{512, 832, 1024} { // 832: the network sees 1024
		for _, device := range []string{"cpu", "gorgonia"} {
			b.Run(fmt.Sprintf("%s/%d", device, core), func(b *testing.B) {
				benchPredict(b, model, Config{Device: device}, core, Architecture{Depth: 4, Base: 16, Classes: 2}.paddedFlops)
			})
		}
	}
}
