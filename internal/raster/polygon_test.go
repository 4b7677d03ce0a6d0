package raster

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// draw returns what FillPolygon fills, one line a row, and fails on what leaves the image, comes out of
// order or comes twice.
func draw(t rapid.TB, w, h int, rings [][]Point) []string {
	picture := make([][]byte, h)
	for y := range picture {
		picture[y] = []byte(strings.Repeat(".", w))
	}
	lastY, lastX := 0, 0
	FillPolygon(w, h, rings, func(y, x0, x1 int) {
		if y > lastY {
			lastX = 0
		}
		if y < lastY || y >= h || x0 < lastX || x1 <= x0 || x1 > w {
			t.Fatalf("stretch %d–%d of row %d after %d of row %d in %d×%d", x0, x1, y, lastX, lastY, w, h)
		}
		lastY, lastX = y, x1
		for x := x0; x < x1; x++ {
			picture[y][x] = '#'
		}
	})
	lines := make([]string, h)
	for y := range picture {
		lines[y] = string(picture[y])
	}
	return lines
}

func TestFillPolygonGolden(t *testing.T) {
	square := []Point{{1, 1}, {5, 1}, {5, 5}, {1, 5}, {1, 1}}
	for name, c := range map[string]struct {
		rings [][]Point
		want  string
	}{
		"square":            {[][]Point{square}, "...... .####. .####. .####. .####. ......"},
		"with a hole":       {[][]Point{square, {{2, 2}, {4, 2}, {4, 4}, {2, 4}}}, "...... .####. .#..#. .#..#. .####. ......"},
		"beyond the image":  {[][]Point{{{-3, -3}, {90, -3}, {90, 1.5}, {-3, 1.5}}}, "###### ...... ...... ...... ...... ......"},
		"below the centres": {[][]Point{{{0, 0.5}, {6, 0.5}, {6, 0.6}, {0, 0.6}}}, "###### ...... ...... ...... ...... ......"},
		"between centres":   {[][]Point{{{0, 0.6}, {6, 0.6}, {6, 1.4}, {0, 1.4}}}, "...... ...... ...... ...... ...... ......"},
		"triangle":          {[][]Point{{{0, 0}, {6, 0}, {0, 6}}}, "#####. ####.. ###... ##.... #..... ......"},
		"bow tie":           {[][]Point{{{0, 0}, {6, 6}, {6, 0}, {0, 6}}}, ".....# #...## ##.### ##.### #...## .....#"},
		"nothing":           {[][]Point{{}, {{3, 3}}}, "...... ...... ...... ...... ...... ......"},
	} {
		if got := strings.Join(draw(t, 6, 6, c.rings), " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// inside says, in whole numbers, whether the centre of a pixel lies in rings of points on a lattice of a
// quarter of a pixel: a ray to the left crosses an odd number of sides.
func inside(x, y int, rings [][]Point) bool {
	px, py, odd := 4*x+2, 4*y+2, false
	for _, ring := range rings {
		for i, p := range ring {
			q := ring[(i+1)%len(ring)]
			ax, ay, bx, by := int(4*p.X), int(4*p.Y), int(4*q.X), int(4*q.Y)
			if ay > by {
				ax, ay, bx, by = bx, by, ax, ay
			}
			if ay <= py && py < by && (px-ax)*(by-ay) >= (py-ay)*(bx-ax) {
				odd = !odd
			}
		}
	}
	return odd
}

func TestFillPolygonIsEvenOddByCentres(t *testing.T) {
	point := rapid.Custom(func(t *rapid.T) Point {
		at := rapid.IntRange(-20, 100)
		return Point{float64(at.Draw(t, "x")) / 4, float64(at.Draw(t, "y")) / 4}
	})
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(0, 22).Draw(t, "w"), rapid.IntRange(0, 22).Draw(t, "h")
		rings := rapid.SliceOfN(rapid.SliceOfN(point, 0, 9), 0, 3).Draw(t, "rings")
		for y, line := range draw(t, w, h, rings) {
			for x := range line {
				if (line[x] == '#') != inside(x, y, rings) {
					t.Fatalf("pixel %d, %d is %c", x, y, line[x])
				}
			}
		}
	})
}

// Cells that meet share each pixel out: none is in two of them, none between them is left.
func TestFillPolygonSharesOutThePlane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner := rapid.Float64Range(1, 19)
		c := Point{inner.Draw(t, "x"), inner.Draw(t, "y")}
		corners := []Point{{0, 0}, {20, 0}, {20, 20}, {0, 20}}
		var times [20][20]int
		for i, p := range corners {
			FillPolygon(20, 20, [][]Point{{p, corners[(i+1)%4], c}}, func(y, x0, x1 int) {
				for x := x0; x < x1; x++ {
					times[y][x]++
				}
			})
		}
		for y := range times {
			for x, n := range times[y] {
				if n != 1 {
					t.Fatalf("pixel %d, %d is in %d triangles around %v", x, y, n, c)
				}
			}
		}
	})
}
