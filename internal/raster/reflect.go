package raster

// Reflect returns the index in [0, n) that index i shows when an axis of n pixels is continued by
// mirroring it at its edge pixels, which are not repeated: … 2 1 | 0 1 2 … n-1 | n-2 …, as often as it
// takes. It is how the 2015 U-Net paper's code extends images.
func Reflect(i, n int) int {
	if n == 1 {
		return 0
	}
	period := 2 * (n - 1)
	i = (i%period + period) % period
	if i >= n {
		i = period - i
	}
	return i
}

// A Run is a stretch of a mirrored axis: index At+k shows pixel Pixel+k·Step, for k in [0, N). Step is
// 1, -1 in a mirrored stretch, or 0 on an axis of one pixel.
type Run struct{ At, Pixel, N, Step int }

// AppendRuns appends the runs that show the indices [lo, hi) of a mirrored axis of n pixels, with At
// counted from lo.
func AppendRuns(runs []Run, lo, hi, n int) []Run {
	if n == 1 && lo < hi {
		return append(runs, Run{0, 0, hi - lo, 0})
	}
	period := 2 * (n - 1)
	for i := lo; i < hi; {
		r := Run{At: i - lo}
		m := (i%period + period) % period
		if m < n {
			r.Pixel, r.Step, r.N = m, 1, min(n-m, hi-i)
		} else {
			r.Pixel, r.Step, r.N = period-m, -1, min(period-m, hi-i)
		}
		runs = append(runs, r)
		i += r.N
	}
	return runs
}

// Within returns the part [k0, k1) of the run whose pixels lie in [lo, hi); it is empty when k0 >= k1.
func (r Run) Within(lo, hi int) (k0, k1 int) {
	switch r.Step {
	case 1:
		k0, k1 = lo-r.Pixel, hi-r.Pixel
	case -1:
		k0, k1 = r.Pixel-hi+1, r.Pixel-lo+1
	default:
		if r.Pixel < lo || r.Pixel >= hi {
			return 0, 0
		}
		return 0, r.N
	}
	return max(k0, 0), min(k1, r.N)
}

// Span returns the pixels [lo, hi) that the run shows.
func (r Run) Span() (lo, hi int) {
	a, b := r.Pixel, r.Pixel+(r.N-1)*r.Step
	return min(a, b), max(a, b) + 1
}
