package score

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"microtome/internal/raster"
)

// draw makes labels of rows of one length: a dot is background, any other character an object.
func draw(rows ...string) raster.Labels {
	l := raster.NewLabels(len(rows[0]), len(rows))
	for y, row := range rows {
		for x, c := range row {
			if c != '.' {
				l.Pix[y*l.W+x] = uint32(c)
			}
		}
	}
	return l
}

// anyLabels draws a small image of up to four objects with numbers from all of uint32. Half of them are
// rectangles over each other, half noise.
func anyLabels(t *rapid.T, name string, w, h int) raster.Labels {
	ids := rapid.SliceOfNDistinct(rapid.Uint32Range(1, math.MaxUint32), 0, 4, rapid.ID).Draw(t, name+" ids")
	l := raster.NewLabels(w, h)
	if len(ids) == 0 {
		return l
	}
	if rapid.Bool().Draw(t, name+" noise") {
		for i := range l.Pix {
			if k := rapid.IntRange(0, len(ids)).Draw(t, name); k > 0 {
				l.Pix[i] = ids[k-1]
			}
		}
		return l
	}
	for _, id := range ids {
		x0, y0 := rapid.IntRange(0, w-1).Draw(t, "x"), rapid.IntRange(0, h-1).Draw(t, "y")
		x1, y1 := rapid.IntRange(x0, w-1).Draw(t, "x1"), rapid.IntRange(y0, h-1).Draw(t, "y1")
		for y := y0; y <= y1; y++ {
			for x := x0; x <= x1; x++ {
				l.Pix[y*w+x] = id
			}
		}
	}
	return l
}

func anyTwo(t *rapid.T) (truth, found raster.Labels) {
	w, h := rapid.IntRange(1, 7).Draw(t, "w"), rapid.IntRange(1, 7).Draw(t, "h")
	return anyLabels(t, "truth", w, h), anyLabels(t, "found", w, h)
}

// Counts and metrics of one image, computed by hand: a is split in exact halves (IoU of 0.5 is no match),
// b found but for a pixel, c and d merged, e all but missed.
func TestByHand(t *testing.T) {
	c := Compare(
		draw(
			"aaaa.bbb",
			"aaaa.bbb",
			"........",
			"cc.dd.ee",
			"cc.dd.ee"),
		draw(
			"AABB.CCC",
			"AABB.CC.",
			"........",
			"DDDDD...",
			"DDDDD..F"))
	want := Counts{
		Pixels: Pixels{TP: 22, FP: 2, FN: 4, TN: 12},
		Objects: Objects{
			Truth: 5, Found: 5,
			Matched: [10]int{1, 1, 1, 1, 1, 1, 1, 0, 0, 0}, IoU: 5. / 6,
			Intersection: 4 + 5 + 4 + 4 + 1, Union: 8 + 6 + 10 + 10 + 4 + 4,
			Merges: 1, Splits: 1,
		},
		Rand: Rand{
			Truth: 64 + 36 + 16 + 16 + 16,
			Found: 16 + 16 + 25 + 64 + 1 + 4,
			Both:  16 + 16 + 25 + 16 + 16 + 1 + 4,
		},
	}
	if c != want {
		t.Errorf("counts\n%+v, want\n%+v", c, want)
	}
	sq := 5. / 6
	scores := Scores{
		Truth: 5, Objects: 5, F1At50: 0.2, Precision: 0.2, Recall: 0.2, F1: 0.14,
		AJI: 18. / 42, PQ: 0.2 * sq, DQ: 0.2, SQ: sq, Merges: 1, Splits: 1,
		IoU: 22. / 28, Dice: 0.88, PixelError: 0.15, RandError: 86. / 274,
	}
	if got := c.Scores(); got != scores {
		t.Errorf("scores\n%+v, want\n%+v", got, scores)
	}
	if got, want := c.Rand.Merge(), 94./126; got != want {
		t.Errorf("Rand merge score %v, want %v", got, want)
	}
	if got, want := c.Rand.Split(), 94./148; got != want {
		t.Errorf("Rand split score %v, want %v", got, want)
	}
}

