package score

import "fmt"

// Pixels counts the pixels of one class, or of foreground: found and true, found only, true only, neither.
type Pixels struct{ TP, FP, FN, TN int64 }

// PixelsOf counts the pixels of a class in two images of classes, a byte a pixel and of one length.
func PixelsOf(class byte, truth, predicted []byte) Pixels {
	if len(truth) != len(predicted) {
		panic(fmt.Sprintf("score: truth of %d px, prediction of %d", len(truth), len(predicted)))
	}
	var c Pixels
	for i, t := range truth {
		c.add(t == class, predicted[i] == class, 1)
	}
	return c
}

// pixels counts those of all objects.
func (o *overlap) pixels() Pixels {
	var c Pixels
	for _, p := range o.pairs {
		c.add(p.truth > 0, p.found > 0, p.n)
	}
	return c
}

func (c *Pixels) add(truth, found bool, n int64) {
	switch {
	case truth && found:
		c.TP += n
	case found:
		c.FP += n
	case truth:
		c.FN += n
	default:
		c.TN += n
	}
}

// Add adds the pixels of another image.
func (c *Pixels) Add(d Pixels) {
	c.TP += d.TP
	c.FP += d.FP
	c.FN += d.FN
	c.TN += d.TN
}

// IoU is the pixels in both divided by the pixels in either, in [0, 1].
func (c Pixels) IoU() float64 { return quotient(c.TP, c.TP+c.FP+c.FN, c.TP+c.FP+c.FN == 0) }

// Dice is the pixels in both divided by the mean of true and found ones, in [0, 1].
func (c Pixels) Dice() float64 { return quotient(2*c.TP, 2*c.TP+c.FP+c.FN, c.TP+c.FP+c.FN == 0) }

// Error is the share of pixels that are wrong, in [0, 1].
func (c Pixels) Error() float64 { return quotient(c.FP+c.FN, c.TP+c.FP+c.FN+c.TN, false) }

// quotient divides; 0/0 is 1 when both sides are empty, else 0.
func quotient(a, b int64, empty bool) float64 {
	if b == 0 {
		if empty {
			return 1
		}
		return 0
	}
	return float64(a) / float64(b)
}
