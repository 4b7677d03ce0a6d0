package ops

// A Backend computes convolutions of whole tensors. All are float32, row by row.
type Backend interface {
	// Forward sets y to the convolution of x with w plus b, and to 0 where that is negative if c.ReLU. What is
	// not a number stays so, and spreads to all that see it.
	Forward(o *Ops, c Convolution, x, w, b, y []float32)
	// Room returns how many floats of scratch Forward takes, by slot; slot 2 stays the caller's.
	Room(o *Ops, c Convolution) [3]int
	// Input sets dx to the gradient of x: the transposed convolution of dy with w.
	Input(o *Ops, c Convolution, w, dy, dx []float32)
	// Weights sets dw to the gradient of w: x correlated with dy.
	Weights(o *Ops, c Convolution, x, dy, dw []float32)
}

// A Convolution is one of Side × Side pixels, stride 1, over Batch images of In × H × W values.
type Convolution struct {
	Batch, In, H, W int
	Out             int // channels of the output
	Side            int // 1 or 3
	Pad             int // zeros around the image, less than Side
	ReLU            bool
}

// size returns the height and width of the output.
func (c Convolution) size() (h, w int) {
	return c.H + 2*c.Pad - c.Side + 1, c.W + 2*c.Pad - c.Side + 1
}