// Of two objects of equal IoU, AJI takes the one with the larger intersection, and of two that are equal
// in that too the first; what is taken twice counts twice.
func TestAJIByHand(t *testing.T) {
	for name, c := range map[string]struct {
		truth, found        string
		intersection, union int64
	}{
		"taken twice":       {"aabb", "AAAA", 2 + 2, 4 + 4},               // and not 2, 4 + 2
		"nothing near":      {"aa..bb..", "AA....BB", 2 + 0, 2 + 2 + 2},   // b's area, and B's
		"equal IoU":         {"aaaa.........", "ABB......BBBB", 2, 8 + 1}, // 1/4 and 2/8
		"the other way":     {"aaaa.........", "BBA......BBBB", 2, 8 + 1},
		"equal in all":      {"aabb", ".ABC", 1 + 1, 2 + 2 + 1}, // b takes B, C is left
		"the first is used": {"aab", "ABB", 1 + 1, 2 + 2 + 0},   // a takes A (1/2, before B of 1/3)
		"nothing":           {"....", "....", 0, 0},
	} {
		got := Compare(draw(c.truth), draw(c.found)).Objects
		if got.Intersection != c.intersection || got.Union != c.union {
			t.Errorf("%s: %d/%d, want %d/%d", name, got.Intersection, got.Union, c.intersection, c.union)
		}
	}
}

// A half is not more than half: an object that lies in two to equal parts lies in neither.
func TestMergesAndSplitsByHand(t *testing.T) {
	for _, c := range []struct {
		truth, found   string
		merges, splits int
	}{
		{"aabbcc", "AAAAAA", 1, 0},
		{"aaaaaa", "AABBCC", 0, 1},
		{"aabb..", "AABB..", 0, 0},
		{"aabb..", "AAA...", 0, 0}, // half of b
		{"aabbb.", "AAAA..", 1, 0}, // 2/3 of b
		{"aab.cc", "AAABBB", 1, 0},
		{"aabbaa", "ACCBBA", 0, 0},
		{"aaaabb", "AABBBB", 0, 0}, // B lies half in a
		{"aaaabb", "AABBB.", 0, 1},
		{"aabb.ccdd", "AAAA.CCCC", 2, 0},
		{"......", "......", 0, 0},
	} {
		o := Compare(draw(c.truth), draw(c.found)).Objects
		if o.Merges != c.merges || o.Splits != c.splits {
			t.Errorf("%s found as %s: %d merges, %d splits, want %d and %d", c.truth, c.found, o.Merges, o.Splits, c.merges, c.splits)
		}
	}
}

// What is exactly at a threshold is no match there, for each of the ten.
func TestThresholdsAreExact(t *testing.T) {
	for k := range int64(10) {
		if got := passed(10+k, 20); got != int(k) {
			t.Errorf("IoU %d/20 passes %d thresholds, want %d", 10+k, got, k)
		}
		if got := passed(1000*(10+k)+1, 20000); got != int(k)+1 {
			t.Errorf("IoU just over %d/20 passes %d thresholds, want %d", 10+k, got, k+1)
		}
	}
}

// The rule for empty images: 1 when there is nothing to find and nothing was found, else 0.
func TestEmpty(t *testing.T) {
	none, some := draw("...."), draw(".aa.")
	for _, c := range []struct {
		name         string
		truth, found raster.Labels
		want         Scores
	}{
		{"both", none, none, Scores{
			F1At50: 1, Precision: 1, Recall: 1, F1: 1, AJI: 1, PQ: 1, DQ: 1, SQ: 1, IoU: 1, Dice: 1,
		}},
		{"truth", none, some, Scores{Objects: 1, PixelError: 0.5}},
		{"prediction", some, none, Scores{Truth: 1, PixelError: 0.5, RandError: 2. / 6}},
	} {
		if got := Compare(c.truth, c.found).Scores(); got != c.want {
			t.Errorf("%s empty:\n%+v, want\n%+v", c.name, got, c.want)
		}
	}
	zero, want := Counts{}.Scores(), Compare(none, none).Scores()
	if zero != want {
		t.Errorf("no image:\n%+v, want\n%+v", zero, want)
	}
}

