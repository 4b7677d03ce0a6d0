package raster

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// flood numbers components as Components promises to, by filling each from its first pixel.
func flood(l Labels, c Connectivity) (Labels, int) {
	out, n := NewLabels(l.W, l.H), 0
	for first, v := range l.Pix {
		if v == 0 || out.Pix[first] != 0 {
			continue
		}
		n++
		out.Pix[first] = uint32(n)
		for todo := []int{first}; len(todo) > 0; {
			i := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for y := max(i/l.W-1, 0); y <= min(i/l.W+1, l.H-1); y++ {
				for x := max(i%l.W-1, 0); x <= min(i%l.W+1, l.W-1); x++ {
					j := y*l.W + x
					if c == Four && x != i%l.W && y != i/l.W || l.Pix[j] != v || out.Pix[j] != 0 {
						continue
					}
					out.Pix[j] = uint32(n)
					todo = append(todo, j)
				}
			}
		}
	}
	return out, n
}

func TestComponentsAreWhatFloodingFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLabels(t, 20)
		c := rapid.SampledFrom([]Connectivity{Four, Eight}).Draw(t, "connectivity")
		got, n := Components(l.Pix, l.W, l.H, c)
		if want, m := flood(l, c); n != m || !slices.Equal(got.Pix, want.Pix) {
			t.Fatalf("%d components\n%v\nwant %d\n%v", n, got.Pix, m, want.Pix)
		}

		mask, ones := make([]bool, len(l.Pix)), NewLabels(l.W, l.H)
		for i, v := range l.Pix {
			if v != 0 {
				mask[i], ones.Pix[i] = true, 1
			}
		}
		got, n = Components(mask, l.W, l.H, c)
		if want, m := flood(ones, c); n != m || !slices.Equal(got.Pix, want.Pix) {
			t.Fatalf("mask: %d components\n%v\nwant %d\n%v", n, got.Pix, m, want.Pix)
		}
	})
}

// A comb whose teeth meet only in the last row, and rings that meet only at corners.
func TestComponentsGolden(t *testing.T) {
	for _, g := range []struct {
		art         string
		w           int
		four, eight string
	}{
		{"# # # " + "# # # " + "##### ", 6, "1 1 1 " + "1 1 1 " + "11111 ", "1 1 1 " + "1 1 1 " + "11111 "},
		{"###  " + "# #  " + "#####" + "  # #" + "  ###", 5, "111  " + "1 1  " + "11111" + "  1 1" + "  111", "111  " + "1 1  " + "11111" + "  1 1" + "  111"},
		{" # " + "# #" + " # ", 3, " 1 " + "2 3" + " 4 ", " 1 " + "1 1" + " 1 "},
	} {
		mask := make([]bool, len(g.art))
		for i := range g.art {
			mask[i] = g.art[i] == '#'
		}
		for c, want := range map[Connectivity]string{Four: g.four, Eight: g.eight} {
			l, _ := Components(mask, g.w, len(mask)/g.w, c)
			got := make([]byte, len(l.Pix))
			for i, n := range l.Pix {
				got[i] = " 123456789"[n]
			}
			if string(got) != want {
				t.Errorf("%d-connected: %q, want %q", c, got, want)
			}
		}
	}
}

func TestNumberKeepsInstances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLabels(t, 20)
		dst := make([]uint32, len(l.Pix))
		of := l.Number(dst)
		most := uint32(0)
		for i, n := range dst {
			if of[n] != l.Pix[i] {
				t.Fatalf("pixel %d is in instance %d, said to be %d, is %d", i, n, of[n], l.Pix[i])
			}
			if n > most+1 {
				t.Fatalf("instance %d comes before %d", n, most+1)
			}
			most = max(most, n)
		}
		if int(most) != len(of)-1 {
			t.Fatalf("%d instances, but %d are named", most, len(of)-1)
		}
		if !slices.Equal(slices.Compact(slices.Sorted(slices.Values(of))), slices.Sorted(slices.Values(of))) {
			t.Fatalf("two numbers for one instance: %v", of)
		}
	})
}
