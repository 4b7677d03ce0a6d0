package sink

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// A drawing is labels as text: a digit a pixel, a dot for 0, rows apart by spaces.
func parseDrawing(s string) (pix []byte, w, h int) {
	rows := strings.Fields(s)
	for _, row := range rows {
		for _, r := range row {
			if r == '.' {
				r = '0'
			}
			pix = append(pix, byte(r-'0'))
		}
	}
	return pix, len(rows[0]), len(rows)
}

func draw(pix []byte, stride, w, h int) string {
	var rows []string
	for y := range h {
		var row strings.Builder
		for _, v := range pix[y*stride:][:w] {
			row.WriteByte(".123456789"[v])
		}
		rows = append(rows, row.String())
	}
	return strings.Join(rows, " ")
}

func TestReduceDrawings(t *testing.T) {
	for _, c := range []struct{ name, image, majority, mean string }{
		{"one pixel", "3", "3", "3"},
		{"three to one", "1. 11", "1", "1"},
		{"a pair against two others", "23 21", "2", "2"},
		{"the pair is a diagonal", ".3 4.", ".", "2"},
		{"the other diagonal", "3. .4", ".", "2"},
		{"two pairs side by side: the higher", "12 12", "2", "2"},
		{"two pairs above each other", "22 11", "2", "2"},
		{"two pairs across", "12 21", "2", "2"},
		{"background loses a tie", ".1 1.", "1", "1"},
		{"all differ: the highest", "42 13", "4", "3"},
		{"all differ, with background", ".1 23", "3", "2"},
		{"mean rounds half up", "11 .0", "1", "1"},
		{"mean rounds down", "1. ..", ".", "."},
		{"odd width: two pixels vote", "1", "1", "1"},
		{"odd width", "112 113", "13", "13"},
		{"odd height", "11 11 .2", "1 2", "1 1"},
		{"odd both ways: the corner is alone", "..1 ..1 115", ".1 15", ".1 15"},
		{"a row", "1122.", "12.", "12."},
		{"a column", "1 2 2 . 3", "2 2 3", "2 1 3"},
		{"eight alike, and the rest of the row", "1111111122 1111111123", "11112", "11112"},
		{"eight alike over eight others", "11111111 22222222", "2222", "2222"},
		{"eight with one odd", "11111111 11112222", "1122", "1122"},
		{"nine, the last alone", "111111112 111111113", "11113", "11113"},
	} {
		pix, w, h := parseDrawing(c.image)
		for name, r := range map[string]struct {
			Reduce
			want string
		}{"majority": {Majority, c.majority}, "mean": {Mean, c.mean}} {
			dst := make([]byte, len(pix))
			r.Reduce(dst, pix, w, w, h)
			if got := draw(dst, w, (w+1)/2, (h+1)/2); got != r.want {
				t.Errorf("%s: %s of %q is %q, want %q", c.name, name, c.image, got, r.want)
			}
		}
	}
}

// naiveMajority is the definition: the most votes win, among equals the higher label.
func naiveMajority(votes []byte) byte {
	var n [256]int
	for _, v := range votes {
		n[v]++
	}
	best := 0
	for label := range n {
		if n[label] >= n[best] {
			best = label
		}
	}
	return byte(best)
}

func naiveMean(votes []byte) byte {
	sum := 0
	for _, v := range votes {
		sum += int(v)
	}
	return byte((2*sum + len(votes)) / (2 * len(votes)))
}

// naiveReduce halves a w × h image whose rows are w apart.
func naiveReduce(pix []byte, w, h int, vote func([]byte) byte) []byte {
	out := make([]byte, 0, (w+1)/2*((h+1)/2))
	for y := 0; y < h; y += 2 {
		for x := 0; x < w; x += 2 {
			var votes []byte
			for _, v := range [][2]int{{x, y}, {x + 1, y}, {x, y + 1}, {x + 1, y + 1}} {
				if v[0] < w && v[1] < h {
					votes = append(votes, pix[v[1]*w+v[0]])
				}
			}
			out = append(out, vote(votes))
		}
	}
	return out
}

// TestMajorityOfFour compares each choice of four labels with the definition.
func TestMajorityOfFour(t *testing.T) {
	for i := range 5 * 5 * 5 * 5 {
		v := []byte{byte(i % 5), byte(i / 5 % 5), byte(i / 25 % 5), byte(i / 125)}
		if got, want := majority(v[0], v[1], v[2], v[3]), naiveMajority(v); got != want {
			t.Errorf("majority of %v is %d, want %d", v, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for n := range 70 {
		row := make([]byte, n)
		var got, want [256]int64
		for i := range row {
			if rng.IntN(9) == 0 || i == 0 {
				row[i] = byte(rng.IntN(256))
			} else {
				row[i] = row[i-1]
			}
			want[row[i]]++
		}
		if count(&got, row); got != want {
			t.Errorf("%d pixels were counted wrong", n)
		}
	}
}