func TestPixelsOfClass(t *testing.T) {
	truth, predicted := []byte{0, 1, 2, 2, 2, 1}, []byte{0, 2, 2, 2, 0, 1}
	for class, want := range []Pixels{{1, 1, 0, 4}, {1, 0, 1, 4}, {2, 1, 1, 2}, {0, 0, 0, 6}} {
		if got := PixelsOf(byte(class), truth, predicted); got != want {
			t.Errorf("class %d: %+v, want %+v", class, got, want)
		}
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth, found := anyTwo(t)
		c := Compare(truth, found)
		s := c.Scores()
		for name, v := range map[string]float64{
			"F1At50": s.F1At50, "precision": s.Precision, "recall": s.Recall, "F1": s.F1, "AJI": s.AJI, "PQ": s.PQ, "SQ": s.SQ,
			"IoU": s.IoU, "Dice": s.Dice, "pixel error": s.PixelError, "Rand error": s.RandError, "Rand merge": c.Rand.Merge(), "Rand split": c.Rand.Split(),
		} {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("%s is %v", name, v)
			}
		}
		if s.IoU > s.Dice {
			t.Fatalf("IoU %v is greater than Dice %v", s.IoU, s.Dice)
		}
		if s.F1 > s.F1At50 || s.AJI > s.IoU {
			t.Fatalf("mean F1 %v, F1 at 0.5 %v; AJI %v, IoU %v", s.F1, s.F1At50, s.AJI, s.IoU)
		}

		swapped := Compare(found, truth)
		if a, b := c.Pixels, swapped.Pixels; a.TP != b.TP || a.FP != b.FN || a.FN != b.FP || a.TN != b.TN {
			t.Fatalf("pixels %+v, swapped %+v", a, b)
		}
		a, b := c.Objects, swapped.Objects
		if a.Truth != b.Found || a.Matched != b.Matched || math.Abs(a.IoU-b.IoU) > 1e-12 || a.Merges != b.Splits || a.Splits != b.Merges {
			t.Fatalf("objects %+v, swapped %+v", a, b)
		}
		if a.Precision() != b.Recall() || a.F1() != b.F1() || a.F1At50() != b.F1At50() {
			t.Fatalf("quotients of %+v, swapped %+v", a, b)
		}

		// The same images under other numbers, by a bijection of uint32 that keeps 0.
		odd := rapid.Uint32().Draw(t, "factor") | 1
		other := raster.NewLabels(found.W, found.H)
		for i, id := range found.Pix {
			other.Pix[i] = id * odd
		}
		if d := Compare(truth, other); d != c {
			t.Fatalf("renumbered:\n%+v, want\n%+v", d, c)
		}
		if d := Compare(other, truth); d != swapped {
			t.Fatalf("renumbered truth:\n%+v, want\n%+v", d, swapped)
		}

		same := Compare(found, other).Scores()
		n := c.Objects.Found
		if want := (Scores{
			Truth: n, Objects: n, F1At50: 1, Precision: 1, Recall: 1, F1: 1, AJI: 1, PQ: 1, DQ: 1, SQ: 1, IoU: 1, Dice: 1,
		}); same != want {
			t.Fatalf("an image and itself: %+v, want %+v", same, want)
		}
	})
}

