package results

import (
	"math"
	"slices"
)

// signedRank returns the p of Wilcoxon's signed-rank test, two-sided and exact, that differences of pairs lie around zero.
//
// Zeros say nothing and are left out. Equal sizes share their ranks; the distribution is that of the ranks at hand over all signs, so
// it stays exact.
//
// Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1 (1945).
func signedRank(differences []float64) float64 {
	d := slices.DeleteFunc(slices.Clone(differences), func(x float64) bool { return x == 0 })
	slices.SortFunc(d, func(a, b float64) int {
		switch a, b = math.Abs(a), math.Abs(b); {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	n := len(d)
	total := n * (n + 1) // of ranks counted twice, as half ranks occur
	chance := make([]float64, total+1)
	chance[0] = 1
	positive := 0
	for i := 0; i < n; {
		j := i
		for j < n && math.Abs(d[j]) == math.Abs(d[i]) {
			j++
		}
		rank := i + 1 + j // twice the mean of i+1 … j
		for ; i < j; i++ {
			if d[i] > 0 {
				positive += rank
			}
			for s := total; s >= 0; s-- { // a rank is positive or negative, at even chances
				chance[s] /= 2
				if s >= rank {
					chance[s] += chance[s-rank] / 2
				}
			}
		}
	}
	tail := 0.0
	for s := 0; s <= min(positive, total-positive); s++ {
		tail += chance[s]
	}
	return min(1, 2*tail)
}

// shift estimates what differences lie around: the median of the means of all two of them (Hodges and Lehmann), the estimate that
// belongs to the signed-rank test.
func shift(differences []float64) float64 {
	var means []float64
	for i, a := range differences {
		for _, b := range differences[i:] {
			means = append(means, (a+b)/2)
		}
	}
	slices.Sort(means)
	n := len(means)
	if n == 0 {
		return 0
	}
	return (means[(n-1)/2] + means[n/2]) / 2
}
