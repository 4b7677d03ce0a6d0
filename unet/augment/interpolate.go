package augment

import (
	"math"

	"microtome/internal/raster"
)

// Weights of pixels are whole numbers that add up to one, at this many places between two pixels.
const (
	placesBits = 10
	places     = 1 << placesBits
	oneBits    = 14
	one        = 1 << oneBits
)

// cubic holds the weights of the pixels at -1, 0, 1 and 2 at each place from 0 to 1: Catmull-Rom, which
// leaves a picture as sharp as it was where bilinear interpolation would blur every tile that is turned.
var cubic = func() (table [places][4]int) {
	for p := range table {
		left := one
		for k, w := range catmullRom(float64(p) / places) {
			table[p][k] = int(math.Round(w * one))
			left -= table[p][k]
		}
		table[p][1] += left
	}
	return table
}()

// Image returns the tile's pixels, interpolated between those of the source, or averaged over the area of
// the tile's pixel where that is larger than the source's.
func (w Warp) Image(src raster.RGB) raster.RGB {
	return new(Sampler).image(&w, src)
}

func (s *Sampler) image(w *Warp, src raster.RGB) raster.RGB {
	out := raster.NewRGB(w.size, w.size)
	// An area of n × n places lies less than a pixel of the source apart.
	n := max(int(math.Ceil(w.step-1e-9)), 1)
	s.columns = w.columns(s.columns, n)
	if n == 1 {
		for y := range w.size {
			l := w.elastic.line(float64(y))
			row := out.Pix[3*y*w.size:][:3*w.size]
			for x := range w.size {
				sx, sy := w.at(&l, &s.columns[x], float64(y))
				interpolateCubic(row[3*x:][:3:3], &src, sx, sy)
			}
		}
		return out
	}
	s.sums = grow(s.sums, 3*w.size)
	area := places * places * n * n
	for y := range w.size {
		clear(s.sums)
		for j := range n {
			py := place(y*n+j, n)
			l := w.elastic.line(py)
			for x := range w.size {
				var red, green, blue int
				for i := x * n; i < (x+1)*n; i++ {
					sx, sy := w.at(&l, &s.columns[i], py)
					r, g, b := linear(&src, sx, sy)
					red, green, blue = red+r, green+g, blue+b
				}
				sum := s.sums[3*x:][:3:3]
				sum[0], sum[1], sum[2] = sum[0]+red, sum[1]+green, sum[2]+blue
			}
		}
		row := out.Pix[3*y*w.size:][:3*w.size]
		for i, sum := range s.sums {
			row[i] = byte((sum + area/2) / area)
		}
	}
	return out
}

// split returns the pixel at or before a coordinate, and the place between it and the next.
func split(x float64) (pixel, place int) {
	const shift = 1 << 40 // makes it positive, so that cutting off what follows the point rounds down
	p := int(x*places+(shift+0.5)) - shift
	return p >> placesBits, p & (places - 1)
}

func interpolateCubic(dst []byte, src *raster.RGB, sx, sy float64) {
	x, px := split(sx)
	y, py := split(sy)
	var column, row [4]int // offsets of the pixels
	if x >= 1 && x < src.W-2 && y >= 1 && y < src.H-2 {
		if px == 0 && py == 0 {
			copy(dst, src.At(x, y))
			return
		}
		column = [4]int{3 * (x - 1), 3 * x, 3 * (x + 1), 3 * (x + 2)}
		row = [4]int{3 * (y - 1) * src.W, 3 * y * src.W, 3 * (y + 1) * src.W, 3 * (y + 2) * src.W}
	} else {
		for k := range 4 {
			column[k] = 3 * mirror(x+k-1, src.W)
			row[k] = 3 * mirror(y+k-1, src.H) * src.W
		}
	}
	wx, wy := &cubic[px], &cubic[py]
	var r, g, b int
	for j, at := range row {
		p := src.Pix[at:]
		p0, p1, p2, p3 := p[column[0]:][:3:3], p[column[1]:][:3:3], p[column[2]:][:3:3], p[column[3]:][:3:3]
		r += wy[j] * (wx[0]*int(p0[0]) + wx[1]*int(p1[0]) + wx[2]*int(p2[0]) + wx[3]*int(p3[0]))
		g += wy[j] * (wx[0]*int(p0[1]) + wx[1]*int(p1[1]) + wx[2]*int(p2[1]) + wx[3]*int(p3[1]))
		b += wy[j] * (wx[0]*int(p0[2]) + wx[1]*int(p1[2]) + wx[2]*int(p2[2]) + wx[3]*int(p3[2]))
	}
	dst[0], dst[1], dst[2] = rounded(r), rounded(g), rounded(b)
}

// rounded returns the grey level of a sum of pixels with weights in both directions.
func rounded(sum int) byte {
	return byte(min(max((sum+one*one/2)>>(2*oneBits), 0), 255))
}

// linear returns the colour at a place of the source, interpolated bilinearly, times places².
func linear(src *raster.RGB, sx, sy float64) (r, g, b int) {
	x, px := split(sx)
	y, py := split(sy)
	x1, y1 := x+1, y+1
	if x < 0 || x1 >= src.W || y < 0 || y1 >= src.H {
		x, x1 = mirror(x, src.W), mirror(x1, src.W)
		y, y1 = mirror(y, src.H), mirror(y1, src.H)
	}
	p00, p10, p01, p11 := src.At(x, y), src.At(x1, y), src.At(x, y1), src.At(x1, y1)
	w00, w10, w01, w11 := (places-px)*(places-py), px*(places-py), (places-px)*py, px*py
	return w00*int(p00[0]) + w10*int(p10[0]) + w01*int(p01[0]) + w11*int(p11[0]),
		w00*int(p00[1]) + w10*int(p10[1]) + w01*int(p01[1]) + w11*int(p11[1]),
		w00*int(p00[2]) + w10*int(p10[2]) + w01*int(p01[2]) + w11*int(p11[2])
}

// mirror is raster.Reflect, without its divisions where one reflection suffices.
func mirror(i, n int) int {
	if i < 0 {
		i = -i
	}
	if i >= n {
		if i = 2*(n-1) - i; i < 0 {
			return raster.Reflect(i, n)
		}
	}
	return i
}