// Every count against its definition, by masks, pairs of pixels and all assignments.
func TestAgainstDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth, found := anyTwo(t)
		c := Compare(truth, found)
		ts, fs := ids(truth), ids(found)
		if c.Objects.Truth != len(ts) || c.Objects.Found != len(fs) {
			t.Fatalf("%+v of %d and %d objects", c.Objects, len(ts), len(fs))
		}
		common := func(a, b uint32) (intersection, union int64) {
			for i := range truth.Pix {
				if truth.Pix[i] == a && found.Pix[i] == b {
					intersection++
				}
				if truth.Pix[i] == a || found.Pix[i] == b {
					union++
				}
			}
			return
		}
		for k, got := range c.Objects.Matched {
			if want := assignments(ts, fs, func(a, b uint32) bool {
				n, u := common(a, b)
				return n*100 > u*int64(50+5*k)
			}); got != want {
				t.Fatalf("%d matches at 0.%d, want %d", got, 50+5*k, want)
			}
		}

		var intersection, union int64
		used := map[uint32]bool{}
		for _, a := range ts {
			bestN, bestU := int64(0), area(truth, a)
			var best uint32
			for _, b := range fs {
				if n, u := common(a, b); n*bestU > bestN*u || n*bestU == bestN*u && n > bestN {
					bestN, bestU, best = n, u, b
				}
			}
			intersection, union, used[best] = intersection+bestN, union+bestU, true
		}
		for _, b := range fs {
			if !used[b] {
				union += area(found, b)
			}
		}
		if c.Objects.Intersection != intersection || c.Objects.Union != union {
			t.Fatalf("AJI of %d/%d, want %d/%d", c.Objects.Intersection, c.Objects.Union, intersection, union)
		}

		merges, splits := 0, 0
		for _, b := range fs {
			n := 0
			for _, a := range ts {
				if shared, _ := common(a, b); 2*shared > area(truth, a) {
					n++
				}
			}
			if n > 1 {
				merges++
			}
		}
		for _, a := range ts {
			n := 0
			for _, b := range fs {
				if shared, _ := common(a, b); 2*shared > area(found, b) {
					n++
				}
			}
			if n > 1 {
				splits++
			}
		}
		if c.Objects.Merges != merges || c.Objects.Splits != splits {
			t.Fatalf("%d merges and %d splits, want %d and %d", c.Objects.Merges, c.Objects.Splits, merges, splits)
		}

		var pairs Rand
		for i, a := range truth.Pix {
			for j, b := range truth.Pix {
				if a == 0 || b == 0 {
					continue
				}
				inTruth := a == b
				inFound := i == j || found.Pix[i] != 0 && found.Pix[i] == found.Pix[j]
				if inTruth {
					pairs.Truth++
				}
				if inFound {
					pairs.Found++
				}
				if inTruth && inFound {
					pairs.Both++
				}
			}
		}
		if c.Rand != pairs {
			t.Fatalf("pairs of pixels %+v, want %+v", c.Rand, pairs)
		}
	})
}

// The counts of two images add up to those of one that holds both side by side.
func TestAdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth, found := anyTwo(t)
		truth2, found2 := anyLabels(t, "truth 2", truth.W, truth.H), anyLabels(t, "found 2", truth.W, truth.H)
		sum := Compare(truth, found)
		sum.Add(Compare(truth2, found2))
		both := Compare(beside(truth, truth2), beside(found, found2))
		if math.Abs(sum.Objects.IoU-both.Objects.IoU) > 1e-12 {
			t.Fatalf("summed IoU %v, want %v", sum.Objects.IoU, both.Objects.IoU)
		}
		both.Objects.IoU = sum.Objects.IoU
		if sum != both {
			t.Fatalf("sum\n%+v, want\n%+v", sum, both)
		}
	})
}

// beside puts one image below another, with numbers of its own.
func beside(a, b raster.Labels) raster.Labels {
	number := map[[2]uint32]uint32{}
	l := raster.NewLabels(a.W, a.H+b.H)
	for i := range l.Pix {
		key := [2]uint32{0, 0}
		if i < len(a.Pix) {
			key[1] = a.Pix[i]
		} else {
			key = [2]uint32{1, b.Pix[i-len(a.Pix)]}
		}
		if key[1] == 0 {
			continue
		}
		if _, ok := number[key]; !ok {
			number[key] = uint32(len(number) + 1)
		}
		l.Pix[i] = number[key]
	}
	return l
}

// ids lists the objects in the order of their first pixels.
func ids(l raster.Labels) []uint32 {
	var all []uint32
	seen := map[uint32]bool{0: true}
	for _, id := range l.Pix {
		if !seen[id] {
			seen[id] = true
			all = append(all, id)
		}
	}
	return all
}

func area(l raster.Labels, id uint32) int64 {
	n := int64(0)
	for _, p := range l.Pix {
		if p == id {
			n++
		}
	}
	return n
}

// assignments finds the most pairs that can be had, each object in one at most, by trying all.
func assignments(ts, fs []uint32, pairs func(a, b uint32) bool) int {
	if len(ts) == 0 {
		return 0
	}
	best := assignments(ts[1:], fs, pairs)
	for k, b := range fs {
		if pairs(ts[0], b) {
			rest := append(append([]uint32{}, fs[:k]...), fs[k+1:]...)
			best = max(best, 1+assignments(ts[1:], rest, pairs))
		}
	}
	return best
}
