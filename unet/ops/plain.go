//go:build !cgo || purego

package ops

// Seamless says that values do not depend on the size of the image they are computed in.
const Seamless = false

func fastest() Backend { return BLAS{} }

// reluGrad sets out to dy where y is positive, and to 0 elsewhere.
func reluGrad(y, dy, out []float32) {
	for i, v := range y {
		if v > 0 {
			out[i] = dy[i]
		} else {
			out[i] = 0
		}
	}
}

// poolPlane takes the largest of each 2 × 2 pixels of an h × w image.
func poolPlane(x, y []float32, h, w int) {
	for r := range h / 2 {
		a, b, to := x[2*r*w:][:w], x[(2*r+1)*w:][:w], y[r*(w/2):][:w/2]
		for i := range to {
			to[i] = max(a[2*i], a[2*i+1], b[2*i], b[2*i+1])
		}
	}
}
