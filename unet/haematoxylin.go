package unet

// The stain threshold of the haematoxylin model. All its weights are small whole numbers and every
// value stays far below 2^24, so float32 is exact and the answer is this formula, bit for bit:
//
//	h = max(0, 2·(255-R) - (255-B))                   absorbs red more than blue: haematoxylin, not eosin
//	S = sum of h over 3 × 3 pixels
//	P = max of S over the 4 × 4 block of the pixel
//	T = sum of P over 3 × 3 blocks
//	logit = 8·S + T - 16000                           stained itself, or a little less among stained
//
// Blocks begin 2 pixels before those of the core's lattice, at -2, 2, 6 …: the two unpadded convolutions
// before each pooling take a pixel each.
// A flat area is labelled where h is above 104.
const haematoxylinThreshold = 16000

// haematoxylin returns an unpadded U-Net of depth 2 whose weights compute the formula: convolutions
// that only hand values on have a single 1 in the middle.
func haematoxylin() Architecture {
	return Architecture{
		Depth: 2, Base: 1, Classes: 1, Up: Transposed,
		Card: Card{
			Name: "haematoxylin", Classes: []string{"background", "haematoxylin"}, MPP: 0.5,
			Mean: 255, Scale: -1, // what is absorbed of 255
		},
		weights: haematoxylinWeights,
	}
}

func haematoxylinWeights(name string, dims []int) (w, bias []float32) {
	w = make([]float32, dims[0]*dims[1]*dims[2]*dims[3])
	taps := dims[2] * dims[3]
	// from makes output channel 0 take v times input channel in: in the middle, or everywhere.
	from := func(in int, v float32, everywhere bool) {
		for k := range taps {
			if everywhere || k == taps/2 {
				w[in*taps+k] = v
			}
		}
	}
	bias = make([]float32, dims[0])
	switch name {
	case "down0.conv1": // h
		from(0, 2, false)
		from(2, -1, false)
	case "down0.conv2", "bottom.conv1": // S and T
		from(0, 1, true)
	case "up1", "up0": // input first: channel 0 to channel 0, each pixel four times
		bias = make([]float32, dims[1])
		for k := range taps {
			w[k] = 1
		}
	case "join1.conv1": // T, not the features beside it
		from(dims[1]/2, 1, false)
	case "join0.conv1": // S beside T
		from(0, 8, false)
		from(1, 1, false)
	case "head":
		from(0, 1, false)
		bias[0] = -haematoxylinThreshold
	default:
		from(0, 1, false)
	}
	return w, bias
}
