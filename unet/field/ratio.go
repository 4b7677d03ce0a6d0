package field

import (
	"fmt"
	"math"
	"strconv"
)

// A ratio is an exact fraction in lowest terms. One that does not fit 31 bits is no number: its den is 0, and so is that of
// whatever is computed from it.
type ratio struct{ num, den int64 }

var one = ratio{1, 1}

func fraction(num, den int64) ratio {
	if den == 0 {
		return ratio{}
	}
	d := gcd(num, den)
	if den < 0 {
		d = -d
	}
	num, den = num/d, den/d
	if max(num, -num, den) > math.MaxInt32 {
		return ratio{}
	}
	return ratio{num, den}
}

// nearby returns the fraction of small numbers that a scale in a file stands for: 0.33333334 is 1/3.
func nearby(f float64) ratio {
	for den := 1.0; den <= 64; den++ {
		num := math.Round(f * den)
		if math.Abs(num/den-f) <= 1e-6*math.Abs(f) && num > 0 && num < math.MaxInt32 {
			return fraction(int64(num), int64(den))
		}
	}
	return ratio{}
}

func (a ratio) times(b ratio) ratio { return fraction(a.num*b.num, a.den*b.den) }
func (a ratio) plus(b ratio) ratio  { return fraction(a.num*b.den+b.num*a.den, a.den*b.den) }
func (a ratio) minus(b ratio) ratio { return fraction(a.num*b.den-b.num*a.den, a.den*b.den) }

func (a ratio) String() string {
	if a.den == 1 {
		return strconv.FormatInt(a.num, 10)
	}
	return fmt.Sprintf("%d/%d", a.num, a.den)
}

// gcd is not 0, so that one can divide by it.
func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a, 1)
}

// floorDiv and ceilDiv divide by a positive number and round down and up.
func floorDiv(a, b int) int {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

func ceilDiv(a, b int) int { return -floorDiv(-a, b) }
