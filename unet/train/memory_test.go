package train

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"microtome/internal/shared"
)

// A batch of four tiles of 256 px takes less than 2 GB, on two workers, in a process of its own.
func TestBatchOfFourTakesLessThan2GB(t *testing.T) {
	const inside = "MICROTOME_TEST_MEMORY"
	if runtime.GOOS != "linux" {
		t.Skip("the peak is read from /proc")
	}
	if os.Getenv(inside) != "" {
		steps(t)
		fmt.Fprintf(os.Stdout, "peak %d kB\n", shared.Status(t, "VmHWM:")>>10)
		return
	}
	if testing.Short() {
		t.Skip("takes seconds")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "peak ")
	var kilobytes int
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%d MB", kilobytes*1024/1e6)
	if kilobytes*1024 > 2e9 {
		t.Errorf("three steps take %d MB, want less than 2000", kilobytes*1024/1e6)
	}
}

// steps runs three of training as the nuclei recipe does, but for the larger batch.
func steps(t *testing.T) {
	c, err := NewConfig("nuclei")
	if err != nil {
		t.Fatal(err)
	}
	c.Batch, c.Tile = 4, 256
	params := c.Shape.Init(1)
	moments := [2][][]float32{}
	for i := range moments {
		for _, p := range params {
			moments[i] = append(moments[i], make([]float32, len(p.Value)))
		}
	}
	trainer, err := newTrainer(c, discs(2, 400, 99).Images, params, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.close()
	for step := range 3 {
		grads, _, err := trainer.run(step)
		if err != nil {
			t.Fatal(err)
		}
		c.Optimise.update(params, grads, moments[0], moments[1], step, 3)
	}
}
